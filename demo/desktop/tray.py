"""How the tray item's states look: the colours of its icons."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from tests.desktop.picture import Colour

_ICONS = Path(__file__).resolve().parents[2] / "desktop/data/icons/hicolor/scalable/status"


def colour_of(state: str) -> Colour:
    [shape] = [node for node in ET.parse(_ICONS / f"cortex-llm-{state}.svg").getroot() if node.tag.endswith("path")]
    red, green, blue = bytes.fromhex(shape.attrib["fill"].removeprefix("#"))
    return red, green, blue

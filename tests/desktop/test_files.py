"""What the applet ships: its German texts, its icons and its desktop files."""

from __future__ import annotations

import ast
import configparser
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from cortex_llm_applet import __version__, texts
from cortex_llm_applet.logic.trouble import State

import cortexd

DESKTOP = Path(__file__).resolve().parents[2] / "desktop"
ICONS = DESKTOP / "data/icons/hicolor"
GERMAN = DESKTOP / "po/de.po"
PLACEHOLDER = re.compile(r"\{(\w+)\}")
ENTRY = re.compile(r'^msgid "(.+)"\nmsgstr "(.*)"$', re.MULTILINE)


def marked() -> set[str]:
    """Every text of the sources that a person may read."""
    nodes = (
        node
        for path in (DESKTOP / "cortex_llm_applet").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
    )
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    arguments = [node.args[0] for node in calls if isinstance(node.func, ast.Name) and node.func.id in ("_", "N_")]
    return {str(argument.value) for argument in arguments if isinstance(argument, ast.Constant)}


def drawn(path: Path) -> tuple[str, str]:
    """Shape and colour."""
    [shape] = [node for node in ET.parse(path).getroot() if node.tag.endswith("path")]
    return shape.attrib["d"], shape.attrib["fill"]


class TestGerman:
    def test_is_complete(self) -> None:
        """Each text has one, and the catalogue has no text that is nowhere."""
        catalogue = dict(ENTRY.findall(GERMAN.read_text("utf-8")))
        assert catalogue.keys() == marked()
        assert all(catalogue.values())
        assert "fuzzy" not in GERMAN.read_text("utf-8")

    def test_placeholders_are_the_same(self) -> None:
        """No value is lost or asked for in translation."""
        for text, german in ENTRY.findall(GERMAN.read_text("utf-8")):
            assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(german)), text

    def test_direction_of_writing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Panels mirror the menu for languages that are written from right to left."""
        for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
            monkeypatch.delenv(name, raising=False)
        for value, direction in (("ar_EG.UTF-8", "rtl"), ("he", "rtl"), ("de_DE.UTF-8", "ltr"), ("", "ltr")):
            monkeypatch.setenv("LANG", value)
            assert texts.direction() == direction


class TestIcons:
    def test_each_state_has_a_shape_and_a_colour(self) -> None:
        """No two states look alike, to who sees no colours either."""
        icons = [drawn(ICONS / f"scalable/status/cortex-llm-{state}.svg") for state in State]
        assert len({shape for shape, _ in icons}) == len({colour for _, colour in icons}) == len(State) == 7

    def test_symbolic_ones_have_the_same_shapes(self) -> None:
        """Each state's icon is there in the panel's own colour too."""
        for state in State:
            shape, _ = drawn(ICONS / f"scalable/status/cortex-llm-{state}.svg")
            assert drawn(ICONS / f"symbolic/status/cortex-llm-{state}-symbolic.svg") == (shape, "#2e3436")


class TestDesktopFiles:
    @pytest.mark.parametrize(
        ("name", "program"),
        [
            ("org.cortexlinux.LLMApplet.desktop", "cortex-llm-applet"),
            ("autostart.desktop", "cortex-llm-applet"),
            ("org.cortexlinux.LLMWindow.desktop", "cortex-llm-window"),
        ],
    )
    def test_entries(self, name: str, program: str) -> None:
        """Each starts its program, and has its texts in German."""
        parser = configparser.RawConfigParser(delimiters=("=",), comment_prefixes=("#",))
        parser.optionxform = str  # type: ignore[method-assign,assignment]
        parser.read(DESKTOP / "data" / name, "utf-8")
        entry = parser["Desktop Entry"]
        assert (entry["Exec"], entry["TryExec"]) == (program, program)
        assert (DESKTOP / "bin" / program).exists()
        assert entry["Icon"] == "org.cortexlinux.LLMApplet"
        assert (ICONS / "scalable/apps" / f"{entry['Icon']}.svg").exists()
        assert {key for key in entry if key in ("Name", "Comment")} == {"Name", "Comment"}
        assert all(entry[f"{key}[de]"] for key in ("Name", "Comment"))

    def test_version(self) -> None:
        """The applet has the daemon's version."""
        assert __version__ == cortexd.__version__

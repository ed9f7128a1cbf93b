"""The panels that docs/panels.md has a snippet for: how each is configured around it, and run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/panels.md"
_SECTION = re.compile(r"^## (?P<title>.+?)\n(?P<body>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
Files = dict[str, str]  # name -> text
_WAYBAR = """{{
  "layer": "top", "position": "top", "height": 30, "modules-right": ["custom/llm"],
  {snippet}
}}
"""
_WAYBAR_STYLE = """* {{ font-family: "DejaVu Sans"; font-size: 14px; }}
window#waybar {{ background: {paper}; color: {ink}; }}
#custom-llm {{ padding: 0 12px; }}
{snippet}"""
_I3 = """# i3 config file (v4)
font pango:DejaVu Sans 11
bar {{
  position top
  font pango:DejaVu Sans 11
  workspace_buttons no
  status_command i3blocks -c {directory}/i3blocks.conf
}}
"""
_POLYBAR = """[bar/main]
width = 100%
height = 30
background = #222222
foreground = #dddddd
font-0 = DejaVu Sans:size=11
modules-right = llm
{snippet}"""
_XMOBAR = """Config {{
  font = "xft:DejaVu Sans-11", position = TopH 30, bgColor = "#222222", fgColor = "#dddddd",
  commands = [ {snippet} ],
  template = "}}{{ %llm% "
}}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """`needed`: program -> Debian's package. `files` are made in a directory of its own, {directory} in `command`.
    `wayland`: on sway, else on X."""

    name: str
    needed: Mapping[str, str]
    files: Callable[[Path], Files]
    command: tuple[str, ...]
    wayland: bool = False


def snippets() -> dict[str, dict[str, str]]:
    """Section of docs/panels.md -> language -> the text to put into a panel's configuration."""
    page = PAGE.read_text("utf-8")
    return {found["title"]: dict(_FENCED.findall(found["body"])) for found in _SECTION.finditer(page)}


def _waybar(_directory: Path) -> Files:
    given = snippets()["Waybar"]
    style = _WAYBAR_STYLE.format(paper="#222222", ink="#dddddd", snippet=given["css"])
    return {"config": _WAYBAR.format(snippet=given["json"]), "style.css": style}


def _i3blocks(directory: Path) -> Files:
    return {"i3.conf": _I3.format(directory=directory), "i3blocks.conf": snippets()["i3blocks"]["ini"]}


def _polybar(_directory: Path) -> Files:
    return {"polybar.ini": _POLYBAR.format(snippet=snippets()["polybar"]["ini"])}


def _xmobar(_directory: Path) -> Files:
    return {"xmobarrc": _XMOBAR.format(snippet=snippets()["xmobar"]["haskell"].strip())}


BARS = {
    bar.name: bar
    for bar in (
        Bar(
            "waybar",
            {"sway": "sway", "waybar": "waybar", "grim": "grim"},
            _waybar,
            ("waybar", "-c", "{directory}/config", "-s", "{directory}/style.css"),
            wayland=True,
        ),
        Bar(
            "i3blocks",
            {"Xvfb": "xvfb", "i3": "i3-wm", "i3blocks": "i3blocks"},
            _i3blocks,
            ("i3", "-c", "{directory}/i3.conf"),
        ),
        Bar(
            "polybar",
            {"Xvfb": "xvfb", "polybar": "polybar"},
            _polybar,
            ("polybar", "-c", "{directory}/polybar.ini", "main"),
        ),
        Bar("xmobar", {"Xvfb": "xvfb", "xmobar": "xmobar"}, _xmobar, ("xmobar", "{directory}/xmobarrc")),
    )
}

"""The snippets of docs/panels.md, as script/try-panels puts them into panels."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cortexd.cli.panels.formats import FORMATS, LOOKS
from demo.desktop.bars import BARS, snippets


class TestSnippets:
    @pytest.mark.parametrize("name", BARS)
    def test_each_asks_for_its_own_form(self, name: str, tmp_path: Path) -> None:
        """The panel's configuration runs cortexctl with a form that there is."""
        text = "\n".join(BARS[name].files(tmp_path).values())
        assert re.findall(r"cortexctl watch --format (\w+)", text) == [name]
        assert name in FORMATS

    def test_style_of_each_state(self) -> None:
        """Waybar's colours are those that the other forms have."""
        style = snippets()["Waybar"]["css"]
        rules = {
            state: colour
            for selectors, colour in re.findall(r"^(.+?) \{ color: (#\w+); \}", style, re.MULTILINE)
            for state in re.findall(r"#custom-llm\.(\w+)", selectors)
        }
        highlighted = {state.value: colour for state, (_mark, colour) in LOOKS.items() if colour}
        assert {state: rules.get(state) for state in highlighted} == highlighted

"""The guides to model servers of one's own: settings that load, commands that exist, servers where presets look."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

import click
import pytest

from cortexd.cli.app import cortexctl
from cortexd.config import Config, load_config
from cortexd.config.presets import presets
from tests.unit.test_guides import DOCS, blocks

PAGES = ("self-hosting.md", "on-a-laptop.md")
each_page = pytest.mark.parametrize("page", PAGES)
PROGRAMS = {"vllm": "vllm", "python3": "sglang", "llama-server": "llamacpp"}


def settings(page: str, directory: Path) -> Config:
    """All that the page says to write, in one file."""
    file = directory / "config.toml"
    file.write_text("\n".join(blocks(DOCS / page, "toml")))
    return load_config(file)


def commands(page: str) -> list[list[str]]:
    """The words of each command that starts a server."""
    return [shlex.split(block) for block in blocks(DOCS / page, "bash")]


@each_page
class TestPages:
    def test_settings_load(self, page: str, tmp_path: Path) -> None:
        """Every block, together with the others of its page: each server with whatever models it has."""
        found = settings(page, tmp_path)
        own = [item for name, item in found.providers.items() if item.preset and presets()[item.preset].local]
        assert len(own) >= 2
        assert {(item.model, item.local) for item in own} == {("*", True)}

    def test_commands_of_ours_exist(self, page: str) -> None:
        """Every cortexctl line: its command and its options."""
        lines = re.findall(r"cortexctl ([^#`\n]+)", "\n".join(blocks(DOCS / page, "console")))
        assert len(lines) > 3
        for line in lines:
            name, *words = shlex.split(line)
            command = cortexctl.get_command(click.Context(cortexctl), name)
            if isinstance(command, click.Group):
                command = command.get_command(click.Context(command), words.pop(0))
            assert command is not None, line
            options = {word for item in command.params for word in item.opts}
            assert {word for word in words if word.startswith("-")} <= options, line

    def test_servers_listen_where_presets_look(self, page: str) -> None:
        """On this machine alone, at the preset's port."""
        for words in commands(page):
            preset = presets().get(PROGRAMS.get(words[0], ""))
            if preset is None:
                continue
            given = dict(pairwise(words))
            address = f"http://{given.get('--host', '127.0.0.1')}:{given.get('--port', '30000')}"
            assert preset.base_url["openai"] == f"{address}/v1", words

    def test_units_start_what_the_page_shows(self, page: str) -> None:
        """The unit's command is one of those above it."""
        [unit] = [text for text in blocks(DOCS / page, "ini") if "ExecStart=" in text]
        [line] = re.findall(r"^ExecStart=((?:.*\\\n)*.*)", unit, re.MULTILINE)
        started = shlex.split(line)
        started[0] = Path(started[0]).name
        assert started in commands(page)

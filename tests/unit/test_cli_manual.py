"""The manual pages and the completion scripts know every command and option."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from cortexd import __main__ as daemon_main
from cortexd.bridge import __main__ as bridge_main
from cortexd.cli.app import cortexctl
from cortexd.cli.completion import script
from cortexd.cli.shown import failures

PAGES = Path(__file__).resolve().parents[2] / "docs/man"


def commands(ctx: click.Context, path: str = "") -> dict[str, click.Command]:
    """Every command below `ctx` by its words: "budget set"."""
    found: dict[str, click.Command] = {}
    if isinstance(ctx.command, click.Group):
        for name in ctx.command.list_commands(ctx):
            command = ctx.command.get_command(ctx, name)
            assert command is not None
            found[f"{path}{name}"] = command
            found |= commands(click.Context(command, parent=ctx), f"{path}{name} ")
    return found


ALL = commands(click.Context(cortexctl))


def options(command: click.Command) -> set[str]:
    """Without --help, which every command has."""
    return {
        name
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name[:2] == "--"
    }


def sections(page: str) -> dict[str, str]:
    """Each subsection of the page by the words it begins with."""
    parts = re.split(r"^\.S[sh] ", page, flags=re.MULTILINE)[1:]
    return {re.split(r" (?:O[po]|Ar|Cm)\b|\n", part)[0]: part for part in parts}


def documented(text: str) -> set[str]:
    lines = re.findall(r"^\.It (Fl .*)$", text, re.MULTILINE)
    return {f"-{name}" for line in lines for name in re.findall(r"Fl (-[a-z-]+)", line)}


# that do nothing by themselves
GROUPS = {"ledger", "fleet", "fleet settings", "config", "credentials", "learn", "service", "bridge", "bridge port"}


class TestCortexctlPage:
    PAGE = (PAGES / "cortexctl.1").read_text()

    @pytest.mark.parametrize(
        "name",
        [name for name in ALL if name not in GROUPS],
    )
    def test_every_option_of_every_command(self, name: str) -> None:
        """Each command has its section, with just the options that it has."""
        parts = sections(self.PAGE)
        assert name in parts
        shown = documented(parts[name])
        if "the request options" in parts[name]:
            shown |= documented(parts["Request options"])
        assert shown == options(ALL[name])

    def test_global_options(self) -> None:
        """What stands before the command is described as well."""
        assert documented(sections(self.PAGE)["DESCRIPTION"]) == options(cortexctl) | {"--help"}

    def test_exit_statuses(self) -> None:
        """The page has the table that cortexctl uses."""
        rows = re.findall(r"^\.It (\d+)\n(.+)$", sections(self.PAGE)["EXIT STATUS"], re.MULTILINE)
        assert {int(status): meaning for status, meaning in rows} == failures.MEANINGS


class TestProgramsPages:
    @pytest.mark.parametrize(
        ("page", "parser"), [("cortexd.8", daemon_main._parser()), ("cortex-llm-bridge.1", bridge_main._parser())]
    )
    def test_every_option(self, page: str, parser: argparse.ArgumentParser) -> None:
        """The page of the daemon, and of the bridge, has just the options that it takes."""
        taken = {name for action in parser._actions for name in action.option_strings if name[:2] == "--"}
        assert documented(sections((PAGES / page).read_text())["DESCRIPTION"]) == taken


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
@pytest.mark.parametrize("page", sorted(PAGES.iterdir()), ids=lambda page: page.name)
def test_pages_are_clean(page: Path) -> None:
    """groff formats each page without a warning."""
    done = subprocess.run(
        ["groff", "-mandoc", "-Tutf8", "-ww", "-rHY=0", str(page)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


class TestCompletion:
    def complete(self, *words: str) -> set[str]:
        """What bash offers after `words`, of which the last is begun."""
        line = script(click.Context(cortexctl), "bash") + (
            '\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cortexctl; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(["bash", "-c", line, "bash", *words], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        return set(done.stdout.split())

    def test_commands(self) -> None:
        """Commands, and the commands of a command."""
        assert {"ask", "batch", "usage"} <= self.complete("cortexctl", "")
        assert self.complete("cortexctl", "prov") == {"providers"}
        assert {"set", "remove", "--check"} <= self.complete("cortexctl", "budget", "")

    def test_options_and_values(self) -> None:
        """A command's own options, and what they take, also after an equals sign."""
        assert self.complete("cortexctl", "ask", "--no-s") == {"--no-stream"}
        assert self.complete("cortexctl", "ask", "hello", "--task", "user") == {"user_chat"}
        assert self.complete("cortexctl", "usage", "--by", "=", "mo") == {"model"}
        assert self.complete("cortexctl", "--bus", "se") == {"session"}

    def test_files(self, tmp_path: Path) -> None:
        """Files where a file is wanted."""
        (tmp_path / "input.jsonl").touch()
        assert self.complete("cortexctl", "batch", f"{tmp_path}/in") == {f"{tmp_path}/input.jsonl"}

    def test_zsh(self) -> None:
        """zsh's script has the same words; where there is a zsh it takes them."""
        text = script(click.Context(cortexctl), "zsh")
        assert "'cortexctl budget set') found='--user" in text
        if shutil.which("zsh"):
            done = subprocess.run(["zsh", "-n"], input=text, capture_output=True, text=True, timeout=60)
            assert (done.returncode, done.stderr) == (0, "")

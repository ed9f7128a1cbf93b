"""docs/hybrid.md: its settings hold as they are printed, and its commands say what is printed below them."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from simulated import Behaviour
from tests.system.crowd import everybody_may_ask_fixture  # noqa: F401
from tests.system.people import as_user
from tests.system.program import Program, program_fixture  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.test_cli_authorization import cortexctl

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "hybrid.md"
_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = re.compile(r"^(\w+)\$ cortexctl (.*)$")
_ANY = r"(?:.*\n)*"
_HELD = "…"  # what varies: in a line anything, alone any lines


@dataclass(frozen=True, slots=True)
class Shown:
    user: str
    words: tuple[str, ...]
    lines: tuple[str, ...]


def settings() -> dict[str, str]:
    """Each block of settings by the file that it names in its first line."""
    blocks = [text for kind, text in _FENCED.findall(GUIDE.read_text("utf-8")) if kind == "toml"]
    return {text.partition("\n")[0].removeprefix("# "): text for text in blocks}


def commands() -> Iterator[Shown]:
    for kind, text in _FENCED.findall(GUIDE.read_text("utf-8")):
        for part in re.split(r"^(?=\w+\$ )", text, flags=re.MULTILINE)[1:] if kind == "console" else ():
            first, *lines = part.splitlines()
            prompt = _PROMPT.match(first)
            assert prompt is not None, first
            yield Shown(prompt[1], tuple(shlex.split(prompt[2])), tuple(lines))


def pattern_of(lines: tuple[str, ...]) -> str:
    """For the output with its blanks squeezed."""
    rows = (_ANY if line == _HELD else re.escape(squeezed(f"{line}\n")).replace(_HELD, ".*") for line in lines)
    return "".join(rows)


def squeezed(output: str) -> str:
    return "".join(f"{' '.join(line.split())}\n" for line in output.splitlines())


@pytest.fixture(name="guided", scope="module")
def guided_fixture(shared_of_module: Shared, namespace: Path) -> Iterator[Shared]:
    """The machine of the guide: its settings, its local server, and alice among the developers."""
    shared, groups = shared_of_module, namespace / "etc" / "group"
    before = groups.read_text()
    groups.write_text(f"{before}developers:x:59300:alice\n")
    shared.behave("office", Behaviour(keys=("none",)))
    for name, text in settings().items():
        shared.daemon.configure(text, name)
    shared.reload(f'[providers.office]\nbase_url = "{shared.simulated.url("office")}"\n')
    yield shared
    groups.write_text(before)


class TestGuide:
    def test_has_settings_and_commands(self) -> None:
        """What the other tests go by is there."""
        assert len(settings()) >= 4
        assert len(list(commands())) >= 8

    @pytest.mark.parametrize("shown", list(commands()), ids=lambda shown: " ".join((shown.user, *shown.words)))
    def test_command(self, guided: Shared, shown: Shown) -> None:
        """It prints what the page shows, to the user who asks there."""
        done = as_user(shown.user, cortexctl(*shown.words))
        output = squeezed(done.stdout + done.stderr)
        assert re.fullmatch(pattern_of(shown.lines), output), output

    async def test_spikes(self, guided: Shared, program: Program) -> None:
        """Of twelve at a time the local server gets eight, the next in the row the others; then it is local again."""
        guided.behave("office", Behaviour(keys=("none",), delay_s=2.0))
        before = {name: guided.simulated.counts(name).requests for name in ("office", "claude")}
        replies = await asyncio.gather(*(program.complete("user_chat", f"hello {number}") for number in range(12)))
        assert sorted(reply.metadata["provider"] for reply in replies) == ["claude"] * 4 + ["office"] * 8
        taken = {name: guided.simulated.counts(name).requests - count for name, count in before.items()}
        assert taken == {"office": 8, "claude": 4}
        guided.behave("office", Behaviour(keys=("none",)))
        assert (await program.complete("user_chat", "hello")).metadata["provider"] == "office"

"""The programs that were connected, and whether anybody listens where they ask."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cortexd.bridge.places import LOOPBACK
from cortexd.cli.bridge.obstacles import Obstacle, Problem, problem
from cortexd.cli.connecting.plan import State, state_of
from cortexd.cli.connecting.programs import PROGRAMS, Home, Program
from cortexd.cli.machine.discovery import listeners
from cortexd.errors import CortexError

_ADDRESS = re.compile(rf"http://{re.escape(LOOPBACK)}:([0-9]{{1,5}})")


@dataclass(frozen=True, slots=True)
class Connected:
    """`amiss`: with its settings, or with where they lead."""

    name: str
    amiss: Problem | None = None


def connected(home: Home) -> list[Connected]:
    """As `cortexctl connect` has it; those that are not are left out."""
    listening = {port for port, _uid in listeners()}
    return [found for program in PROGRAMS.values() if (found := _look(home, program, listening))]


def _look(home: Home, program: Program, listening: set[int]) -> Connected | None:
    try:
        state, written = state_of(home, program)
    except CortexError as error:
        return Connected(program.name, problem(Obstacle.SETTINGS, name=program.name, reason=error.message))
    if state is State.NOT:
        return None
    if state is State.CHANGED:
        return Connected(program.name, problem(Obstacle.CHANGED, name=program.name))
    deaf = {port for item in written for port in _ports(item.path)} - listening
    if deaf:
        return Connected(program.name, problem(Obstacle.NOBODY, name=program.name, port=min(deaf)))
    return Connected(program.name)


def _ports(file: Path) -> Iterator[int]:
    try:
        text = file.read_text("utf-8", "replace")
    except OSError:
        return
    yield from map(int, _ADDRESS.findall(text))

"""The programs that were connected, and whether anybody listens where they ask."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cortexd.bridge.places import LOOPBACK
from cortexd.cli.bridge.obstacles import Obstacle, Problem, problem
from cortexd.cli.connecting.bridge import Address, bridge_address
from cortexd.cli.connecting.plan import State, paths_of, state_of
from cortexd.cli.connecting.programs import PROGRAMS, Home, Program
from cortexd.cli.machine.discovery import listeners
from cortexd.errors import CortexError

_AMISS = {State.CHANGED: Obstacle.CHANGED, State.UNREADABLE: Obstacle.SETTINGS, State.OLD: Obstacle.OLD}
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
    state = state_of(home, program, _address())
    if state is State.NOT:
        return None
    if state in _AMISS:
        return Connected(program.name, problem(_AMISS[state], name=program.name))
    deaf = {port for file in paths_of(home, program) for port in _ports(file)} - listening
    return Connected(program.name, problem(Obstacle.NOBODY, name=program.name, port=min(deaf)) if deaf else None)


def _address() -> Address | None:
    try:
        return bridge_address()
    except CortexError:  # which is told of the port
        return None


def _ports(file: Path) -> Iterator[int]:
    try:
        text = file.read_text("utf-8", "replace")
    except OSError:
        return
    yield from map(int, _ADDRESS.findall(text))

"""The state of a user's bridge, as they are told it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortexd.bridge.places import PORT, SERVICE, SOCKET, socket_path
from cortexd.cli.bridge import doors, manager, port, unit_files
from cortexd.cli.bridge.manager import Unit
from cortexd.cli.bridge.obstacles import Obstacle, Problem
from cortexd.cli.bridge.programs import Connected, connected
from cortexd.cli.connecting.programs import home_of_user
from cortexd.errors import CortexError


@dataclass(frozen=True, slots=True)
class Door:
    """A socket or a port. `name`: as programs are told it; "" where there is none."""

    name: str = ""
    problem: Problem | None = None

    @property
    def answers(self) -> bool:
        return bool(self.name) and self.problem is None


@dataclass(frozen=True, slots=True)
class State:
    """`pid`: of the bridge that serves, 0 where none does at the moment. `programs`: that were connected."""

    socket: Door
    port: Door
    pid: int = 0
    programs: tuple[Connected, ...] = ()

    @property
    def problems(self) -> list[Problem]:
        found = [door.problem for door in (self.socket, self.port)] + [program.amiss for program in self.programs]
        return [problem for problem in found if problem]

    def as_json(self) -> dict[str, Any]:
        doors_of_it = {"socket": self.socket, "port": self.port}
        told = {name: {"at": door.name, "answers": door.answers} for name, door in doors_of_it.items()}
        return {**told, "pid": self.pid, "programs": [program.name for program in self.programs]}


def look() -> State:
    unit, path = manager.unit(SOCKET), socket_path()
    socket = Door(str(path or ""), _of_socket(unit, path))
    opened = _port()
    service = manager.unit(SERVICE)
    return State(socket, opened, service.pid if service else 0, tuple(connected(home_of_user())))


def _of_socket(unit: Unit | None, path: Path | None) -> Problem | None:
    amiss = manager.without_manager() if unit is None else unit.problem
    if path is None:
        return amiss
    found = doors.at_socket(path)
    return found if found is None or amiss is None else amiss  # one that was started by hand is as good


def _port() -> Door:
    number = unit_files.port_of_files()
    if number is None:
        return Door()
    try:
        address = port.address()
    except CortexError as error:
        return Door(str(number), Problem(Obstacle.OTHER_KEY, error.message))
    assert address is not None
    return Door(address.url, _of_port(manager.unit(PORT), address))


def _of_port(unit: Unit | None, address: port.Address) -> Problem | None:
    amiss = manager.without_manager() if unit is None else unit.problem
    if amiss is None:
        return doors.at_port(address)
    try:
        port.refuse_taken(address.port)
    except CortexError as taken:
        return Problem(Obstacle.PORT_TAKEN, taken.message)
    return amiss

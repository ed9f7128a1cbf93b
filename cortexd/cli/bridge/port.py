"""The bridge's port on the loopback, for programs that know no Unix socket: off until it is asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cortexd.bridge.key import make_key, read_key
from cortexd.bridge.places import LOOPBACK, PORT, SERVICE, key_path
from cortexd.cli.bridge import manager, unit_files
from cortexd.cli.bridge.obstacles import Obstacle, refusal
from cortexd.cli.machine.discovery import listeners, user_name
from cortexd.errors import CortexError

_FIRST, _USERS, _TRIES = 11_400, 1000, 100  # below what the kernel gives away by itself
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Address:
    port: int
    key: str

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"


def address() -> Address | None:
    """Of the port that is on; None where it is off. Raises CortexError for a key that cannot be used."""
    port = unit_files.port_of_files()
    return None if port is None else Address(port, read_key(key_path()))


def turn_on(port: int | None = None, *, new_key: bool = False) -> tuple[Address, bool]:
    """The address, and whether anything changed. `port`: the former one or a free one where it is None. Raises
    CortexError."""
    manager.known(SERVICE)
    before = unit_files.port_of_files()
    number = port or before or free()
    is_open = number == before and _listens()
    if not is_open:
        refuse_taken(number)
    key_before = _key()
    key = make_key(key_path(), anew=new_key)
    if unit_files.write(number, key_path()) or key != key_before or not is_open:
        _start(number)
        return Address(number, key), True
    return Address(number, key), False


def turn_off() -> bool:
    """Whether it was on. Raises CortexError."""
    if unit_files.port_of_files() is None and manager.unit(PORT) is None:
        return unit_files.remove()
    known = manager.unit(PORT)
    if known is not None and known.load == "loaded":
        manager.change("disable", "--now", PORT)
        manager.change("stop", SERVICE)  # which has the port's socket as well
    removed = unit_files.remove()
    if known is not None:
        manager.change("daemon-reload")
    return removed


def _start(port: int) -> None:
    """systemd opens no socket for a service that runs: it leaves first, and somebody may start it meanwhile."""
    manager.change("daemon-reload")
    manager.change("enable", PORT)
    for left in reversed(range(_ATTEMPTS)):
        manager.change("stop", PORT, SERVICE)
        try:
            return manager.change("start", PORT)
        except CortexError:
            refuse_taken(port)
            if not left:
                raise
    return None


def _listens() -> bool:
    found = manager.unit(PORT)
    return found is not None and found.active == "active"


def _key() -> str:
    try:
        return read_key(key_path())
    except CortexError:
        return ""


def refuse_taken(port: int) -> None:
    """Raises CortexError where somebody else listens there; our own socket does not as yet."""
    if not _listens() and (uid := dict(listeners()).get(port)) is not None:
        user = "yours" if uid == os.getuid() else user_name(uid)
        raise refusal(Obstacle.PORT_TAKEN, port=port, user=user)


def free() -> int:
    """One of each user's own, so that it is the same one the next time. Raises CortexError."""
    first, taken = _FIRST + os.getuid() % _USERS, {port for port, _uid in listeners()}
    for port in range(first, first + _TRIES):
        if port not in taken:
            return port
    raise refusal(Obstacle.NO_PORT_FREE, first=first, last=first + _TRIES - 1)

"""Which machine this is, for a ledger that several write: an id that stays, and tells nobody the machine's own id."""

from __future__ import annotations

import hmac
import socket
from dataclasses import dataclass
from pathlib import Path

from cortexd import __version__
from cortexd.config.settings import LedgerSettings
from cortexd.config.zone import local_zone
from cortexd.domain.safe_values import bounded_text

_MACHINE_ID = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_APPLICATION = bytes.fromhex("9bd3b1f0c6a04c5f8f4e1d2a7b6c5d38")  # cortexd's, for good
_MAX_NAME = 200  # characters


@dataclass(frozen=True, slots=True)
class Machine:
    """`id`: 32 hexadecimal digits; `name`: the host's; `users` and `time_zone` as it is set to."""

    id: str
    name: str
    version: str = __version__
    time_zone: str = ""
    users: str = "directory"


def this_machine(settings: LedgerSettings) -> Machine:
    name = bounded_text(socket.gethostname(), _MAX_NAME)
    return Machine(_own_id(name), name, time_zone=settings.time_zone or local_zone(), users=settings.users)


def hashed(machine_id: bytes, application: bytes = _APPLICATION) -> str:
    """As sd_id128_get_machine_app_specific(3) and `systemd-id128 machine-id --app-specific` make it."""
    digest = bytearray(hmac.digest(machine_id, application, "sha256")[:16])
    digest[6] = digest[6] & 0x0F | 0x40  # a random UUID, by its form
    digest[8] = digest[8] & 0x3F | 0x80
    return digest.hex()


def _own_id(name: str) -> str:
    """By the machine's name where it has no id, as in some containers."""
    for place in _MACHINE_ID:
        try:
            machine_id = bytes.fromhex(place.read_text("ascii").strip())
        except (OSError, ValueError):
            continue
        if len(machine_id) == 16:
            return hashed(machine_id)
    return hashed(name.encode())

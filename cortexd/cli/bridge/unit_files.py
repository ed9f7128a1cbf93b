"""The port's files among the user's own units: a socket, and where the service finds the key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from cortexd.bridge.places import KEY_FILE, LOOPBACK, PORT, SERVICE, units_path
from cortexd.cli.bridge.obstacles import Obstacle, refusal
from cortexd.config.whole_file import replace

_HEAD = "# Written by `cortexctl bridge port on`; `cortexctl bridge port off` takes it away.\n"
_SOCKET = f"""\
[Unit]
Description=Port of the bridge to this machine's language models
Documentation=man:cortexctl(1)

[Socket]
ListenStream={LOOPBACK}:%s
Service={SERVICE}

[Install]
WantedBy=sockets.target
"""
_LISTENS = re.compile(rf"^ListenStream={re.escape(LOOPBACK)}:([0-9]{{1,5}})$", re.MULTILINE)
_SPECIAL = {"\\": "\\\\", '"': '\\"', "%": "%%", "\n": "\\n"}  # systemd.syntax(7), systemd.unit(5)


def port_of_files() -> int | None:
    """The port that is to be open; None where it is off."""
    try:
        found = _LISTENS.search(_socket_file().read_text("utf-8", "replace"))
    except OSError:
        return None
    return int(found[1]) if found else None


def write(port: int, key: Path) -> bool:
    """Whether that changed anything. Raises CortexError."""
    changed = False
    for file, text in _files(port, key).items():
        if _read(file) != text:
            _put(file, text)
            changed = True
    return changed


def remove() -> bool:
    """Whether there was anything. Raises CortexError."""
    removed = False
    for file in (_socket_file(), _drop_in()):
        try:
            file.unlink()
            removed = True
        except FileNotFoundError:
            continue
        except OSError as error:
            raise refusal(Obstacle.NOT_WRITTEN, path=file, reason=error.strerror or error) from None
    for directory in _empty(_drop_in().parent):
        directory.rmdir()
    return removed


def _files(port: int, key: Path) -> Mapping[Path, str]:
    named = "".join(_SPECIAL.get(letter, letter) for letter in f"{KEY_FILE}={key}")
    return {
        _socket_file(): f"{_HEAD}{_SOCKET % port}",
        _drop_in(): f'{_HEAD}[Service]\nEnvironment="{named}"\n',
    }


def _socket_file() -> Path:
    return units_path() / PORT


def _drop_in() -> Path:
    return units_path() / f"{SERVICE}.d" / "port.conf"


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8", "surrogateescape")
    except OSError:
        return ""


def _put(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace(file, text.encode("utf-8", "surrogateescape"), 0o644, beside=file.parent)
    except OSError as error:
        raise refusal(Obstacle.NOT_WRITTEN, path=file, reason=error.strerror or error) from None


def _empty(directory: Path) -> Iterator[Path]:
    if directory.is_dir() and not any(directory.iterdir()):
        yield directory

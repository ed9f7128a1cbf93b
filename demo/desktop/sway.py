"""A Wayland screen without a monitor: sway, whose picture grim takes, with a pointer that we move."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.desktop.picture import Picture
from tests.eventually import assert_eventually

_HEADLESS = {"WLR_BACKENDS": "headless", "WLR_LIBINPUT_NO_DEVICES": "1", "WLR_RENDERER": "pixman"}
_CONFIG = """output HEADLESS-1 resolution {width}x{height}
output * bg {background} solid_color
xwayland disable
"""
_DEADLINE_S = 20.0
Start = Callable[[list[str], dict[str, str]], subprocess.Popen[bytes]]  # a command, and variables that it needs
_DISPLAY, _REGISTRY, _SYNC, _MANAGER, _POINTER = 1, 2, 3, 4, 5  # ids of objects, ours from 2 on
_GET_SYNC, _GET_REGISTRY, _BIND, _CREATE, _MOTION_ABSOLUTE, _FRAME = 0, 1, 0, 0, 1, 4  # requests
_GLOBAL = 0  # an event
_VIRTUAL_POINTER = "zwlr_virtual_pointer_manager_v1"


class Pointer:
    """A pointer of the compositor at `path`, by the protocol wlr-virtual-pointer, until it is closed."""

    def __init__(self, path: Path, width: int, height: int) -> None:
        self._extent = (width, height)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._send(_DISPLAY, _GET_REGISTRY, struct.pack("=I", _REGISTRY))
        self._send(_DISPLAY, _GET_SYNC, struct.pack("=I", _SYNC))
        number, version = self._globals()[_VIRTUAL_POINTER]
        bind = struct.pack("=I", number) + _text(_VIRTUAL_POINTER) + struct.pack("=II", min(version, 1), _MANAGER)
        self._send(_REGISTRY, _BIND, bind)
        self._send(_MANAGER, _CREATE, struct.pack("=II", 0, _POINTER))

    def move(self, x: int, y: int) -> None:
        self._send(_POINTER, _MOTION_ABSOLUTE, struct.pack("=IIIII", 0, x, y, *self._extent))
        self._send(_POINTER, _FRAME, b"")

    def close(self) -> None:
        self._socket.close()

    def _send(self, object_id: int, request: int, body: bytes) -> None:
        self._socket.sendall(struct.pack("=II", object_id, (8 + len(body)) << 16 | request) + body)

    def _globals(self) -> dict[str, tuple[int, int]]:
        """What the compositor has: name -> its number and version."""
        found: dict[str, tuple[int, int]] = {}
        while True:
            object_id, head = struct.unpack("=II", self._read(8))
            body = self._read((head >> 16) - 8)
            if object_id == _SYNC:
                return found
            if (object_id, head & 0xFFFF) == (_REGISTRY, _GLOBAL):
                number, length = struct.unpack_from("=II", body)
                [version] = struct.unpack_from("=I", body, len(body) - 4)
                found[body[8 : 8 + length - 1].decode()] = (number, version)

    def _read(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            part = self._socket.recv(size - len(read))
            if not part:
                raise OSError("the compositor has gone")
            read += part
        return read


def _text(text: str) -> bytes:
    raw = text.encode() + b"\0"
    return struct.pack("=I", len(raw)) + raw + bytes(-len(raw) % 4)


@dataclass(frozen=True, slots=True)
class Sway:
    """`variables` lead a program to it."""

    variables: dict[str, str]
    pointer: Pointer
    _start: Start

    def picture(self) -> Picture:
        with self._start(["grim", "-t", "ppm", "-"], self.variables) as grim:
            data, _ = grim.communicate(timeout=_DEADLINE_S)
        return Picture.of_ppm(data)


@contextmanager
def sway(directory: Path, start: Start, width: int, height: int, background: str = "#30404f") -> Iterator[Sway]:
    """`directory` is its user's own, of mode 0700; sway refuses to run as root."""
    config, control = directory / "sway.conf", directory / "sway.sock"
    config.write_text(_CONFIG.format(width=width, height=height, background=background))
    runtime = {"XDG_RUNTIME_DIR": str(directory)}
    with start(["sway", "-c", str(config)], {**runtime, **_HEADLESS, "SWAYSOCK": str(control)}) as server:
        try:
            [display, *_] = assert_eventually(
                lambda: [path for path in directory.glob("wayland-*") if path.suffix != ".lock"],
                _DEADLINE_S, "sway's display",
            )  # fmt: skip
            variables = {**runtime, "WAYLAND_DISPLAY": display.name, "SWAYSOCK": str(control)}
            pointer = assert_eventually(lambda: _pointer(display, width, height), _DEADLINE_S, "sway to listen")
            yield Sway(variables, pointer, start)
            pointer.close()
        finally:
            server.terminate()


def _pointer(display: Path, width: int, height: int) -> Pointer | None:
    try:
        return Pointer(display, width, height)
    except ConnectionRefusedError:
        return None

"""A screen without a monitor: Xvfb, whose picture lies in a file."""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HEADER_WORDS = 25
_WIDTH, _HEIGHT = 640, 400
Colour = tuple[int, int, int]


class Screen:
    """`display` is for DISPLAY. Read only as long as Xvfb runs."""

    def __init__(self, display: str, frame: Path) -> None:
        self.display = display
        self._frame = frame

    def pixels(self) -> tuple[int, int, list[bytes]]:
        """Width, height and rows of red, green, blue."""
        with self._frame.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            words = struct.unpack(f">{_HEADER_WORDS}I", raw[: 4 * _HEADER_WORDS])
            size, width, height, line, colours = words[0], words[4], words[5], words[12], words[19]
            start = size + 12 * colours
            rows = [raw[start + y * line : start + y * line + 4 * width] for y in range(height)]
        return width, height, [_rgb(row) for row in rows]

    def count(self, colour: Colour, spread: int = 8) -> int:
        """How many pixels have about this colour."""
        _width, _height, rows = self.pixels()
        return sum(
            all(abs(row[x + part] - colour[part]) <= spread for part in range(3))
            for row in rows
            for x in range(0, len(row), 3)
        )

    def save(self, path: Path, height: int | None = None, width: int | None = None) -> None:
        """As PNG; only the topmost rows and leftmost columns where asked for."""
        full_width, full_height, rows = self.pixels()
        width, height = width or full_width, height or full_height
        body = b"".join(b"\0" + row[: 3 * width] for row in rows[:height])
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(body, 9)), (b"IEND", b""))
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks))


def _rgb(row: bytes) -> bytes:
    made = bytearray(len(row) // 4 * 3)
    made[0::3], made[1::3], made[2::3] = row[2::4], row[1::4], row[0::4]
    return bytes(made)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@contextmanager
def screen(directory: Path, width: int = _WIDTH, height: int = _HEIGHT) -> Iterator[Screen]:
    """On a display number that nobody has."""
    reader, writer = os.pipe()
    argv = ["Xvfb", "-displayfd", str(writer), "-fbdir", str(directory), "-nolisten", "tcp"]
    size = ["-screen", "0", f"{width}x{height}x24"]
    with subprocess.Popen([*argv, *size], pass_fds=[writer], stderr=subprocess.DEVNULL) as server:
        os.close(writer)
        try:
            with open(reader, "rb", buffering=0) as ready:
                number = ready.readline().decode().strip()
            assert number, "Xvfb did not start"
            yield Screen(f":{number}", directory / "Xvfb_screen0")
        finally:
            server.terminate()

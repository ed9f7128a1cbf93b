"""A screen without a monitor: Xvfb, whose picture lies in a file."""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.desktop.picture import Colour, Picture

_HEADER_WORDS = 25
_WIDTH, _HEIGHT = 640, 400


class Screen:
    """`display` is for DISPLAY. Read only as long as Xvfb runs."""

    def __init__(self, display: str, frame: Path) -> None:
        self.display = display
        self._frame = frame

    def picture(self) -> Picture:
        with self._frame.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            words = struct.unpack(f">{_HEADER_WORDS}I", raw[: 4 * _HEADER_WORDS])
            size, width, height, line, colours = words[0], words[4], words[5], words[12], words[19]
            start = size + 12 * colours
            return Picture(tuple(_rgb(raw[start + y * line : start + y * line + 4 * width]) for y in range(height)))

    def count(self, colour: Colour, spread: int = 8) -> int:
        """How many pixels have about this colour."""
        return self.picture().count(colour, spread)

    def save(self, path: Path, height: int | None = None, width: int | None = None) -> None:
        """As PNG; only the topmost rows and leftmost columns where asked for."""
        self.picture().cut(width=width, height=height).save(path)


def _rgb(row: bytes) -> bytes:
    made = bytearray(len(row) // 4 * 3)
    made[0::3], made[1::3], made[2::3] = row[2::4], row[1::4], row[0::4]
    return bytes(made)


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

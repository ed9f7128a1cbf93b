"""A picture of a screen, as rows of red, green and blue, to cut, put together, count and save."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

Colour = tuple[int, int, int]
_PPM = re.compile(rb"P6\s(\d+)\s(\d+)\s255\s")


@dataclass(frozen=True, slots=True)
class Picture:
    """`rows` have three bytes a pixel."""

    rows: tuple[bytes, ...]

    @classmethod
    def of_ppm(cls, data: bytes) -> Self:
        """Raises ValueError where `data` is no binary PPM of 8 bits."""
        head = _PPM.match(data)
        if head is None:
            raise ValueError("not a binary PPM of 8 bits")
        line, body = 3 * int(head[1]), data[head.end() :]
        return cls(tuple(body[start : start + line] for start in range(0, line * int(head[2]), line)))

    @property
    def width(self) -> int:
        return len(self.rows[0]) // 3

    @property
    def height(self) -> int:
        return len(self.rows)

    def cut(self, left: int = 0, top: int = 0, width: int | None = None, height: int | None = None) -> Self:
        right = self.width if width is None else left + width
        bottom = self.height if height is None else top + height
        return type(self)(tuple(row[3 * left : 3 * right] for row in self.rows[top:bottom]))

    def count(self, colour: Colour, spread: int = 8) -> int:
        """How many pixels have about this colour."""
        return sum(
            all(abs(row[x + part] - colour[part]) <= spread for part in range(3))
            for row in self.rows
            for x in range(0, len(row), 3)
        )

    def save(self, path: Path) -> None:
        """As PNG."""
        body = b"".join(b"\0" + row for row in self.rows)
        header = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(body, 9)), (b"IEND", b""))
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks))


def stacked(pictures: Sequence[Picture], gap: int = 4, between: Colour = (255, 255, 255)) -> Picture:
    """One below the other, all as wide as the widest; what is left over has the colour `between`."""
    width = max(picture.width for picture in pictures)
    rows: list[bytes] = []
    for picture in pictures:
        rows += [bytes(between) * width] * (gap if rows else 0)
        rows += [row + bytes(between) * (width - picture.width) for row in picture.rows]
    return Picture(tuple(rows))


def beside(pictures: Sequence[Picture], gap: int = 4, between: Colour = (255, 255, 255)) -> Picture:
    """One beside the other, all as high as the highest."""
    height = max(picture.height for picture in pictures)
    filled = [(*picture.rows, *[bytes(between) * picture.width] * (height - picture.height)) for picture in pictures]
    return Picture(tuple((bytes(between) * gap).join(rows[y] for rows in filled) for y in range(height)))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

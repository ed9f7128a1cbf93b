"""Input line by line, never more of it in memory than is needed; a slow writer does not keep answers waiting."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import BinaryIO

from cortexd.errors import TooLarge

MAX_LINE_BYTES = 32 * 1024 * 1024
_READ_BYTES = 64 * 1024


async def lines_of(source: BinaryIO) -> AsyncIterator[tuple[int, str]]:
    """Number, from 1, and text of each line that is not blank. Raises TooLarge, OSError."""
    number, begun = 0, b""
    async for data in _pieces(source.fileno()):
        *whole, begun = (begun + data).split(b"\n")
        for line in whole:
            number += 1
            if line.strip():
                yield number, line.decode("utf-8", "replace")
        if len(begun) > MAX_LINE_BYTES:
            raise TooLarge(f"line {number + 1} of the input has more than {MAX_LINE_BYTES // 2**20} MiB")
    if begun.strip():
        yield number + 1, begun.decode("utf-8", "replace")


def count_lines(source: BinaryIO) -> int | None:
    """How many lines that are not blank, where the input can be read twice; None for a pipe."""
    if not source.seekable():
        return None
    count = sum(1 for line in source if line.strip())
    source.seek(0)
    return count


async def _pieces(fd: int) -> AsyncIterator[bytes]:
    pollable = True
    while True:
        if pollable:
            pollable = await _readable(fd)
        data = os.read(fd, _READ_BYTES)
        if not data:
            return
        yield data


async def _readable(fd: int) -> bool:
    """Wait until there is something to read; False for a file, which cannot be waited for and need not be."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    try:
        loop.add_reader(fd, _wake, waiter)
    except PermissionError:
        return False
    try:
        await waiter
    finally:
        loop.remove_reader(fd)
    return True


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)

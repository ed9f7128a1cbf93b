"""A line to stdout for each change, until whoever reads them has gone."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Callable

from cortexd.cli.panels.following import Following
from cortexd.cli.panels.formats import FORMATS
from cortexd.cli.panels.spending import Spending
from cortexd.cli.settings import Settings
from cortexd.cli.shown.terminal import one_line, print_text
from cortexd.cli.talking.session import client_of


def print_changes(settings: Settings, panel: str) -> None:
    """Until Ctrl-C, or the end of the pipe. `panel`: a key of FORMATS. Raises ServiceUnavailable without a bus."""
    line_of = FORMATS[panel]
    asyncio.run(_print(settings, lambda spending: print_text(one_line(line_of(spending)))))


async def _print(settings: Settings, show: Callable[[Spending], None]) -> None:
    async with client_of(settings, start=False) as client:
        following = asyncio.create_task(Following(client, settings.bus, show).follow())
        gone = asyncio.create_task(_reader_gone())
        try:
            await asyncio.wait((following, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
        if following.done():
            await following
        else:
            following.cancel()


async def _reader_gone() -> None:
    """Return once nobody reads our pipe any more, also while there is nothing to write; never where it is none."""
    gone = asyncio.Event()
    output = sys.stdout.fileno()
    if stat.S_ISFIFO(os.fstat(output).st_mode):
        # a write end never becomes readable: what epoll tells of it is that the other end was closed
        asyncio.get_running_loop().add_reader(output, gone.set)
    await gone.wait()

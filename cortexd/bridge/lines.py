"""The bridge's connections: whose each is, how many there may be, and when none is left.

Another user's are answered too, with a refusal, but take no room from the bridge's own.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.web_request import BaseRequest

from cortexd.bridge.guards import uid_of

_MOST_HEADERS = 100  # of 8 KiB each


class Line(web.RequestHandler):
    """One connection. `uid`: whose the other end is, None where nobody knows; `heard`: whether a request has come."""

    def __init__(self, lines: Lines, manager: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        quiet: Any = None  # aiohttp's word for no access log
        super().__init__(
            manager,
            loop=loop,
            access_log=quiet,
            keepalive_timeout=lines.next_request_s,
            lingering_time=lines.linger_s,
            max_headers=_MOST_HEADERS,
        )
        self.uid: int | None = None
        self.heard = False
        self._lines = lines

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.uid = uid_of(transport.get_extra_info("socket"))
        if not self._lines.take(self):
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._lines.leave(self)


@dataclass(slots=True)
class Lines:
    """`own`: whose bridge it is. `most`: connections of theirs; `next_request_s`: how long one may take from its begin,
    or from the last answer, to the end of the next request's head; `linger_s`: how long a refused body is heard."""

    own: int
    most: int = 256
    most_of_others: int = 16
    next_request_s: float = 60.0
    linger_s: float = 2.0
    _mine: set[Line] = field(default_factory=set)
    _others: set[Line] = field(default_factory=set)
    _empty: asyncio.Event = field(default_factory=asyncio.Event)
    _busy: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._empty.set()

    def factory(self, manager: web.Server, loop: asyncio.AbstractEventLoop, kind: type[Line] = Line) -> Any:
        """Of protocols, for asyncio's servers."""
        return partial(kind, self, manager, loop)

    def take(self, line: Line) -> bool:
        """Whether there is room for it."""
        lines, most = (self._mine, self.most) if line.uid == self.own else (self._others, self.most_of_others)
        if len(lines) >= most:
            return False
        lines.add(line)
        if lines is self._mine:
            self._empty.clear()
            self._busy.set()
        return True

    def leave(self, line: Line) -> None:
        self._others.discard(line)
        self._mine.discard(line)
        if not self._mine:
            self._busy.clear()
            self._empty.set()

    @property
    def unanswered(self) -> bool:
        """Whether somebody has connected who was never heard."""
        return any(not line.heard for line in self._mine)

    @property
    def used(self) -> bool:
        return bool(self._mine)

    async def idle(self, seconds: float) -> None:
        """Until for so long nobody of ours was connected."""
        while True:
            await self._empty.wait()
            try:
                async with asyncio.timeout(seconds):
                    await self._busy.wait()
            except TimeoutError:
                return


def line_of(request: BaseRequest) -> Line:
    line = request.protocol
    assert isinstance(line, Line)
    return line

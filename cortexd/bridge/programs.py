"""Which program is behind each connection: found at its first request, and known until it closes."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from pathlib import Path
from weakref import WeakKeyDictionary

from cortexd.bridge.peer import of_process
from cortexd.bridge.program import PROC, program_of
from cortexd.bridge.sock_diag import end_behind
from cortexd.bridge.socket_holder import holder_of, holds
from cortexd.domain.apps import Program, Source

_REMEMBERED = 8  # processes that asked of late: they ask again


class Programs:
    """`app`: the one program that the bridge is for, by the word of whoever started both; "" where it is for all."""

    def __init__(self, app: str = "", proc: Path = PROC) -> None:
        self._only = Program(app, Source.STARTED) if app else None
        self._proc = proc
        self._known: WeakKeyDictionary[asyncio.BaseTransport, Program] = WeakKeyDictionary()
        self._lately: deque[int] = deque(maxlen=_REMEMBERED)

    async def behind(self, transport: asyncio.BaseTransport | None) -> Program | None:
        """None where nobody can say."""
        if self._only is not None or transport is None:
            return self._only
        found = self._known.get(transport)
        if found is None:
            connection: socket.socket | None = transport.get_extra_info("socket")
            found = None if connection is None else await asyncio.to_thread(self._find, connection)
            if found is not None:
                self._known[transport] = found
        return found

    def _find(self, connection: socket.socket) -> Program | None:
        """Reads /proc, which may wait for a process that is being changed."""
        if connection.family == socket.AF_UNIX:
            return of_process(connection, lambda pid: program_of(pid, self._proc))
        end = end_behind(connection)
        pid = None if end is None else holder_of(end.inode, end.uid, self._proc, tuple(self._lately))
        if end is None or pid is None:
            return None
        found = program_of(pid, self._proc)
        if not holds(pid, end.inode, self._proc):
            return None
        if pid not in self._lately:
            self._lately.append(pid)
        return found

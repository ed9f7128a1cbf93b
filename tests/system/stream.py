"""OpenStream as a program uses it: the descriptor from the reply, its lines as plain dictionaries."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from typing import Any, Self

from dbus_next import Message

from cortexd.connection import take_fd
from tests.system.program import Program, dictionary, message, messages

Event = dict[str, Any]


@dataclass(slots=True)
class Stream:
    """One stream's read end. `close` it, or read it to its end."""

    request_id: str
    descriptor: int

    @classmethod
    async def open(cls, program: Program, task_type: str, prompt: str, **options: Any) -> Self:
        """Raises BusError."""
        return await cls.of(
            program, message("OpenStream", "saa{sv}a{sv}", task_type, messages(prompt), dictionary(options))
        )

    @classmethod
    async def of(cls, program: Program, call: Message) -> Self:
        """The stream that this call opens. Raises BusError."""
        reply = await program.connection.call(call, timeout_s=60, take_fds=True)
        request_id, index = reply.body
        return cls(request_id, take_fd(reply, index))

    async def read(self, timeout_s: float = 30) -> list[Event]:
        """Every event up to the end of the pipe."""
        async with asyncio.timeout(timeout_s):
            return await asyncio.to_thread(self._read)

    async def some(self, size: int = 65536) -> bytes:
        """The next bytes, whatever they hold."""
        async with asyncio.timeout(30):
            return await asyncio.to_thread(os.read, self.descriptor, size)

    def close(self) -> None:
        os.close(self.descriptor)

    def _read(self) -> list[Event]:
        return read_events(self.descriptor)


def read_events(descriptor: int) -> list[Event]:
    """Up to the end of the pipe; the bytes that follow a line of type raw are its data."""
    events = []
    with os.fdopen(descriptor, "rb") as stream:
        for line in stream:
            events.append(event := json.loads(line))
            if event["type"] == "raw":
                event["data"] = stream.read(event["bytes"])
    return events


def text_of(events: list[Event]) -> str:
    """The text after the last fallback."""
    text = ""
    for event in events:
        text = "" if event["type"] == "fallback" else text + event.get("text", "")
    return text

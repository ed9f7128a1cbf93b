"""Kept connections: what is sent on one that the server has just closed, and how long one is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from cortexd.errors import Failure, ProviderError
from cortexd.providers.connections import kept_seconds
from tests.contract.conftest import MakeProvider, call
from tests.contract.kinds import KINDS, each

Leave = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Leaving:
    """Answers one request on each connection, and leaves when a second comes, or is left."""

    name: str = "kimi_k2"
    keep_alive: str = ""
    leave: Leave | None = None
    answers_first: bool = True
    port: int = 0
    connections: list[int] = field(default_factory=list)  # requests on each

    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}" + KINDS[self.name].path

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.connections)
        self.connections.append(0)
        try:
            while await take_request(reader):
                self.connections[number] += 1
                if self.leave and (self.connections[number] > 1 or not self.answers_first):
                    await self.leave(writer)
                    return
                body = json.dumps(KINDS[self.name].whole("hello")).encode()
                head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
                writer.write(head.encode() + self.keep_alive.encode() + b"\r\n" + body)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def take_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Its head and body. Raises IncompleteReadError where the client has left."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    return head, await reader.readexactly(length)


async def with_an_end(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def with_a_reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def in_the_head(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-")
    writer.close()


async def after_work(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(1.2)  # longer than a request that came too late is on its way
    writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Leaving]:
    state = Leaving()
    listening = await asyncio.start_server(state.serve, "127.0.0.1", 0)
    state.port = listening.sockets[0].getsockname()[1]
    yield state
    listening.close()


class TestSentTooLate:
    @each
    @pytest.mark.parametrize("leave", [with_an_end, with_a_reset])
    async def test_it_is_sent_again(self, server: Leaving, make: MakeProvider, name: str, leave: Leave) -> None:
        """Once, on a new connection, and the caller hears nothing of it."""
        server.name, server.leave = name, leave
        provider = make(name, server.url())
        assert [(await provider.complete(call(name))).content for _ in range(2)] == ["hello", "hello"]
        assert server.connections == [2, 1]

    async def test_only_once(self, server: Leaving, make: MakeProvider) -> None:
        """Where the new connection ends as well, somebody may have worked."""
        provider = make("kimi_k2", server.url())
        await provider.complete(call("kimi_k2"))
        server.leave, server.answers_first = with_an_end, False
        error = await failed(provider.complete(call("kimi_k2")))
        assert (error.failure, error.may_have_billed, server.connections) == (Failure.CONNECTION, True, [2, 1])

    async def test_not_from_a_new_connection(self, server: Leaving, make: MakeProvider) -> None:
        """It was not idle: the server took the request, and may have billed it."""
        server.leave, server.answers_first = with_an_end, False
        error = await failed(make("kimi_k2", server.url()).complete(call("kimi_k2")))
        assert (error.failure, error.may_have_billed, server.connections) == (Failure.CONNECTION, True, [1])

    @pytest.mark.parametrize("leave", [in_the_head, after_work])
    async def test_not_where_work_had_begun(self, server: Leaving, make: MakeProvider, leave: Leave) -> None:
        """A byte of answer, or some time, says that the request had arrived."""
        server.leave = leave
        provider = make("kimi_k2", server.url())
        await provider.complete(call("kimi_k2"))
        error = await failed(provider.complete(call("kimi_k2")))
        assert (error.may_have_billed, server.connections) == (True, [2])


class TestIdle:
    @pytest.mark.parametrize(("keep_alive", "connections"), [("", [2]), ("Keep-Alive: timeout=1, max=100\r\n", [1, 1])])
    async def test_it_is_left_before_the_server_leaves(
        self, server: Leaving, make: MakeProvider, keep_alive: str, connections: list[int]
    ) -> None:
        """As the server's Keep-Alive says, less a second; some seconds where it says nothing."""
        server.keep_alive = keep_alive
        provider = make("kimi_k2", server.url())
        await provider.complete(call("kimi_k2"))
        await asyncio.sleep(0.3)  # idle
        await provider.complete(call("kimi_k2"))
        assert server.connections == connections

    @pytest.mark.parametrize(
        ("header", "seconds"),
        [("timeout=5", 4), ("max=3, Timeout = 75", 60), ("timeout=0", 0.1), ("", None), ("timeout=soon", None)],
    )
    def test_what_keep_alive_says(self, header: str, seconds: float | None) -> None:
        """A second less, within bounds; nothing where it says nothing that can be read."""
        assert kept_seconds(header) == seconds


async def failed(asking: Awaitable[object]) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await asking
    return caught.value

"""Real SDKs over real HTTP: the simulated providers, and servers that send whatever bytes a test gives them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cortexd.config.settings import NetworkSettings, ProviderSettings, Secret
from cortexd.domain.messages import Call, Message, Role
from cortexd.providers import Provider, make_provider, preload
from simulated import SimulatedProviders
from tests.contract.kinds import KINDS
from tests.simulated import running_fixture, simulated_fixture  # noqa: F401

MODELS = {name: kind.model for name, kind in KINDS.items()}
MAX_ANSWER_BYTES = 1024 * 1024
DIRECT = NetworkSettings()

MakeProvider = Callable[..., Provider]


@dataclass
class HostileServer:
    """Answers every request on a connection with `reply`, as raw bytes, and remembers what came."""

    port: int = 0
    reply: bytes = b""
    endless: bytes = b""  # repeated after the reply until the client leaves or `most` bytes are out
    most: int = 40 * 1024 * 1024
    requests: list[bytes] = field(default_factory=list)
    pieces: tuple[bytes, ...] = ()  # sent after the reply, each in a packet of its own
    sent: int = 0
    connections: int = 0
    left: int = 0  # connections that the client closed while the server was still sending or waiting

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}{KINDS[name].path if name in KINDS else '/v1'}"

    def json(self, text: str | bytes, status: str = "200 OK", headers: str = "") -> None:
        body = text.encode() if isinstance(text, str) else text
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
        self.reply = head.encode() + body

    def events(self, *pieces: bytes) -> None:
        """An event stream that arrives in these pieces, and the end of the connection."""
        self.reply = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        self.pieces = pieces

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left += 1
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        self.requests.append(head + await reader.readexactly(int(length.group(1)) if length else 0))
        writer.write(self.reply)
        await writer.drain()
        for piece in self.pieces:
            await asyncio.sleep(0.001)
            writer.write(piece)
            await writer.drain()
        while self.endless and self.sent < self.most:
            writer.write(self.endless)
            self.sent += len(self.endless)
            await writer.drain()
        return bool(self.reply) and not self.endless and not self.pieces


@pytest.fixture
async def hostile() -> AsyncIterator[HostileServer]:
    state = HostileServer()
    server = await asyncio.start_server(state.serve, "127.0.0.1", 0)
    state.port = server.sockets[0].getsockname()[1]
    yield state
    server.close()


@pytest.fixture
def vllm(simulated: SimulatedProviders) -> Iterator[str]:
    """The address of an endpoint that is nobody's own, as new, before and after."""
    simulated.reset("vllm")
    yield simulated.url("vllm")
    simulated.reset("vllm")


@pytest.fixture(scope="session")
def sdks() -> None:
    """Loaded before any call's own time runs, which on a busy machine is shorter than that takes."""
    asyncio.run(preload({"openai", *(kind.api for kind in KINDS.values())}))


@pytest.fixture
async def make(sdks: None) -> AsyncIterator[MakeProvider]:
    """Makes the provider `name` (of KINDS, or one in OpenAI's style) at a base URL; closes all of them at the end."""
    made: list[Provider] = []

    def build(name: str, url: str, network: NetworkSettings = DIRECT, **changes: Any) -> Provider:
        limit = changes.pop("max_answer_bytes", MAX_ANSWER_BYTES)
        api = KINDS[name].api if name in KINDS else "openai"
        settings = ProviderSettings(name, api, url, MODELS.get(name, name), key=Secret(f"sk-sim-{name}-0123456789"))
        made.append(make_provider(replace(settings, **changes), network, max_answer_bytes=limit))
        return made[-1]

    yield build
    for provider in made:
        await provider.aclose()


async def made_ready(make: MakeProvider, name: str, hostile: HostileServer, **changes: Any) -> Provider:
    """One that has had an answer: a short limit bounds its server's silence, not the import of an SDK."""
    provider = make(name, hostile.url(name), **changes)
    hostile.json(KINDS[name].reply("hello"))
    await provider.complete(call(name))
    return provider


def call(name: str, text: str = "hello", **changes: Any) -> Call:
    """A short call for the provider `name`."""
    plain = Call(MODELS[name], (Message(Role.USER, text),), timeout_s=10.0, max_tokens=1000)
    return replace(plain, **changes)

"""Endpoints of one's own: they start, lack a part of their address, or leave out what they cannot do."""

from __future__ import annotations

import asyncio
import socket
from itertools import islice
from typing import Any

import pytest

from cortexd.errors import Failure, ProviderError
from cortexd.providers import Listener
from cortexd.providers.starting import Starting, pauses
from simulated import Behaviour, SimulatedProviders
from tests.contract.conftest import HostileServer, MakeProvider, call
from tests.contract.test_providers_connections import failed, take_request

LOADING = Behaviour(times=3, status=503, error_message="Loading model")
REFUSED = ProviderError(Failure.CONNECTION, "refused")
SCHEMA = '{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}'


class TestStarting:
    async def test_one_that_loads_its_model_is_waited_for(
        self, simulated: SimulatedProviders, make: MakeProvider
    ) -> None:
        """A local one; a hosted one that says so is overloaded like any other."""
        simulated.behave("kimi_k2", LOADING)
        hosted = await failed(make("kimi_k2", simulated.url("kimi_k2")).complete(call("kimi_k2")))
        assert hosted.failure is Failure.OVERLOADED
        answer = await make("kimi_k2", simulated.url("kimi_k2"), local=True).complete(call("kimi_k2"))
        assert answer.content
        assert simulated.counts("kimi_k2").requests == 4

    async def test_nobody_but_the_deadline_ends_it(self, simulated: SimulatedProviders, make: MakeProvider) -> None:
        """However long it loads, in whatever words; whoever listens is told each time that it is waited for."""
        waits: list[None] = []
        simulated.behave("kimi_k2", LOADING)
        listener = Listener()
        listener.waits = lambda: waits.append(None)
        await make("kimi_k2", simulated.url("kimi_k2"), local=True).complete(call("kimi_k2"), listener)
        assert len(waits) == 3
        for words in (
            "Loading model",
            "The server is starting",
            "model warming up",
            "not ready",
            "not yet ready",
        ):
            error = ProviderError(Failure.OVERLOADED, words, 503)
            assert Starting(local=True).waits(error, 86_400.0)
            assert not Starting(local=False).waits(error, 0.0)

    async def test_another_503_is_none(self, simulated: SimulatedProviders, make: MakeProvider) -> None:
        """Busy is not loading."""
        simulated.behave("kimi_k2", Behaviour(times=1, status=503, error_message="no slot is free"))
        await failed(make("kimi_k2", simulated.url("kimi_k2"), local=True).complete(call("kimi_k2")))
        assert simulated.counts("kimi_k2").requests == 1

    async def test_one_that_does_not_listen_yet(self, make: MakeProvider) -> None:
        """As after a boot, where the daemon was quicker."""
        server = HostileServer()
        server.json('{"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}')
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            server.port = bound.getsockname()[1]
            asking = asyncio.create_task(make("kimi_k2", server.url("kimi_k2"), local=True).complete(call("kimi_k2")))
            await asyncio.sleep(0.5)  # refused meanwhile
            assert not asking.done()
            async with await asyncio.start_server(server.serve, sock=bound):
                assert (await asking).content == "hello"

    def test_who_refuses_is_waited_for_once(self) -> None:
        """Seconds after this daemon's start, and after an answer; in vain, it is asked no more than any other."""
        now = [0.0]
        starting = Starting(local=True, clock=lambda: now[0])
        assert (starting.waits(REFUSED, 0), starting.waits(REFUSED, 5.1)) == (True, False)
        assert not starting.waits(REFUSED, 0)
        starting.answered("m")
        assert starting.waits(REFUSED, 0)
        now[0] = 70
        assert not starting.waits(REFUSED, 0)

    @pytest.mark.parametrize(
        "error",
        [
            ProviderError(Failure.CONNECTION, "broke off", may_have_billed=True),
            ProviderError(Failure.SERVER, "loading", 500),
            ProviderError(Failure.TIMEOUT, "loading", may_have_billed=True),
        ],
        ids=["broke off", "500", "silence"],
    )
    def test_nothing_else_is_waited_for(self, error: ProviderError) -> None:
        """What may have cost something least of all."""
        assert not Starting(local=True).waits(error, 0)

    def test_pauses_grow_to_a_bound(self) -> None:
        """From a quarter of a second to five, at least half of each."""
        assert all(0.125 <= pause <= 5 for pause in islice(pauses(), 100))
        assert min(list(islice(pauses(), 20))[10:]) >= 2.5


class TestAddress:
    async def test_one_without_its_v1_is_told(self, make: MakeProvider) -> None:
        """What to set, asked for once; no prompt is sent elsewhere than the configuration says."""
        asked: list[tuple[str, bytes]] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head, body = await take_request(reader)
            path = head.split()[1].decode()
            asked.append((path, body))
            status = "400 Bad Request" if path.startswith("/v1/") else "404 Not Found"
            writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            provider = make("kimi_k2", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            for _ in range(2):
                error = await failed(provider.complete(call("kimi_k2")))
                assert error.status == 404
                assert error.message.endswith("add /v1 to providers.kimi_k2.base_url")
        below = "/v1/chat/completions"
        assert [path for path, _ in asked] == [*["/chat/completions"] * 2, below, "/chat/completions"]
        assert [body for path, body in asked if path == below] == [b"{}"]

    @pytest.mark.parametrize(
        ("base", "there", "advice"),
        [
            ("", "/v1/responses", ("add /v1 to providers.openai.base_url",)),
            ("/v1", "/v1/chat/completions", ('set api = "openai" for providers.openai',)),
            (
                "",
                "/v1/chat/completions",
                ('set api = "openai" for providers.openai', "add /v1 to providers.openai.base_url"),
            ),
            ("/v1", "/v1/models", ()),
        ],
    )
    async def test_one_without_the_responses_api(
        self, make: MakeProvider, base: str, there: str, advice: tuple[str, ...]
    ) -> None:
        """What to set so that it answers, found by bodies that cost nothing; nothing where no path does."""
        asked: list[tuple[str, bytes]] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head, body = await take_request(reader)
            asked.append((head.split()[1].decode(), body))
            status = "400 Bad Request" if asked[-1][0] == there else "404 Not Found"
            writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            provider = make("openai", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{base}")
            error = await failed(provider.complete(call("openai")))
        assert error.status == 404
        assert all(words in error.message for words in advice)
        assert any(words in error.message for words in ("base_url", "api = ")) == bool(advice)
        assert {body for _, body in asked[1:]} == {b"{}"}

    async def test_one_that_has_it_is_not(self, simulated: SimulatedProviders, make: MakeProvider) -> None:
        """There a 404 is about the model."""
        simulated.behave("kimi_k2", Behaviour(status=404))
        error = await failed(make("kimi_k2", simulated.url("kimi_k2")).complete(call("kimi_k2")))
        assert "base_url" not in error.message
        assert simulated.counts("kimi_k2").requests == 1


class TestIgnoredOptions:
    @pytest.mark.parametrize(
        ("reply", "options", "dropped"),
        [
            ("not JSON", {"response_schema": SCHEMA}, ("response_schema",)),
            ("```json\n{}\n```", {"response_schema": SCHEMA}, ("response_schema",)),
            ('{"a": 1}', {"response_schema": SCHEMA}, ()),
            ("not JSON", {}, ()),
        ],
    )
    async def test_they_are_named(
        self,
        simulated: SimulatedProviders,
        make: MakeProvider,
        reply: str,
        options: dict[str, Any],
        dropped: tuple[str, ...],
    ) -> None:
        """An answer that is no JSON was not shaped by a schema, whatever the server says that it takes."""
        simulated.behave("kimi_k2", Behaviour(reply=reply))
        answer = await make("kimi_k2", simulated.url("kimi_k2")).complete(call("kimi_k2", **options))
        assert answer.dropped_options == dropped

"""Answers without an end, in size or in time: given up, so that another provider can answer."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import openai
import pytest

from cortexd.config import defaults
from llm_router import LLMProvider, LLMRouter
from simulated import Behaviour, SimulatedProviders
from tests.eventually import assert_eventually_async
from tests.library.conftest import MakeRouter, ask

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n"


@pytest.fixture
async def dripping() -> AsyncIterator[str]:
    """A server that sends a byte of an answer now and then, for as long as anybody listens."""
    listening = 0

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal listening
        listening += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        try:
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            writer.close()
            listening -= 1

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await assert_eventually_async(lambda: listening == 0, message="every client left")


class TestSize:
    async def test_an_enormous_answer(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """An answer beyond 16 MiB is not read to its end."""
        simulated.behave("claude", Behaviour(size_bytes=17 * 1024 * 1024))
        assert router.complete(ask()).provider is LLMProvider.KIMI_K2
        assert (await router.acomplete(ask())).provider is LLMProvider.KIMI_K2
        await router.aclose()

    def test_an_enormous_stream(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """A stream ends there too; what had come out until then stands."""
        simulated.behave("kimi_k2", Behaviour(size_bytes=17 * 1024 * 1024, chunks=20))
        size = 0
        with pytest.raises(openai.APIConnectionError) as caught:  # noqa: PT012  # the pieces before it count
            for piece in router.stream(ask(), force_provider=LLMProvider.KIMI_K2):
                size += len(piece)
        assert "larger than allowed" in str(caught.value.__cause__)
        assert 10_000_000 < size <= 16 * 1024 * 1024


class TestTime:
    async def test_an_answer_that_drips(self, make: MakeRouter, monkeypatch: pytest.MonkeyPatch, dripping: str) -> None:
        """A provider that keeps sending without ever ending is given up after twice its time-out."""
        impatient = tuple(dataclasses.replace(item, timeout_s=0.3) for item in defaults.PROVIDERS)
        monkeypatch.setattr(defaults, "PROVIDERS", impatient)
        router = make(claude_base_url=dripping)
        assert (await asyncio.to_thread(router.complete, ask())).provider is LLMProvider.KIMI_K2
        assert (await router.acomplete(ask())).provider is LLMProvider.KIMI_K2
        await router.aclose()

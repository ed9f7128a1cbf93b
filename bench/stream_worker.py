"""The streams' baseline: Claude's stream read through the bare SDK, and as raw bytes, in a process of their own.

Takes orders as bench.sdk_worker does: one JSON object per line ({"reader", "streams"}; readers: `sdk`, `raw`), one
line back. `raw` looks for the bytes of a text event and parses nothing: the least that any reader can cost.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from bench.sdk_worker import KEY, MAX_TOKENS, PROMPT, answer_orders

_QUESTION: dict[str, Any] = {
    "model": "claude-sonnet-5-5",
    "max_tokens": MAX_TOKENS,
    "messages": [{"role": "user", "content": PROMPT}],
}

Chunks = Callable[[], AsyncIterator[int]]  # the number of text chunks that came each time something came


def sdk_chunks(base_url: str) -> Chunks:
    import anthropic

    client = anthropic.AsyncAnthropic(
        api_key=KEY,
        base_url=base_url,
        max_retries=0,
        open_telemetry=False,
        http_client=anthropic.DefaultAioHttpClient(trust_env=False),
    )

    async def chunks() -> AsyncIterator[int]:
        async with await client.messages.create(**_QUESTION, stream=True) as stream:
            async for event in stream:
                if event.type == "content_block_delta" and event.delta.text:
                    yield 1

    return chunks


def raw_chunks(base_url: str) -> Chunks:
    import aiohttp

    session = aiohttp.ClientSession(headers={"x-api-key": KEY})

    async def chunks() -> AsyncIterator[int]:
        async with session.post(f"{base_url}/v1/messages", json=_QUESTION | {"stream": True}) as answer:
            left = b""
            async for data in answer.content.iter_any():
                whole, newline, left = (left + data).rpartition(b"\n")
                if found := (whole + newline).count(b'"text_delta"'):
                    yield found

    return chunks


async def read_streams(chunks: Chunks, streams: int) -> dict[str, Any]:
    """`streams` streams, one after the other."""
    first_ns: list[int] = []
    latency_ns: list[int] = []
    total = 0
    cpu, begin = time.process_time(), time.perf_counter()
    for _ in range(streams):
        start, first = time.perf_counter_ns(), 0
        async for found in chunks():
            first = first or time.perf_counter_ns()
            total += found
        first_ns.append(first - start)
        latency_ns.append(time.perf_counter_ns() - start)
    return {
        "seconds": time.perf_counter() - begin,
        "cpu_s": time.process_time() - cpu,
        "streams": streams,
        "failures": 0,
        "chunks": total,
        "first_ns": first_ns,
        "latency_ns": latency_ns,
        "error": "",
    }


async def main(base_url: str) -> None:
    readers = {"sdk": sdk_chunks(base_url), "raw": raw_chunks(base_url)}

    async def obey(wish: dict[str, Any]) -> dict[str, Any]:
        return await read_streams(readers[wish["reader"]], wish["streams"])

    await answer_orders(sorted(readers), obey)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

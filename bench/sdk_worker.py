"""The baseline: the bare SDKs as a careful user calls them, in a process of their own.

    python -m bench.sdk_worker BASE_URL [VENDOR…]     claude and kimi_k2 where none is named

Reads one JSON object per line ({"vendor", "in_flight", "calls"}), makes those calls and writes one line back.
Careful: one client for all calls, the aiohttp transport, no retries, tracing off. So the baseline is the SDK at its
best, and what cortexd adds is not made to look small; `usual` is the SDK as it comes. The vendor `plain` is no SDK:
OpenAI's request over bare aiohttp, the cheapest client for a peer that is measured by its own CPU.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

KEY = "bench"
PROMPT = "Say hello in one short sentence."
MAX_TOKENS = 4096

Ask = Callable[[], Awaitable[str | None]]


def anthropic_call(base_url: str) -> Ask:
    import anthropic

    client = anthropic.AsyncAnthropic(
        api_key=KEY,
        base_url=base_url,
        max_retries=0,
        open_telemetry=False,
        http_client=anthropic.DefaultAioHttpClient(trust_env=False),
    )
    return _message_of(client)


def usual_call(base_url: str) -> Ask:
    """As nearly every program makes it: the SDK as it comes, on httpx."""
    import anthropic

    return _message_of(anthropic.AsyncAnthropic(api_key=KEY, base_url=base_url))


def _message_of(client: AsyncAnthropic) -> Ask:
    async def ask() -> str | None:
        message = await client.messages.create(
            model="claude-sonnet-5-5", max_tokens=MAX_TOKENS, messages=[{"role": "user", "content": PROMPT}]
        )
        return getattr(message.content[0], "text", None)

    return ask


def openai_call(base_url: str) -> Ask:
    import openai

    client = openai.AsyncOpenAI(
        api_key=KEY,
        base_url=f"{base_url}/v1",
        max_retries=0,
        http_client=openai.DefaultAioHttpClient(trust_env=False),
    )

    async def ask() -> str | None:
        completion = await client.chat.completions.create(
            model="kimi-k2.6", max_tokens=MAX_TOKENS, messages=[{"role": "user", "content": PROMPT}]
        )
        return completion.choices[0].message.content

    return ask


def plain_call(base_url: str) -> Ask:
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers={"x-api-key": KEY})
    body = {"model": "chat", "max_tokens": MAX_TOKENS, "messages": [{"role": "user", "content": PROMPT}]}

    async def ask() -> str | None:
        async with session.post(f"{base_url}/v1/chat/completions", json=body) as answer:
            text: str | None = (await answer.json())["choices"][0]["message"]["content"]
            return text

    return ask


VENDORS: Mapping[str, Callable[[str], Ask]] = {
    "claude": anthropic_call,
    "usual": usual_call,
    "kimi_k2": openai_call,
    "plain": plain_call,
}


async def make_calls(ask: Ask, in_flight: int, calls: int) -> dict[str, Any]:
    """`calls` calls, `in_flight` at a time; a failed one is counted and its text kept once."""
    latency_ns: list[int] = []
    errors: list[str] = []
    left = iter(range(calls))

    async def ask_on() -> None:
        for _ in left:
            start = time.perf_counter_ns()
            try:
                text = await ask()
            except Exception as error:
                errors.append(f"{type(error).__name__}: {error}")
                continue
            if text:
                latency_ns.append(time.perf_counter_ns() - start)
            else:
                errors.append("an answer without text")

    cpu, start = time.process_time(), time.perf_counter()
    await asyncio.gather(*(ask_on() for _ in range(in_flight)))
    return {
        "seconds": time.perf_counter() - start,
        "cpu_s": time.process_time() - cpu,
        "calls": calls,
        "failures": len(errors),
        "error": errors[0] if errors else "",
        "latency_ns": latency_ns,
    }


async def answer_orders(ready: Sequence[str], obey: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]) -> None:
    """Say that it is ready, then answer each line by one, until there are no more."""
    print(json.dumps({"ready": ready}), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await obey(json.loads(line))), flush=True)


async def serve(vendors: Mapping[str, Ask]) -> None:
    """Make the calls that each line asks for."""

    async def obey(wish: dict[str, Any]) -> dict[str, Any]:
        return await make_calls(vendors[wish["vendor"]], wish["in_flight"], wish["calls"])

    await answer_orders(sorted(vendors), obey)


async def main(base_url: str, names: Sequence[str]) -> None:
    await serve({name: VENDORS[name](base_url) for name in names or ("claude", "kimi_k2")})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))

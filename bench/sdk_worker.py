"""The baseline: the bare SDKs as a careful user calls them, in a process of their own.

Reads one JSON object per line ({"vendor", "in_flight", "calls"}), makes those calls and writes one line back.
Careful: one client for all calls, the aiohttp transport, no retries, tracing off. So the baseline is the SDK at its
best, and what cortexd adds is not made to look small.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

PROMPT = "Say hello in one short sentence."
MAX_TOKENS = 4096

Ask = Callable[[], Awaitable[str | None]]


def anthropic_call(base_url: str) -> Ask:
    import anthropic

    client = anthropic.AsyncAnthropic(
        api_key="bench",
        base_url=base_url,
        max_retries=0,
        open_telemetry=False,
        http_client=anthropic.DefaultAioHttpClient(trust_env=False),
    )

    async def ask() -> str | None:
        message = await client.messages.create(
            model="claude-sonnet-5-5", max_tokens=MAX_TOKENS, messages=[{"role": "user", "content": PROMPT}]
        )
        return getattr(message.content[0], "text", None)

    return ask


def openai_call(base_url: str) -> Ask:
    import openai

    client = openai.AsyncOpenAI(
        api_key="bench",
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


async def main(base_url: str) -> None:
    vendors = {"claude": anthropic_call(base_url), "kimi_k2": openai_call(base_url)}
    print(json.dumps({"ready": sorted(vendors)}), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        wish = json.loads(line)
        print(json.dumps(await make_calls(vendors[wish["vendor"]], wish["in_flight"], wish["calls"])), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

"""What the tests of failures share: a service whose providers have other settings, its streams, its books."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cortexd.bus.pipe import PipeSink, make_pipe
from cortexd.domain.targets import parse_targets
from cortexd.domain.tasks import TaskType
from cortexd.pool import make_pool
from cortexd.providers import make_provider
from cortexd.requests.setup import Setup
from tests.system.books import read_books
from tests.unit.test_execution import HELLO, Bench

OTHER = {"claude": "kimi_k2", "kimi_k2": "claude"}
PROVIDERS = tuple(OTHER)
each_kind = pytest.mark.parametrize("first", PROVIDERS, ids=("anthropic", "openai"))
Event = dict[str, Any]


async def adopt(
    bench: Bench,
    first: str = "claude",
    providers: Mapping[str, Mapping[str, Any]] | None = None,
    **routing: Any,
) -> None:
    """Have `first` asked first, with these settings of providers and of routing."""
    table = {TaskType.USER_CHAT: parse_targets(first)}
    config = replace(bench.config, routing=replace(bench.config.routing, table=table, **routing))
    changed = {name: replace(config.providers[name], **settings) for name, settings in (providers or {}).items()}
    config = replace(config, providers={**config.providers, **changed})
    for name, settings in changed.items():
        await bench.providers[name].aclose()
        make = make_pool if settings.pooled else make_provider
        bench.providers[name] = make(settings, config.network, max_answer_bytes=config.limits.max_answer_bytes)
    bench.setup = Setup(config, bench.setup.catalog.with_settings(config.providers), bench.providers)
    bench.service.adopt(bench.setup)


async def warm_up(bench: Bench) -> None:
    """Every SDK is imported, which takes longer than these tests' limits."""
    for name in PROVIDERS:
        await bench.ask(provider=name)
        bench.simulated.reset(name)
    bench.events.clear()


async def stream(bench: Bench, task: str = "user_chat", messages: object = HELLO, **options: Any) -> list[Event]:
    """Every event of one stream, each as its line says."""
    read_end, write_end = make_pipe()
    sink = PipeSink(write_end, 5.0)
    try:
        feeding = await bench.service.stream(bench.service.decode(bench.caller(), task, messages, options), sink)
    except BaseException:
        sink.close()
        os.close(read_end)
        raise

    def read() -> list[Event]:
        with os.fdopen(read_end, "rb") as lines:
            return [json.loads(line) for line in lines]

    events = await asyncio.to_thread(read)
    await feeding
    return events


def text_of(events: list[Event]) -> str:
    """What a client takes for the answer."""
    text = ""
    for event in events:
        text = "" if event["type"] == "fallback" else text + event.get("text", "")
    return text


def kinds(events: list[Event]) -> list[str]:
    """Their types, those that repeat once."""
    types = [event["type"] for event in events]
    return [kind for kind, before in zip(types, ["", *types], strict=False) if kind != before]


async def assert_balanced(bench: Bench) -> None:
    """All is settled, and what was charged covers what the providers bill."""
    await bench.nothing_is_left()
    books = read_books(bench.path)
    books.assert_balanced()
    simulated = bench.simulated
    bills = [(simulated.billed(name).nano, simulated.billed_undelivered(name).nano) for name in PROVIDERS]
    assert books.charged_nano >= sum(delivered + cut for delivered, cut in bills), (bills, books.attempts)

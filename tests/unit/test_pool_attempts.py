"""A provider of several endpoints, in a request's life: who goes on where one of them breaks off, and who waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import fields, replace
from typing import Any

import pytest

from cortexd.config.replicas import resolved
from cortexd.config.settings import ReplicaSettings
from cortexd.domain.messages import OnBreak
from cortexd.errors import Cancelled, Failure, ProviderError, ProviderFailed, tried_of
from cortexd.routing import State
from simulated import Behaviour, Fault
from tests.eventually import assert_eventually_async
from tests.system.books import read_books
from tests.unit.failing import Event, adopt, kinds, stream, text_of, warm_up
from tests.unit.test_execution import Bench, bench_fixture, upstream_fixture  # noqa: F401
from tests.unit.test_on_break import REST, TEXT, before_of, broken

ENDS = ("one", "two")


async def pooled(bench: Bench, *names: str, first: str = "kimi_k2", **more: Any) -> None:
    """The provider kimi_k2 with these endpoints, asked first."""
    for name in names:
        bench.simulated.reset(name)
    before = bench.config.providers["kimi_k2"]
    replicas = tuple(ReplicaSettings(bench.simulated.url(name, "openai"), key=before.key) for name in names)
    routing = {name: more.pop(name) for name in ("on_break", "fallback") if name in more}
    made = resolved(replace(before, replicas=replicas, **more))
    await adopt(bench, first, {"kimi_k2": {item.name: getattr(made, item.name) for item in fields(made)}}, **routing)


def home_of(bench: Bench) -> tuple[str, str]:
    """The endpoint that was asked, and the other one."""
    [home] = [name for name in ENDS if bench.simulated.counts(name).requests]
    return home, next(name for name in ENDS if name != home)


@pytest.fixture(name="ends")
async def ends_fixture(bench: Bench) -> AsyncIterator[None]:
    await warm_up(bench)
    yield
    for name in ENDS:
        bench.simulated.reset(name)


async def homed(bench: Bench, **more: Any) -> tuple[str, str]:
    """A pool of two, and which of them answers in the session "s"."""
    await pooled(bench, *ENDS, **more)
    await bench.ask(session="s")
    return home_of(bench)


async def balanced(bench: Bench) -> None:
    await bench.nothing_is_left()
    read_books(bench.path).assert_balanced()


def attempts_of(event: Event) -> list[tuple[str, str]]:
    return [(item["provider"], item["outcome"]) for item in event["metadata"]["attempts"]]


class TestBreak:
    @pytest.mark.parametrize("alone", [False, True])
    async def test_another_endpoint_goes_on(self, bench: Bench, ends: None, alone: bool) -> None:
        """Of the same provider, before anybody else, and where nobody else may be asked: one text, two attempts."""
        home, other = await homed(bench, on_break=OnBreak.CONTINUE)
        bench.simulated.behave(home, broken("kimi_k2", chunk_delay_s=0.002))
        bench.simulated.behave(other, Behaviour(reply=REST))
        options: dict[str, Any] = {"provider": "kimi_k2", "fallback": False} if alone else {}
        events = await stream(bench, session="s", **options)
        assert kinds(events) == ["text", "continue", "text", "done"]
        assert text_of(events) == before_of(events) + REST
        assert [event["provider"] for event in events if event["type"] == "continue"] == ["kimi_k2"]
        assert attempts_of(events[-1]) == [("kimi_k2", "connection"), ("kimi_k2", "ok")]
        assert bench.simulated.counts("claude").requests == 0
        assert bench.health.state("kimi_k2") is State.OK
        await balanced(bench)

    async def test_another_endpoint_begins_anew(self, bench: Bench, ends: None) -> None:
        """Where that is wanted, the reader is told that the text counts no more."""
        home, _ = await homed(bench)
        bench.simulated.behave(home, broken("kimi_k2"))
        events = await stream(bench, session="s", provider="kimi_k2")
        assert kinds(events) == ["text", "fallback", "text", "done"]
        assert text_of(events).endswith("hello")
        assert attempts_of(events[-1]) == [("kimi_k2", "connection"), ("kimi_k2", "ok")]
        await balanced(bench)

    async def test_nobody_is_asked_where_a_break_is_the_end(self, bench: Bench, ends: None) -> None:
        """Neither another endpoint."""
        home, other = await homed(bench, on_break=OnBreak.FAIL)
        bench.simulated.behave(home, broken("kimi_k2"))
        events = await stream(bench, session="s")
        assert kinds(events) == ["text", "error"]
        assert bench.simulated.counts(other).requests == 0
        await balanced(bench)

    async def test_all_endpoints_break(self, bench: Bench, ends: None) -> None:
        """Then another provider goes on with what all have said."""
        home, other = await homed(bench, on_break=OnBreak.CONTINUE)
        bench.simulated.behave(home, broken("kimi_k2", at=10))
        bench.simulated.behave(other, broken("kimi_k2", at=10, reply=TEXT[10:]))
        bench.simulated.behave("claude", Behaviour(reply=TEXT[20:]))
        events = await stream(bench, session="s")
        assert kinds(events) == ["text", "continue", "text", "continue", "text", "done"]
        assert text_of(events) == TEXT
        assert [name for name, _ in attempts_of(events[-1])] == ["kimi_k2", "kimi_k2", "claude"]
        await balanced(bench)


class TestMostCost:
    async def test_it_bounds_all_endpoints_together(self, bench: Bench, ends: None) -> None:
        """A retry at another endpoint that would pass max_cost_usd is not made, and the error says why."""
        home, other = await homed(bench)
        bench.simulated.behave(home, Behaviour(fault=Fault.END_EARLY))
        asked_before = bench.simulated.counts(other).requests
        with pytest.raises(ProviderFailed) as caught:
            await bench.ask(session="s", provider="kimi_k2", max_tokens=300, max_cost_usd=0.0018)
        assert "left of max_cost_usd" in caught.value.message
        assert tried_of(caught.value) == {"kimi_k2": "connection"}
        assert bench.simulated.counts(other).requests == asked_before
        bench.simulated.behave(home, Behaviour(fault=Fault.END_EARLY))
        answered = await bench.ask(session="s", provider="kimi_k2", max_tokens=300, max_cost_usd=0.01)
        assert [item.outcome for item in answered.attempts] == ["connection", "ok"]
        await balanced(bench)


class TestFull:
    async def test_the_last_that_could_go_on_is_waited_for(self, bench: Bench, ends: None) -> None:
        """Though it is full when the stream breaks, and asked for less than was planned."""
        await pooled(bench, "one", first="claude", max_in_flight=1, on_break=OnBreak.CONTINUE)
        bench.simulated.behave("one", Behaviour(delay_s=0.8, times=1), Behaviour(reply=REST))
        bench.simulated.behave("claude", broken("claude", at=40))
        ahead = bench.ask(provider="kimi_k2")
        await assert_eventually_async(lambda: bench.simulated.counts("one").active == 1)
        events = await stream(bench, max_tokens=1000)
        assert text_of(events) == before_of(events) + REST
        outcomes = attempts_of(events[-1])
        assert [outcomes[0][0], *outcomes[1:]] == ["claude", ("kimi_k2", "at_capacity"), ("kimi_k2", "ok")]
        body = bench.simulated.received("one")[-1].json()
        assert (body.get("max_tokens") or body["max_completion_tokens"]) == 1000 - len(before_of(events)) // 4
        assert events[-1]["metadata"]["route_reason"] == "goes on where claude broke off"
        await ahead
        await balanced(bench)


class TestCutOff:
    @pytest.mark.parametrize("tested", ["claude", "kimi_k2"])
    async def test_while_money_is_reserved(self, bench: Bench, ends: None, tested: str) -> None:
        """For the next provider, or the next endpoint of the one that the request tests: another may test at once."""
        home, _ = await homed(bench)
        bench.simulated.behave(home, Behaviour(fault=Fault.END_EARLY))
        passed = 0.0
        bench.health._clock = lambda: time.monotonic() + passed
        bench.health.failed(tested, ProviderError(Failure.AUTHENTICATION, ""))
        passed = 61.0
        if tested == "claude":
            await pooled(bench, home)
            bench.simulated.behave(home, Behaviour(fault=Fault.END_EARLY))
        reserve, reserving = bench.ledger.reserve_more, asyncio.Event()

        async def held_up(*arguments: Any) -> None:
            reserving.set()
            await reserve(*arguments)
            await asyncio.Event().wait()

        bench.ledger.reserve_more = held_up  # type: ignore[method-assign,assignment]
        asking = bench.ask(request_id="cut-off", session="s")
        await asyncio.wait_for(reserving.wait(), 10)
        assert bench.health.state(tested) is State.OPEN
        bench.cancel("cut-off")
        with pytest.raises(Cancelled):
            await asking
        assert bench.health.state(tested) is State.DEGRADED
        await balanced(bench)

"""Each class of failure, from the vendor's answer to the caller's, in both API kinds: who is avoided and until when,
who is asked next, and what the caller is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from cortexd.config.settings import ModelSettings
from cortexd.errors import CortexError, NoProviderAvailable, ProviderFailed, tried_of
from cortexd.routing import State
from simulated import Behaviour, Fault
from tests.unit.failing import OTHER, adopt, assert_balanced, each_kind
from tests.unit.test_execution import Bench, bench_fixture, upstream_fixture  # noqa: F401

NOW = 1_000_000.0
ANYBODY, NOBODY, LARGER = "anybody", "nobody", "a larger context"


@dataclass(frozen=True)
class Case:
    """`says`: by provider where the vendors' forms differ. `next`: who is asked then. `pause_s`: the provider is
    avoided at once for so long. `of_model`: five such requests have its model avoided, and not the provider;
    `of_provider`: the provider. Neither: it says nothing of anybody. `wait_ms`: what the caller is told to wait."""

    outcome: str
    says: Behaviour | dict[str, Behaviour]
    next: str = ANYBODY
    pause_s: float | None = None
    of_model: bool = False
    of_provider: bool = False
    wait_ms: int | None = None

    def behaviour(self, provider: str) -> Behaviour:
        return self.says if isinstance(self.says, Behaviour) else self.says[provider]


CASES = {
    "context overflow": Case("context_overflow", Behaviour(context_tokens=1), LARGER),
    "content refused": Case(
        "content_refused",
        {
            "claude": Behaviour(status=400, error_message="Output blocked by content filtering policy"),
            "kimi_k2": Behaviour(status=400, error_type="content_filter"),
        },
        NOBODY,
    ),
    "a bad request": Case("refused_request", Behaviour(status=400)),
    "unknown model": Case("refused_request", Behaviour(models=()), of_model=True),
    "key refused": Case("authentication", Behaviour(keys=()), pause_s=60),
    "key not for this model": Case("authentication", Behaviour(status=403), of_model=True),
    "overloaded": Case("overloaded", Behaviour(status=529), of_provider=True),
    "unavailable": Case("overloaded", Behaviour(status=503), of_provider=True),
    "overloaded until": Case("overloaded", Behaviour(status=529, retry_after="20"), pause_s=20, wait_ms=20_000),
    "too many requests": Case("rate_limited", Behaviour(status=429, retry_after=""), of_provider=True),
    "too many until": Case("rate_limited", Behaviour(status=429, retry_after="7"), pause_s=7, wait_ms=7_000),
    "too many until a time": Case(
        "rate_limited",
        Behaviour(
            status=429,
            retry_after="Mon, 23 Nov 2026 12:00:07 GMT",
            headers={"Date": "Mon, 23 Nov 2026 12:00:00 GMT"},  # that clock is days behind
        ),
        pause_s=7,
        wait_ms=7_000,
    ),
    "no money": Case("quota", Behaviour(status=402), pause_s=900),
    "no money, in words": Case(
        "quota",
        {
            "claude": Behaviour(status=400, error_message="Your credit balance is too low to access the API."),
            "kimi_k2": Behaviour(status=429, error_type="insufficient_quota", retry_after=""),
        },
        pause_s=900,
    ),
    "used up until": Case(
        "quota",
        {
            "claude": Behaviour(status=402, retry_after="7200"),
            "kimi_k2": Behaviour(status=429, error_type="exceeded_current_quota_error", retry_after="7200"),
        },
        pause_s=7200,
        wait_ms=7_200_000,
    ),
    "a fault of theirs": Case("server_error", Behaviour(status=500), of_provider=True),
    "an error on 200": Case("server_error", Behaviour(fault=Fault.ERROR_ON_200), of_provider=True),
}
each_case = pytest.mark.parametrize("name", CASES)


async def prepared(bench: Bench, first: str, case: Case, *, larger: bool = True) -> None:
    """`first` is asked first and fails so; the other one's context is larger than its own, or not."""
    bench.health._clock = lambda: NOW
    own = {bench.config.providers[first].model: ModelSettings(context_tokens=1000 if larger else 100_000_000)}
    await adopt(bench, first, {first: {"models": own}})
    bench.simulated.behave(first, case.behaviour(first))


async def error_of(bench: Bench, kind: type[CortexError], **options: Any) -> CortexError:
    with pytest.raises(kind) as caught:
        await bench.ask(**options)
    assert type(caught.value) is kind
    return caught.value


class TestClasses:
    @each_kind
    @each_case
    async def test_who_is_asked_next(self, bench: Bench, first: str, name: str) -> None:
        """The other one, or only who can take more, or nobody; a definite no costs nothing."""
        case, other = CASES[name], OTHER[first]
        await prepared(bench, first, case)
        if case.next is NOBODY:
            error = await error_of(bench, NoProviderAvailable)
            assert tried_of(error) == {first: case.outcome}
            assert str(error.details["left_out"]).split(",")[0] == other
            completion = await bench.ask(fallback=True)
        else:
            completion = await bench.ask()
        tried = [(item.provider, item.outcome, item.cost_known) for item in completion.attempts]
        assert tried == [(first, case.outcome, True), (other, "ok", True)]
        assert completion.attempts[0].cost_nano == 0
        assert bench.simulated.counts(first).requests == 1 + (case.next is NOBODY)
        await assert_balanced(bench)

    @each_kind
    async def test_a_context_no_larger_is_not_asked(self, bench: Bench, first: str) -> None:
        """It would refuse the prompt as well."""
        await prepared(bench, first, CASES["context overflow"], larger=False)
        error = await error_of(bench, NoProviderAvailable)
        assert tried_of(error) == {first: "context_overflow"}
        assert bench.simulated.counts(OTHER[first]).requests == 0
        await assert_balanced(bench)

    @each_kind
    @each_case
    async def test_what_the_caller_is_told(self, bench: Bench, first: str, name: str) -> None:
        """The class, and how long to wait where the provider has said so; alone and with all others failing too."""
        case, other = CASES[name], OTHER[first]
        await prepared(bench, first, case)
        alone = await error_of(bench, ProviderFailed, fallback=False)
        bench.health.forget()
        bench.simulated.behave(other, Behaviour(status=500))
        both = await error_of(bench, NoProviderAvailable)
        for error in (alone, both):
            assert tried_of(error)[first] == case.outcome
            assert error.details.get("retry_after_ms") == case.wait_ms
        assert tried_of(both).get(other) == (None if case.next is NOBODY else "server_error")
        await assert_balanced(bench)

    @each_kind
    @each_case
    async def test_who_is_avoided_and_until_when(self, bench: Bench, first: str, name: str) -> None:
        """At once where one answer says enough, or after five requests; and a request's own fault is nobody's."""
        case, model = CASES[name], bench.config.providers[first].model
        await prepared(bench, first, case)
        for number in range(5):
            messages = [{"role": "user", "content": f"hello {number}"}]
            insists = {"fallback": True} if case.next is NOBODY else {}
            await bench.service.complete(bench.caller(), "user_chat", messages, insists)
            opened = bench.health.state(first) is State.OPEN
            assert opened is (case.pause_s is not None or (case.of_provider and number == 4))
        assert (bench.health.state(first, model) is State.OPEN) is (opened or case.of_model)
        assert bench.health.next_change() == (case.pause_s or (30 if case.of_provider else None))
        assert bench.health.state(OTHER[first]) is State.OK
        asked = bench.simulated.counts(first).requests
        assert asked == (1 if case.pause_s else 5)
        if case.of_model:
            assert bench.health.state(first, "another model") is State.OK
        await assert_balanced(bench)

"""A provider that says nothing: how long it may, and what is done and booked then."""

from __future__ import annotations

from typing import Any

import pytest

from cortexd.errors import ProviderFailed, tried_of
from simulated import Behaviour, Fault
from tests.eventually import assert_eventually_async
from tests.unit.failing import OTHER, adopt, assert_balanced, each_kind, kinds, stream, text_of, warm_up
from tests.unit.test_execution import Bench, bench_fixture, upstream_fixture  # noqa: F401

LIMIT = {"first_token_timeout_s": 0.3}
SILENT = {
    "no answer": Behaviour(fault=Fault.HANG),
    "a head and no word": Behaviour(fault=Fault.HANG_MID_BODY, cut_after=0),
    "thinks too long unseen": Behaviour(delay_s=30.0),
}


async def impatient(bench: Bench, first: str, **settings: Any) -> None:
    await warm_up(bench)
    await adopt(bench, first, {first: {**LIMIT, **settings}})
    await bench.ask(provider=first, fallback=False)  # the library is loaded
    bench.simulated.reset(first)


class TestFirstToken:
    @each_kind
    @pytest.mark.parametrize("silence", SILENT)
    async def test_the_next_is_asked(self, bench: Bench, first: str, silence: str) -> None:
        """For a plain answer, and for a stream without a word of it to the reader."""
        await impatient(bench, first)
        bench.simulated.behave(first, SILENT[silence])
        completion = await bench.ask()
        [failed, answered] = completion.attempts
        assert (failed.provider, failed.outcome) == (first, "first_token_timeout")
        assert (answered.provider, answered.outcome) == (OTHER[first], "ok")
        events = await stream(bench)
        assert kinds(events) == ["text", "done"]
        assert text_of(events) == completion.content
        await assert_eventually_async(lambda: bench.simulated.counts(first).client_aborts == 2)
        await assert_balanced(bench)

    @each_kind
    async def test_it_is_booked_by_its_time(self, bench: Bench, first: str) -> None:
        """A third of a second cannot bring a long answer, so that its worst case is not booked."""
        await impatient(bench, first)
        bench.simulated.behave(first, SILENT["a head and no word"])
        completion = await bench.ask(max_tokens=60_000)
        [failed, _] = completion.attempts
        per_token = {"claude": 10_000, "kimi_k2": 4_000}[first]
        assert not failed.cost_known
        assert bench.simulated.billed_undelivered(first).nano <= failed.cost_nano < 30_000 * per_token
        await assert_balanced(bench)

    @each_kind
    async def test_without_another_it_is_the_callers(self, bench: Bench, first: str) -> None:
        """As a failure of a class of its own."""
        await impatient(bench, first)
        bench.simulated.behave(first, SILENT["no answer"])
        with pytest.raises(ProviderFailed) as caught:
            await bench.ask(fallback=False)
        assert tried_of(caught.value) == {first: "first_token_timeout"}
        await assert_balanced(bench)

    @each_kind
    async def test_a_word_ends_it(self, bench: Bench, first: str) -> None:
        """However slowly the others come; and reasoning is words."""
        await impatient(bench, first)
        for behaviour in (
            Behaviour(reply="word " * 10, chunks=10, chunk_delay_s=0.1),
            Behaviour(reply="word", thinking="hm " * 60, chunk_delay_s=0.1),
        ):
            bench.simulated.behave(first, behaviour)
            assert (await bench.ask()).provider == first
        await assert_balanced(bench)

    @each_kind
    async def test_a_whole_answer_has_no_first_word(self, bench: Bench, first: str) -> None:
        """Where a model takes no streams its work cannot be seen."""
        await impatient(bench, first)
        bench.simulated.behave(first, Behaviour(refused_fields=("stream",), times=1), Behaviour(delay_s=0.6))
        completion = await bench.ask()
        assert [(attempt.provider, attempt.outcome) for attempt in completion.attempts] == [(first, "ok")]
        assert not bench.simulated.received(first)[-1].json().get("stream")
        await assert_balanced(bench)

    async def test_a_local_one_may_load_its_model(self, bench: Bench) -> None:
        """Until it has answered once."""
        await warm_up(bench)
        await adopt(bench, "kimi_k2", {"kimi_k2": {**LIMIT, "local": True}})
        bench.simulated.behave("kimi_k2", Behaviour(delay_s=0.8))
        assert (await bench.ask()).provider == "kimi_k2"
        completion = await bench.ask()
        assert [attempt.outcome for attempt in completion.attempts] == ["first_token_timeout", "ok"]
        await bench.nothing_is_left()

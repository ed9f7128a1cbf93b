"""Answers kept for equal questions, and equal questions that share one answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.config.settings import CacheSettings
from cortexd.requests.answers.cache import AnswerCache, Key

ON = CacheSettings(enabled=True, ttl_s=60, max_bytes=100)
A, B = (1, b"a"), (1, b"b")


def cache(settings: CacheSettings = ON, clock: Callable[[], float] = lambda: 0.0) -> AnswerCache[str]:
    made: AnswerCache[str] = AnswerCache(len, clock)
    made.adopt(settings)
    return made


class Upstream:
    """Counts the calls that reach it; each waits for the gate, then answers or fails as told."""

    def __init__(self, *fates: str | Exception) -> None:
        self.fates = list(fates)
        self.calls = self.active = self.most_active = 0
        self.gate = asyncio.Event()

    async def __call__(self) -> str:
        self.calls += 1
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.active -= 1
        fate = self.fates.pop(0) if self.fates else "yes"
        if isinstance(fate, Exception):
            raise fate
        return fate


def answers(text: str) -> Callable[[], Awaitable[str]]:
    async def make() -> str:
        return text

    return make


async def settle(turns: int = 5) -> None:
    """Let every ready task take its turn."""
    for _ in range(turns):
        await asyncio.sleep(0)


Ask = asyncio.Task[tuple[str, bool]]


def asked(held: AnswerCache[str], upstream: Upstream, count: int, key: tuple[int, bytes] = A) -> list[Ask]:
    return [asyncio.create_task(held.answer(key, upstream), name=f"ask {number}") for number in range(count)]


class TestKept:
    async def test_an_equal_question_is_answered_from_memory(self) -> None:
        """The first pays, the second gets the same for nothing; another user's or another question's does not."""
        held = cache()
        assert await held.answer(A, answers("yes")) == ("yes", False)
        assert await held.answer(A, answers("no")) == ("yes", True)
        assert await held.answer(B, answers("other")) == ("other", False)
        assert await held.answer((2, b"a"), answers("theirs")) == ("theirs", False)
        assert held.lookup(A) == "yes"
        assert held.lookup((3, b"a")) is None

    async def test_answers_age(self) -> None:
        """After ttl_s the question is asked again, and being asked for does not keep an answer young."""
        now = [0.0]
        held = cache(clock=lambda: now[0])
        await held.answer(A, answers("old"))
        now[0] = 59
        assert held.lookup(A) == "old"
        now[0] = 60
        assert await held.answer(A, answers("new")) == ("new", False)

    async def test_aged_answers_leave_memory_though_nobody_asks_for_them(self) -> None:
        """Other questions' calls sweep them out."""
        now = [0.0]
        held = cache(clock=lambda: now[0])
        await held.answer(A, answers("old"))
        now[0] = 61
        held.lookup(B)
        assert (len(held), held.size) == (0, 0)

    async def test_the_least_lately_used_goes_first(self) -> None:
        """One user's answers within half of max_bytes; a hit makes an answer young."""
        held = cache()
        for name in (b"a", b"b"):
            await held.answer((1, name), answers("x" * 25))
        held.lookup((1, b"a"))
        await held.answer((1, b"c"), answers("x" * 25))
        assert [held.lookup((1, name)) is not None for name in (b"a", b"b", b"c")] == [True, False, True]

    async def test_one_user_cannot_push_out_the_others(self) -> None:
        """However much one asks, the other half stays."""
        held = cache()
        await held.answer((2, b"mine"), answers("x" * 50))
        for number in range(50):
            await held.answer((1, str(number).encode()), answers("x" * 25))
        assert held.lookup((2, b"mine")) is not None
        assert held.size == 100

    async def test_three_users_share_the_whole(self) -> None:
        """Beyond max_bytes anybody's least lately used answer goes."""
        held = cache()
        for uid in (1, 2, 3):
            await held.answer((uid, b"a"), answers("x" * 40))
        assert [held.lookup((uid, b"a")) is not None for uid in (1, 2, 3)] == [False, True, True]

    async def test_an_answer_larger_than_the_share_is_given_but_not_kept(self) -> None:
        """It costs nobody else's answers their place."""
        held = cache()
        await held.answer(B, answers("x" * 50))
        assert await held.answer(A, answers("x" * 51)) == ("x" * 51, False)
        assert held.lookup(A) is None
        assert held.lookup(B) is not None

    async def test_failures_are_not_kept(self) -> None:
        """The next one asks again."""
        held, upstream = cache(), Upstream(ValueError("no"))
        upstream.gate.set()
        with pytest.raises(ValueError, match="no"):
            await held.answer(A, upstream)
        assert await held.answer(A, upstream) == ("yes", False)


class TestAdopt:
    async def test_off_until_switched_on(self) -> None:
        """Without settings nothing is kept and nothing is shared."""
        held: AnswerCache[str] = AnswerCache(len)
        upstream = Upstream()
        tasks = asked(held, upstream, 2)
        await settle()
        assert upstream.active == 2
        upstream.gate.set()
        assert await asyncio.gather(*tasks) == [("yes", False)] * 2
        assert held.lookup(A) is None

    async def test_switching_off_drops_at_once(self) -> None:
        """Also what is being made is not kept when it comes."""
        held, upstream = cache(), Upstream()
        await held.answer(B, answers("x"))
        [task] = asked(held, upstream, 1)
        await settle()
        held.adopt(CacheSettings(enabled=False))
        assert (len(held), held.size) == (0, 0)
        upstream.gate.set()
        assert await task == ("yes", False)
        assert len(held) == 0

    async def test_shrinking_drops_at_once(self) -> None:
        """What the new bound has no room for, the least lately used first; a shorter ttl_s counts for old answers."""
        now = [0.0]
        held = cache(clock=lambda: now[0])
        for uid in (1, 2):
            for name in (b"a", b"b"):
                await held.answer((uid, name), answers("x" * 25))
        held.adopt(CacheSettings(enabled=True, ttl_s=60, max_bytes=50))
        assert held.size == 50
        assert held.lookup((1, b"b")) is not None
        assert held.lookup((1, b"a")) is None
        now[0] = 30
        held.adopt(CacheSettings(enabled=True, ttl_s=30, max_bytes=50))
        assert len(held) == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(1, 3), st.integers(0, 5), st.integers(0, 60)),
        st.tuples(st.just("wait"), st.integers(0, 80)),
        st.tuples(st.just("adopt"), st.booleans(), st.integers(0, 150), st.integers(0, 90)),
    ),
    max_size=40,
)


class TestBounds:
    @given(STEPS)
    def test_hold_at_every_step(self, steps: list[tuple[Any, ...]]) -> None:
        """Whatever is asked, adopted and waited for: within max_bytes, no user above half, nothing aged given out."""

        async def walk() -> None:
            now, made_at = [0.0], dict[Key, float]()
            settings, held = ON, cache(clock=lambda: now[0])
            for step in steps:
                match step:
                    case ("ask", uid, name, size):
                        key = (uid, bytes([name]))
                        _, hit = await held.answer(key, answers("x" * size))
                        assert not hit or now[0] - made_at[key] < settings.ttl_s
                        made_at[key] = made_at[key] if hit else now[0]
                    case ("wait", seconds):
                        now[0] += seconds
                    case (_, enabled, max_bytes, ttl_s):
                        settings = CacheSettings(enabled, ttl_s, max_bytes)
                        held.adopt(settings)
                sizes = {key: len(answer or "") for key in made_at if (answer := held.lookup(key)) is not None}
                assert held.size <= settings.max_bytes
                assert held.size == sum(sizes.values())
                for uid in (1, 2, 3):
                    assert sum(size for key, size in sizes.items() if key[0] == uid) <= settings.max_bytes // 2

        asyncio.run(walk())


class TestShared:
    async def test_equal_calls_in_flight_make_one_request(self) -> None:
        """A hundred at once: one upstream call, one that pays, equal answers."""
        held, upstream = cache(), Upstream()
        tasks = asked(held, upstream, 100)
        await settle()
        upstream.gate.set()
        got = await asyncio.gather(*tasks)
        assert upstream.calls == 1
        assert got == [("yes", False)] + [("yes", True)] * 99

    async def test_users_never_share(self) -> None:
        """The same question of two users is two requests."""
        held, upstream = cache(), Upstream("one", "two")
        tasks = asked(held, upstream, 1, (1, b"a")) + asked(held, upstream, 1, (2, b"a"))
        await settle()
        upstream.gate.set()
        assert [hit for _, hit in await asyncio.gather(*tasks)] == [False, False]

    async def test_the_makers_error_is_its_own(self) -> None:
        """Who waited makes its own, one at a time; the rest share that one's answer."""
        held, upstream = cache(), Upstream(ValueError("first"), ValueError("second"), "third")
        tasks = asked(held, upstream, 5)
        upstream.gate.set()
        got = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(item) for item in got[:2]] == ["first", "second"]
        assert got[2:] == [("third", False), ("third", True), ("third", True)]
        assert (upstream.calls, upstream.most_active) == (3, 1)

    async def test_cancelling_the_maker_hurts_no_sharer(self) -> None:
        """The next of them makes its own."""
        held, upstream = cache(), Upstream()
        maker, *sharers = asked(held, upstream, 3)
        await settle()
        maker.cancel()
        await settle()
        assert (upstream.calls, upstream.active) == (2, 1)
        upstream.gate.set()
        assert await asyncio.gather(*sharers) == [("yes", False), ("yes", True)]
        assert maker.cancelled()

    async def test_cancelling_a_sharer_harms_nobody(self) -> None:
        """Neither the maker nor the other sharers notice."""
        held, upstream = cache(), Upstream()
        maker, leaver, sharer = asked(held, upstream, 3)
        await settle()
        leaver.cancel()
        await settle()
        upstream.gate.set()
        assert await maker == ("yes", False)
        assert await sharer == ("yes", True)
        assert leaver.cancelled()

    async def test_maker_and_next_leave_at_the_same_moment(self) -> None:
        """Whoever is left still gets an answer."""
        held, upstream = cache(), Upstream()
        first, second, third = asked(held, upstream, 3)
        await settle()
        first.cancel()
        second.cancel()
        await settle()
        upstream.gate.set()
        assert await third == ("yes", False)

    async def test_an_answer_too_large_to_keep_is_shared_all_the_same(self) -> None:
        """Those who wait need no room for it."""
        held, upstream = cache(), Upstream("x" * 90)
        tasks = asked(held, upstream, 2)
        await settle()
        upstream.gate.set()
        assert [hit for _, hit in await asyncio.gather(*tasks)] == [False, True]
        assert held.lookup(A) is None

    @pytest.mark.parametrize("seed", range(20))
    async def test_any_order_of_arrivals_failures_and_departures(self, seed: int) -> None:
        """Never two upstream calls for one question at once; who stays is answered or fails by its own call;
        afterwards nothing is under way, and the bytes are those of what is kept."""
        chance = random.Random(seed)
        held = cache()
        upstreams = {number: Upstream() for number in range(3)}
        tasks: list[Ask] = []
        left: set[Ask] = set()
        for _ in range(200):
            number = chance.randrange(3)
            upstream = upstreams[number]
            match chance.randrange(5):
                case 0 | 1:
                    tasks += asked(held, upstream, 1, (number, b"q"))
                case 2:
                    upstream.fates = ["yes"] if chance.random() < 0.5 else [ValueError("no")]
                    upstream.gate.set()
                    await settle(chance.randrange(4))
                    upstream.gate.clear()
                case 3 if tasks:
                    task = chance.choice(tasks)
                    if task.cancel():
                        left.add(task)
                case _:
                    await settle(1)
        for upstream in upstreams.values():
            upstream.gate.set()
        async with asyncio.timeout(5):
            got = await asyncio.gather(*tasks, return_exceptions=True)
        for task, item in zip(tasks, got, strict=True):
            assert item in (("yes", False), ("yes", True)) or isinstance(item, ValueError) or task in left
        assert all(upstream.most_active == 1 for upstream in upstreams.values())
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert held.size == 3 * len(held)

"""How many bytes requests may hold: per user, in all, and always one."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cortexd.access import HeldBytes
from cortexd.config.settings import LimitSettings
from cortexd.connection import wire
from cortexd.errors import RateLimited

KIB = 1024
LIMITS = LimitSettings(max_waiting_bytes=1200 * KIB, max_waiting_bytes_per_user=500 * KIB)


class TestHeldBytes:
    def test_one_user_fills_the_share(self) -> None:
        """Past its own limit a user is told to wait; what ends makes room again."""
        held = HeldBytes(LIMITS)
        loads = [held.take(1, 100 * KIB) for _ in range(5)]
        with pytest.raises(RateLimited) as caught:
            held.take(1, 100 * KIB)
        assert caught.value.details["retry_after_ms"] == 1000
        assert "limits.max_waiting_bytes_per_user" in caught.value.message
        loads[0].free()
        held.take(1, 100 * KIB)

    def test_what_comes_alone_is_let_in(self) -> None:
        """A request above the limits has its turn when nothing else is held; beside it small calls are served."""
        held = HeldBytes(LIMITS)
        held.take(1, 5000 * KIB)
        held.take(1, 16 * KIB)
        held.take(2, 16 * KIB)
        with pytest.raises(RateLimited, match=r"limits\.max_waiting_bytes\)"):
            held.take(2, 17 * KIB)

    @settings(max_examples=500)
    @given(st.lists(st.tuples(st.integers(1, 5), st.integers(17, 600)), max_size=60))
    @example([(1, 500), (2, 350), (3, 175), (4, 87), (5, 88)])
    def test_whoever_comes_new_finds_room(self, calls: list[tuple[int, int]]) -> None:
        """However greedy others are, each leaves as much as he takes, and the next one may have half of that."""
        held = HeldBytes(LIMITS)
        users = set()
        for uid, kib in calls:
            with suppress(RateLimited):
                held.take(uid, kib * KIB)
                users.add(uid)
        free = LIMITS.max_waiting_bytes - held.total
        assert free >= LIMITS.max_waiting_bytes >> len(users)
        held.take(0, free // 2)

    def test_one_that_takes_the_last_is_refused(self) -> None:
        """A new user's first call too: the one after him would find nothing."""
        held = HeldBytes(LIMITS)
        for uid, kib in ((1, 500), (2, 350), (3, 175)):
            held.take(uid, kib * KIB)
        with pytest.raises(RateLimited):
            held.take(4, 175 * KIB)
        held.take(4, 87 * KIB)

    def test_an_unknown_caller_becomes_a_user(self) -> None:
        """Until the bus tells whose calls are, they count together; then each for its user, who may have too much."""
        held = HeldBytes(LIMITS)
        held.take(1, 400 * KIB)
        mine, others = held.take(None, 200 * KIB), held.take(None, 200 * KIB)
        with pytest.raises(RateLimited):
            mine.belongs_to(1)
        mine.free()
        others.belongs_to(2)
        held.take(2, 100 * KIB)
        assert held.total == 700 * KIB

    async def test_it_counts_while_somebody_needs_it(self) -> None:
        """A request that outlives its call is counted until both have ended."""
        held = HeldBytes(LIMITS)
        load = held.take(1, 100 * KIB)
        work = asyncio.create_task(asyncio.sleep(0))
        load.needed_by(work)
        load.free()
        assert held.total == 100 * KIB
        await work
        await asyncio.sleep(0)
        assert held.total == 0


class TestWeight:
    @pytest.mark.parametrize(
        ("value", "least"),
        [
            ("x" * 100_000, 100_000),
            ("x" * 100_000 + "\N{GRINNING FACE}", 400_000),
            ([{"data": b"x" * 100_000}], 100_000),
            ([{str(number): [{}] for number in range(1000)}], 200_000),
        ],
        ids=["text", "astral", "bytes", "small values"],
    )
    def test_it_is_what_the_values_take(self, value: object, least: int) -> None:
        """Text by its widest character, bytes as they are, many small values by their objects."""
        assert least <= wire.weight([value]) < 2.5 * least

"""What is known of an endpoint's prompt cache."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from cortexd.domain.messages import Usage
from cortexd.pool.prefix_memory import PrefixMemory

HELD, MISSED = Usage(1000, 10, cached_tokens=900), Usage(1000, 10)


class Cache:
    """An endpoint that keeps the beginnings of the latest `size` calls of different affinities."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: list[str] = []

    def read(self, affinity: str) -> Usage:
        held = affinity in self._held
        others = [item for item in self._held if item != affinity]
        self._held = [*others[-(self._size - 1) :], affinity]
        return HELD if held else MISSED


def calls(memory: PrefixMemory, cache: Cache, affinities: list[str]) -> None:
    for affinity in affinities:
        memory.answered(memory.read(affinity), cache.read(affinity))


class TestWarmth:
    def test_nothing_is_known_of_who_never_came(self) -> None:
        """Neither is it warm, nor is a call without an affinity remembered."""
        memory = PrefixMemory()
        assert memory.warmth("a") == 0
        assert memory.read("") is None
        assert memory.warmth("") == 0

    def test_it_cools_with_each_call_of_another(self) -> None:
        """The latest is as warm as can be, and every other call after it takes from that."""
        memory, warmths = PrefixMemory(), []
        memory.read("a")
        for number in range(1500):
            warmths.append(memory.warmth("a"))
            memory.read(f"other {number}")
        assert warmths[0] == 1
        assert warmths == sorted(warmths, reverse=True)
        assert memory.warmth("a") < 0.02

    @given(st.integers(4, 40))
    def test_the_endpoint_teaches_how_much_it_keeps(self, size: int) -> None:
        """By what it counts as cached: what came within its size is warm, what came long before that is cold."""
        memory, cache = PrefixMemory(), Cache(size)
        half, double = (max(1, size // 2), size * 3)
        for _ in range(60):
            calls(memory, cache, [f"near {number}" for number in range(half)] * 2)
            calls(memory, cache, [f"far {number}" for number in range(double)])
        memory.read("mark")
        for number in range(half):
            memory.read(f"near {number}")
        assert memory.warmth("mark") > 0.5
        for number in range(double * 2):
            memory.read(f"far {number}")
        assert memory.warmth("mark") < 0.2

    @given(st.integers(4, 40))
    def test_what_is_forgotten_there_is_not_held(self, size: int) -> None:
        """Of many beginnings about as many as the endpoint keeps count as held, once it has taught how many."""
        memory, cache, draw = PrefixMemory(), Cache(size), random.Random(size)
        calls(memory, cache, [f"one of {draw.randrange(8 * size)}" for _ in range(150 * size)])
        assert size / 2 <= memory.beginnings <= size * 3

    def test_a_frequent_one_is_held_once(self) -> None:
        """However many calls it has, and without an affinity nothing is held."""
        memory = PrefixMemory()
        for _ in range(2000):
            memory.read("a")
            memory.read("")
        assert memory.beginnings == 1

    def test_one_that_counts_nothing_teaches_nothing(self) -> None:
        """Zero cached tokens of a server that has never counted any say nothing of its cache."""
        silent, unasked = PrefixMemory(), PrefixMemory()
        for _ in range(30):
            silent.answered(silent.read("a"), MISSED)
            unasked.read("a")
            silent.read("b")
            unasked.read("b")
        assert silent.warmth("a") == unasked.warmth("a")

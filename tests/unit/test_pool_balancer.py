"""Which endpoint of a pool gets a call: properties of the choice, whatever the figures."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cortexd.pool.balancer import Load, bound, chosen, ranked, usual_pace

WEIGHTS = st.floats(0.1, 10)
SEEDS = st.integers(0, 2**32)
AFFINITIES = st.text(min_size=1, max_size=40)


@st.composite
def fleets(draw: st.DrawFn, least: int = 1) -> list[Load]:
    """Up to twelve endpoints in any state."""
    loads = st.builds(
        Load,
        id=st.just(""),
        weight=WEIGHTS,
        share=st.floats(0, 1),
        in_flight=st.integers(0, 50),
        pace_s=st.none() | st.floats(0.001, 10),
        warm=st.floats(0, 1),
        beginnings=st.integers(0, 600),
    )
    found = draw(st.lists(loads, min_size=least, max_size=12))
    return [replace(load, id=f"http://replica-{number}/v1") for number, load in enumerate(found)]


def even(count: int, weights: Sequence[float] = ()) -> list[Load]:
    return [Load(f"http://{number}/v1", weights[number] if weights else 1.0) for number in range(count)]


def spread(loads: list[Load], calls: int, seed: int = 1) -> Counter[str]:
    """Where so many calls go that stay in flight."""
    draw, got = random.Random(seed), Counter({load.id: 0 for load in loads})
    for _ in range(calls):
        got[chosen([replace(load, in_flight=load.in_flight + got[load.id]) for load in loads], "", draw).id] += 1
    return got


class TestChoice:
    @given(fleets(), st.just("") | AFFINITIES, SEEDS)
    def test_is_one_of_them(self, loads: list[Load], affinity: str, seed: int) -> None:
        """Whatever is known of them, one that was offered gets the call."""
        assert chosen(loads, affinity, random.Random(seed)) in loads

    @given(st.lists(WEIGHTS, min_size=2, max_size=8), SEEDS)
    def test_calls_in_flight_go_by_weight(self, weights: list[float], seed: int) -> None:
        """Of many calls at once each endpoint has its weight's part, to within a tenth of all and a few."""
        loads = even(len(weights), weights)
        calls = 100 * len(weights)
        got = spread(loads, calls, seed)
        for load in loads:
            assert abs(got[load.id] - calls * load.weight / sum(weights)) <= calls / 10 + 3

    @given(st.lists(st.sampled_from([1.0, 2.0, 4.0]), min_size=2, max_size=6), SEEDS)
    def test_idle_endpoints_are_drawn_by_weight(self, weights: list[float], seed: int) -> None:
        """Where nothing is in flight nobody is left out, and the heavier is not asked less often."""
        loads, draw = even(len(weights), weights), random.Random(seed)
        got = Counter(chosen(loads, "", draw).id for _ in range(600))
        part = {load.id: 600 * load.weight / sum(weights) for load in loads}
        assert all(got[load.id] >= part[load.id] / 2 for load in loads)

    def test_two_of_eight_that_are_slow(self) -> None:
        """Endpoints three times slower get far fewer of the calls in flight than their weight."""
        loads = [replace(load, pace_s=3.0 if number < 2 else 1.0) for number, load in enumerate(even(8))]
        got = spread(loads, 400)
        slow = sum(got[load.id] for load in loads[:2])
        assert slow < 400 / 8

    @given(SEEDS)
    def test_who_has_just_returned(self, seed: int) -> None:
        """A share of a tenth brings about a tenth of what the others get."""
        loads = even(4)
        got = spread([replace(loads[0], share=0.1), *loads[1:]], 310, seed)
        assert 0 < got[loads[0].id] <= 31


class TestAffinity:
    @given(fleets(least=2), AFFINITIES, SEEDS)
    def test_only_its_own_calls_move(self, loads: list[Load], affinity: str, seed: int) -> None:
        """When an endpoint leaves, the order of the others stays, so that only what was its own goes elsewhere."""
        gone = random.Random(seed).choice(loads)
        before = [load.id for load in ranked(loads, affinity)]
        after = [load.id for load in ranked([load for load in loads if load is not gone], affinity)]
        assert after == [name for name in before if name != gone.id]

    @given(fleets(least=2), AFFINITIES)
    def test_the_state_is_nothing_to_the_order(self, loads: list[Load], affinity: str) -> None:
        """It goes by names and weights: load, pace and slow start move no affinity for good."""
        rested = [replace(load, share=1.0, in_flight=0, pace_s=None) for load in loads]
        assert [load.id for load in ranked(loads, affinity)] == [load.id for load in ranked(rested, affinity)]

    def test_affinities_go_by_weight(self) -> None:
        """Of two thousand an endpoint leads as many as its weight says."""
        loads = even(4, [1, 1, 2, 4])
        leads = Counter(ranked(loads, f"session {number}")[0].id for number in range(2000))
        for load in loads:
            assert abs(leads[load.id] / 2000 - load.weight / 8) < 0.05

    @given(st.integers(2, 12), AFFINITIES, st.integers(1, 300), SEEDS)
    def test_the_load_is_bounded(self, count: int, affinity: str, calls: int, seed: int) -> None:
        """However many calls share one affinity, no endpoint has more than a quarter above its part, or a few."""
        loads, draw = even(count), random.Random(seed)
        got: Counter[str] = Counter()
        for _ in range(calls):
            now = [replace(load, in_flight=got[load.id]) for load in loads]
            got[chosen(now, affinity, draw).id] += 1
        assert max(got.values()) <= bound(loads[0], calls, float(count))

    @given(st.integers(2, 12), AFFINITIES, SEEDS)
    def test_it_stays_while_there_is_no_load(self, count: int, affinity: str, seed: int) -> None:
        """Calls that come one after the other all go to the same endpoint."""
        draw = random.Random(seed)
        assert len({chosen(even(count), affinity, draw).id for _ in range(20)}) == 1

    @given(st.integers(2, 12), AFFINITIES, st.integers(0, 3), SEEDS)
    def test_it_goes_where_its_calls_went(self, count: int, affinity: str, more: int, seed: int) -> None:
        """Whoever had them lately gets the next one, also with a few calls more in flight than the others."""
        loads = even(count)
        warm = random.Random(seed).randrange(count)
        loads[warm] = replace(loads[warm], in_flight=more, warm=1.0)
        assert chosen(loads, affinity, random.Random(seed)) is loads[warm]

    @given(st.integers(2, 12), AFFINITIES, SEEDS)
    def test_it_is_read_anew_rather_than_waited_for(self, count: int, affinity: str, seed: int) -> None:
        """With many calls more in flight than the others, the one that had them gets no more."""
        loads = even(count)
        loads[0] = replace(loads[0], in_flight=10, warm=1.0)
        assert chosen(loads, affinity, random.Random(seed)) is not loads[0]

    @given(st.integers(2, 12), AFFINITIES, st.integers(1, 500), SEEDS)
    def test_a_new_one_goes_where_the_fewest_are(self, count: int, affinity: str, others: int, seed: int) -> None:
        """By weight: of idle endpoints the one that holds the least for its size reads a beginning that nobody has."""
        draw = random.Random(seed)
        loads = [replace(load, weight=draw.choice([1.0, 2.0]), beginnings=2 * others) for load in even(count)]
        emptiest = draw.randrange(count)
        loads[emptiest] = replace(loads[emptiest], beginnings=others // 2)
        assert chosen(loads, affinity, draw) is loads[emptiest]

    @given(st.integers(2, 12), AFFINITIES, st.integers(1, 500), SEEDS)
    def test_what_is_held_is_no_reason_to_leave(self, count: int, affinity: str, others: int, seed: int) -> None:
        """Whoever has the beginning keeps it, however many others it has besides."""
        loads, draw = even(count), random.Random(seed)
        warm = draw.randrange(count)
        loads[warm] = replace(loads[warm], beginnings=others, warm=1.0)
        assert chosen(loads, affinity, draw) is loads[warm]

    def test_nobody_is_buried_by_new_ones(self) -> None:
        """An endpoint that is empty beside full ones gets new beginnings only until it is busier than they."""
        loads = [replace(load, beginnings=400) for load in even(4)]
        got, draw = 0, random.Random(1)
        while (
            chosen([replace(loads[0], beginnings=got, in_flight=got), *loads[1:]], f"new {got}", draw).id == loads[0].id
        ):
            got += 1
        assert 2 <= got <= 10

    def test_an_empty_one_that_is_slow_gets_no_crowd(self) -> None:
        """With as many in flight, that it holds less does not outweigh that it reads more slowly."""
        loads = [replace(load, beginnings=400, pace_s=1.0, in_flight=3) for load in even(4)]
        slow = replace(loads[0], beginnings=0, pace_s=1.9)
        assert chosen([slow, *loads[1:]], "new", random.Random(1)) is not slow

    @given(st.integers(3, 12), AFFINITIES, SEEDS)
    def test_a_frequent_one_is_shared_by_those_that_have_it(self, count: int, affinity: str, seed: int) -> None:
        """Of two that had its calls, the less loaded one gets the next."""
        loads = [replace(load, in_flight=2) for load in even(count)]
        loads[0], loads[1] = replace(loads[0], in_flight=3, warm=1.0), replace(loads[1], warm=1.0)
        assert chosen(loads, affinity, random.Random(seed)) is loads[1]

    @given(st.integers(3, 12), AFFINITIES, SEEDS)
    def test_it_leaves_one_that_is_much_slower(self, count: int, affinity: str, seed: int) -> None:
        """A cache is worth less than another endpoint that is three times as quick."""
        [first, *others] = ranked(even(count), affinity)
        loads = [replace(first, pace_s=3.0), *(replace(load, pace_s=1.0) for load in others)]
        assert chosen(loads, affinity, random.Random(seed)).id == others[0].id


class TestUsualPace:
    @given(fleets())
    def test_is_one_that_was_seen(self, loads: list[Load]) -> None:
        """The median of what is known, so that one very slow endpoint makes nobody else look quick."""
        known = [load.pace_s for load in loads if load.pace_s is not None]
        assert usual_pace(loads) in (known or [1.0])

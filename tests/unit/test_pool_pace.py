"""How quick an endpoint is thought to be: its own work tells, not what it is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.pool.pace import Pace, Timing

START_S = 0.08


def stream(token_s: float, tokens: int = 40, first_s: float = START_S, *, queued: bool = False) -> Timing:
    decoding_s = token_s * (tokens - 1)
    return Timing(first_s + decoding_s, decoding_s, first_s, tokens, queued)


def whole(took_s: float, tokens: int = 40) -> Timing:
    return Timing(took_s, 0.0, None, tokens, queued=False)


def pace_of(*timings: Timing) -> float:
    pace = Pace()
    for timing in timings:
        pace.answered(timing, 0.0)
    assert pace.value is not None
    return pace.value


class TestPace:
    def test_nothing_is_known_at_first(self) -> None:
        """Neither alone nor beside what is usual."""
        assert Pace().value is None
        assert Pace().beside(0.01, 0.0) is None

    @given(st.lists(st.floats(0.1, 60), min_size=1, max_size=20), st.integers(16, 4000))
    def test_a_queue_is_no_slowness(self, waits_s: list[float], tokens: int) -> None:
        """However long calls waited behind others, an endpoint that decodes as before is as quick as before."""
        known = stream(0.02)
        queued = [stream(0.02, tokens, wait_s, queued=True) for wait_s in waits_s]
        assert pace_of(known, *queued) == pytest.approx(pace_of(known))

    @given(st.integers(16, 4000), st.integers(16, 4000))
    def test_long_and_short_answers_tell_the_same(self, tokens: int, others: int) -> None:
        """It is the time for a token, whoever was asked for how many."""
        assert pace_of(stream(0.02, tokens)) == pytest.approx(pace_of(stream(0.02, others)))

    @given(st.floats(3, 100))
    def test_slower_decoding_shows(self, times: float) -> None:
        """Three times slower is more than twice the pace after a few answers, however it was before."""
        slow = pace_of(stream(0.02), *[stream(0.02 * times)] * 10)
        assert slow > 2 * pace_of(stream(0.02))

    def test_a_slow_start_shows(self) -> None:
        """An endpoint that nobody waits at, and that takes ten times as long for a first token, is slow by that alone:
        where answers are of many tokens, of few, or come whole."""
        assert pace_of(*[stream(0.004, first_s=10 * START_S)] * 5) > 2 * pace_of(stream(0.004))
        assert pace_of(*[stream(0.004, 2, 10 * START_S)] * 5) > 2 * pace_of(stream(0.004, 2))
        assert pace_of(*[whole(10 * START_S, 2)] * 5) > 2 * pace_of(whole(START_S, 2))

    def test_what_is_held_back_tells_by_its_whole_time(self) -> None:
        """Where something on the way passes an answer on in one piece, that is no quick decoding."""
        held_back = [Timing(took_s, 0.001, took_s, 40, queued=False) for took_s in (0.9, 0.9, 0.9)]
        assert pace_of(*held_back) == pytest.approx(pace_of(*[whole(0.9)] * 3))

    def test_one_prompt_that_was_not_cached_is_no_slow_start(self) -> None:
        """One that is quick again right after it is as quick as it was."""
        quick = stream(0.02)
        assert pace_of(quick, stream(0.02, first_s=50 * START_S), quick) == pytest.approx(pace_of(quick))

    def test_short_answers_count_until_longer_ones_do(self) -> None:
        """The time of their first token is all that they show, and decoding is known better by others."""
        short = stream(0.5, 2)
        assert pace_of(short, stream(0.02)) == pytest.approx(pace_of(stream(0.02)))
        assert pace_of(stream(0.02), short) == pytest.approx(pace_of(stream(0.02)))

    def test_decoding_of_long_ago_does_not_count(self) -> None:
        """Where only short answers came for a minute, they tell."""
        pace = Pace()
        pace.answered(stream(5.0), 0.0)
        for second in range(60):
            pace.answered(stream(0.01, 2), float(second))
        assert pace.value == pytest.approx(pace_of(*[stream(0.01, 2)] * 60))

    def test_it_is_forgotten(self) -> None:
        """The longer it is not asked, the more it is taken for what is usual."""
        pace = Pace()
        pace.answered(stream(1.0), 100.0)
        seen = [pace.beside(0.01, 100.0 + after_s) for after_s in (0, 5, 10, 100)]
        assert seen[0] == pace.value
        assert seen == sorted(seen, key=lambda value: -(value or 0))
        assert seen[-1] == pytest.approx(0.01, rel=0.01)

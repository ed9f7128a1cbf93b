"""Running sums of users and periods: what moves them, what is let go, and how many there are at most."""

from __future__ import annotations

from dataclasses import astuple

import pytest

from cortexd.ledger.records import AppOf, Whose
from cortexd.ledger.writing import tallies
from cortexd.ledger.writing.tallies import Tallies, Tally

DAY, MONTH, ELSEWHEN = "2026-11-24", "2026-11", "2026-11-23"
ME, YOU, US, OTHERS = frozenset({1}), frozenset({2}), frozenset({1, 2}), frozenset({2, 3})
WHOSE: tuple[Whose, ...] = (ME, YOU, US, OTHERS, None)
MINE, MINE_TOO, YOURS = AppOf(1, "aider"), AppOf(1, "codex"), AppOf(2, "aider")


def filled() -> Tallies:
    """A sum of everybody's for each period, all at 10, 20 and, of days, 30."""
    kept = Tallies()
    for whose in WHOSE:
        for period in (DAY, MONTH, ELSEWHEN):
            kept.put(whose, period, Tally(10, 20, 30 if period == DAY else 0))
    return kept


def at_hand(kept: Tallies, periods: tuple[str, ...]) -> list[tuple[Whose, str]]:
    return [(whose, period) for period in periods for whose in WHOSE if kept.get(whose, period)]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for bound in ("_MAX_OWN", "_MAX_SHARED", "_MAX_PERIODS"):
        monkeypatch.setattr(tallies, bound, 2)


class TestTallies:
    def test_are_found_again(self) -> None:
        """By users and period, and a user's own by his uid; nothing else is."""
        kept = Tallies()
        put = {(whose, period): Tally(1, 2) for whose in WHOSE for period in (DAY, MONTH)}
        for (whose, period), tally in put.items():
            kept.put(whose, period, tally)
        assert all(kept.get(whose, period) is tally for (whose, period), tally in put.items())
        assert [kept.own(1, DAY), kept.own(2, MONTH)] == [put[ME, DAY], put[YOU, MONTH]]
        assert [kept.own(3, DAY), kept.own(1, ELSEWHEN), kept.get(ME, ELSEWHEN)] == [None] * 3

    def test_move_with_their_users(self) -> None:
        """Each sum of that day and month that the user is in, and of what is unknown his own day's alone."""
        kept = filled()
        kept.move(1, DAY, MONTH, 5, -3, 2)
        kept.move(1, DAY, MONTH, 5, -3)
        found = {(whose, period): kept.get(whose, period) for whose in WHOSE for period in (DAY, MONTH, ELSEWHEN)}
        for (whose, period), tally in found.items():
            moved = period != ELSEWHEN and whose in (ME, US, None)
            unknown = 30 if period == DAY else 0
            more = 2 if (whose, period) == (ME, DAY) else 0
            expected = (20, 14, unknown + more) if moved else (10, 20, unknown)
            assert tally is not None
            assert (whose, period, astuple(tally)) == (whose, period, expected)

    def test_move_those_at_hand(self) -> None:
        """Where there is no sum of a user or a period, the others are moved all the same."""
        kept = Tallies()
        kept.move(1, DAY, MONTH, 5, 3, 2)
        kept.put(None, MONTH, Tally(10, 20))
        kept.move(1, DAY, MONTH, 5, 3, 2)
        assert kept.get(None, MONTH) == Tally(15, 23)

    def test_forget_a_user(self) -> None:
        """Every sum of chosen users that he is among; everybody's stay, and others'."""
        kept = filled()
        kept.forget(1)
        periods = (DAY, MONTH, ELSEWHEN)
        assert at_hand(kept, periods) == [(whose, period) for period in periods for whose in (YOU, OTHERS, None)]
        assert kept.own(1, DAY) is None
        kept.move(1, DAY, MONTH, 5, 3, 2)
        assert kept.get(US, DAY) is None
        assert kept.get(None, DAY) == Tally(15, 23, 30)

    @pytest.mark.usefixtures("few")
    def test_keep_the_latest_of_single_users(self) -> None:
        """Past the bound the one that was put longest ago goes, also from what is moved."""
        kept = Tallies()
        for whose in (ME, YOU, frozenset({3})):
            kept.put(whose, DAY, Tally(0, 0))
        assert at_hand(kept, (DAY,)) == [(YOU, DAY)]
        assert [kept.own(uid, DAY) is None for uid in (1, 2, 3)] == [True, False, False]

    @pytest.mark.usefixtures("few")
    def test_keep_the_latest_of_several(self) -> None:
        """In each period, and of the periods."""
        kept = Tallies()
        for period in (ELSEWHEN, MONTH):
            for whose in (US, OTHERS, None):
                kept.put(whose, period, Tally(0, 0))
        both = [(whose, period) for period in (ELSEWHEN, MONTH) for whose in (OTHERS, None)]
        assert at_hand(kept, (ELSEWHEN, MONTH)) == both
        kept.put(None, DAY, Tally(0, 0))
        assert at_hand(kept, (ELSEWHEN, MONTH, DAY)) == [*both[2:], (None, DAY)]

    def test_of_programs(self) -> None:
        """A program's sum moves with its own user's requests by it, and is forgotten with the user."""
        kept = Tallies()
        for whose in (MINE, MINE_TOO, YOURS, ME):
            kept.put(whose, DAY, Tally(10, 20))
        kept.move(1, DAY, MONTH, 5, -3, app="aider")
        kept.move(1, DAY, MONTH, 1, 1)
        assert [kept.get(whose, DAY) for whose in (MINE, MINE_TOO, YOURS, ME)] == [
            Tally(15, 17),
            Tally(10, 20),
            Tally(10, 20),
            Tally(16, 18),
        ]
        kept.forget(1)
        assert [kept.get(whose, DAY) for whose in (MINE, MINE_TOO, YOURS, ME)] == [None, None, Tally(10, 20), None]

    @pytest.mark.usefixtures("few")
    def test_keep_the_latest_of_programs(self) -> None:
        """Past the bound likewise."""
        kept = Tallies()
        for whose in (MINE, MINE_TOO, YOURS):
            kept.put(whose, DAY, Tally(0, 0))
        assert [kept.get(whose, DAY) is None for whose in (MINE, MINE_TOO, YOURS)] == [True, False, False]

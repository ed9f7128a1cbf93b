"""What has been spent and is reserved, by users, their programs and periods: running sums, kept as they are planned.

A period is a day ("2026-11-24") or a month ("2026-11"). Uids of None mean everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

from cortexd.ledger.records import AppOf, Whose

Uids = frozenset[int] | None
_MAX_OWN = 8192
_MAX_PERIODS = 8
_MAX_SHARED = 1024  # in each period


@dataclass(slots=True)
class Tally:
    """In nano-dollars. `unknown`: see Own; it means something in a single user's day alone."""

    spent: int
    reserved: int
    unknown: int = 0


class Tallies:
    """Bounded: what was put longest ago is dropped first, and read from the entries again when it is needed.

    Where a request moves sums, a user's own are found by his uid; those of several users, few, are looked through.
    """

    def __init__(self) -> None:
        self._all: dict[tuple[Whose, str], Tally] = {}
        self._own: dict[tuple[int, str], Tally] = {}
        self._shared: dict[str, dict[Uids, Tally]] = {}
        self._apps: dict[tuple[AppOf, str], Tally] = {}

    def get(self, whose: Whose, period: str) -> Tally | None:
        return self._all.get((whose, period))

    def own(self, uid: int, period: str) -> Tally | None:
        return self._own.get((uid, period))

    def put(self, whose: Whose, period: str, tally: Tally) -> None:
        self._all[whose, period] = tally
        if isinstance(whose, AppOf):
            self._put_app(whose, period, tally)
        elif whose is not None and len(whose) == 1:
            self._put_own(next(iter(whose)), period, tally)
        else:
            self._put_shared(whose, period, tally)

    def move(self, uid: int, day: str, month: str, spent: int, reserved: int, unknown: int = 0, app: str = "") -> None:
        """Add to every sum of that day and month that `uid` is in, with that program."""
        if app and self._apps:
            self._move_app(AppOf(uid, app), (day, month), spent, reserved)
        today = self._own.get((uid, day))
        if today is not None:
            today.unknown += unknown
        for period in (day, month):
            own = self._own.get((uid, period))
            if own is not None:
                own.spent += spent
                own.reserved += reserved
            shared = self._shared.get(period)
            if shared is not None:
                for uids, tally in shared.items():
                    if uids is None or uid in uids:
                        tally.spent += spent
                        tally.reserved += reserved

    def forget(self, uid: int) -> None:
        """Let every sum of chosen users that `uid` is among be read from the entries again."""
        for whose, period in [key for key in self._all if _concerns(key[0], uid)]:
            if isinstance(whose, AppOf):
                del self._all[whose, period], self._apps[whose, period]
            elif whose is not None and len(whose) == 1:
                del self._all[whose, period], self._own[uid, period]
            else:
                self._drop_shared(period, whose)

    def _move_app(self, whose: AppOf, periods: tuple[str, str], spent: int, reserved: int) -> None:
        for period in periods:
            if (tally := self._apps.get((whose, period))) is not None:
                tally.spent += spent
                tally.reserved += reserved

    def _put_app(self, whose: AppOf, period: str, tally: Tally) -> None:
        self._apps[whose, period] = tally
        while len(self._apps) > _MAX_OWN:
            oldest = next(iter(self._apps))
            del self._apps[oldest], self._all[oldest]

    def _put_own(self, uid: int, period: str, tally: Tally) -> None:
        self._own[uid, period] = tally
        while len(self._own) > _MAX_OWN:
            oldest, its_period = next(iter(self._own))
            del self._own[oldest, its_period]
            del self._all[frozenset((oldest,)), its_period]

    def _put_shared(self, uids: Uids, period: str, tally: Tally) -> None:
        shared = self._shared.setdefault(period, {})
        shared[uids] = tally
        while len(shared) > _MAX_SHARED:
            self._drop_shared(period, next(iter(shared)))
        while len(self._shared) > _MAX_PERIODS:
            oldest = next(iter(self._shared))
            for each in tuple(self._shared[oldest]):
                self._drop_shared(oldest, each)
            del self._shared[oldest]

    def _drop_shared(self, period: str, uids: Uids) -> None:
        del self._shared[period][uids]
        del self._all[uids, period]


def _concerns(whose: Whose, uid: int) -> bool:
    """Whether `uid` is among those that were chosen; everybody is nobody's choice."""
    return whose.uid == uid if isinstance(whose, AppOf) else whose is not None and uid in whose

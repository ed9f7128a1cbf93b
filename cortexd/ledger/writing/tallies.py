"""What has been spent and is reserved, by users and periods: running sums of the entries, kept as they are planned.

A period is a day ("2026-11-24") or a month ("2026-11"). Uids of None mean everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        self._all: dict[tuple[Uids, str], Tally] = {}
        self._own: dict[tuple[int, str], Tally] = {}
        self._shared: dict[str, dict[Uids, Tally]] = {}

    def get(self, uids: Uids, period: str) -> Tally | None:
        return self._all.get((uids, period))

    def own(self, uid: int, period: str) -> Tally | None:
        return self._own.get((uid, period))

    def put(self, uids: Uids, period: str, tally: Tally) -> None:
        self._all[uids, period] = tally
        if uids is not None and len(uids) == 1:
            self._put_own(next(iter(uids)), period, tally)
        else:
            self._put_shared(uids, period, tally)

    def move(self, uid: int, day: str, month: str, spent: int, reserved: int, unknown: int = 0) -> None:
        """Add to every sum of that day and month that `uid` is in."""
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
        for uids, period in [key for key in self._all if key[0] is not None and uid in key[0]]:
            if uids is not None and len(uids) == 1:
                del self._all[uids, period], self._own[uid, period]
            else:
                self._drop_shared(period, uids)

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

"""The machine's totals as everybody on the bus may see them (`signals.publish_totals`)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from cortexd.domain.money import NANO_PER_USD
from cortexd.ledger import Totals

NOTHING = Totals(0, 0)
COUNTED_S = 60.0
_NANO_PER_CENT = NANO_PER_USD // 100


class PublicTotals:
    """`totals`: the true ones; `mode`: exact, rounded or off; `step_nano`: the coarsest of the shared budgets.

    Rounded: requests are counted as they end. Money is counted once a minute and in whole steps, what was spent before
    the start as one sum, and each user's since then by itself: who spends and watches moves only his own part.
    """

    def __init__(
        self,
        totals: Callable[[], Totals],
        mode: Callable[[], str],
        step_nano: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._totals = totals
        self._mode = mode
        self._step_nano = step_nano
        self._clock = clock
        self._before_nano = totals().total_cost_nano
        self._spent: Counter[int] = Counter()
        self.count()

    @property
    def exact(self) -> bool:
        return self._mode() == "exact"

    def spent(self, uid: int, nano: int) -> None:
        """A request of `uid` is settled, and in the true totals."""
        self._spent[uid] += nano

    def count(self) -> None:
        """Count the money in steps anew."""
        step = max(_NANO_PER_CENT, self._step_nano())
        self._counted_nano = sum(nano // step * step for nano in (self._before_nano, *self._spent.values()))
        self._counted_at = self._clock()

    @property
    def due_s(self) -> float | None:
        """How long until the money may be counted again; None where it never has to be."""
        return max(0.0, self._counted_at + COUNTED_S - self._clock()) if self._mode() == "rounded" else None

    def seen(self) -> Totals:
        """The totals for everybody."""
        match self._mode():
            case "exact":
                return self._totals()
            case "rounded":
                return Totals(self._totals().total_requests, self._counted_nano)
            case _:
                return NOTHING

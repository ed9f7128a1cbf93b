"""What everybody may learn from the machine's totals, by signals.publish_totals."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from cortexd.bus.totals import COUNTED_S, PublicTotals
from cortexd.ledger import Totals

CENT = 10_000_000
ME = 1000


@dataclass
class Machine:
    """A ledger's totals, a clock, and what everybody sees of the one at the other."""

    before_nano: int = 0
    mode: str = "rounded"
    step_nano: int = 0
    now: float = 500.0
    spent: Counter[int] = field(default_factory=Counter)
    true: Totals = field(init=False)
    public: PublicTotals = field(init=False)

    def __post_init__(self) -> None:
        self.true = Totals(0, self.before_nano)
        self.public = PublicTotals(lambda: self.true, lambda: self.mode, lambda: self.step_nano, lambda: self.now)

    def spend(self, uid: int, nano: int) -> None:
        self.true = self.true + Totals(1, nano)
        self.spent[uid] += nano
        self.public.spent(uid, nano)

    def after_a_minute(self) -> Totals:
        self.now += COUNTED_S
        assert self.public.due_s == 0
        self.public.count()
        return self.public.seen()


class TestRounded:
    def test_counts_money_once_a_minute(self) -> None:
        """In whole cents, downwards; requests at once."""
        machine = Machine(before_nano=3 * CENT + 5)
        assert machine.public.seen() == Totals(0, 3 * CENT)
        machine.spend(ME, 2 * CENT + 7)
        assert machine.public.seen() == Totals(1, 3 * CENT)
        assert machine.public.due_s == COUNTED_S
        assert machine.after_a_minute() == Totals(1, 5 * CENT)

    def test_goes_by_the_coarsest_step_of_shared_budgets(self) -> None:
        """Where it is more than a cent."""
        machine = Machine(before_nano=95 * CENT, step_nano=40 * CENT)
        assert machine.public.seen().total_cost_nano == 80 * CENT

    @pytest.mark.parametrize("seed", range(20))
    def test_tells_nobody_more_than_steps_of_others(self, seed: int) -> None:
        """Whatever I spend, and however often I look: others who stay within the same steps are told apart by
        nothing."""
        chance = random.Random(seed)
        step = chance.choice((0, 2 * CENT, 30 * CENT))
        one, other = Machine(step_nano=step), Machine(step_nano=step)
        machines, size = (one, other), max(CENT, step)
        for _ in range(40):
            uid = chance.randrange(3)
            for machine in machines:
                within = machine.spent[uid] % size
                machine.spend(uid, chance.randrange(size - within))
            if chance.random() < 0.3:
                whole = size * chance.randrange(3)
                for machine in machines:
                    machine.spend(uid, whole)
            for nano in (chance.randrange(size), chance.randrange(3 * size)):
                for machine in machines:
                    machine.spend(ME, nano)
                assert one.after_a_minute() == other.after_a_minute()
        assert one.true != other.true

    def test_never_says_more_than_was_spent(self) -> None:
        """Nor less than that by more than a step for each who spent, and one for the time before."""
        chance = random.Random(1)
        machine = Machine(before_nano=chance.randrange(9 * CENT))
        for _ in range(200):
            machine.spend(chance.randrange(5), chance.randrange(3 * CENT))
        missing = machine.true.total_cost_nano - machine.after_a_minute().total_cost_nano
        assert 0 <= missing < 6 * CENT


class TestOtherModes:
    def test_exact(self) -> None:
        """As it is, at once."""
        machine = Machine(before_nano=7, mode="exact")
        machine.spend(ME, 5)
        assert (machine.public.seen(), machine.public.due_s, machine.public.exact) == (Totals(1, 12), None, True)

    def test_off(self) -> None:
        """Nothing."""
        machine = Machine(before_nano=7 * CENT, mode="off")
        machine.spend(ME, 5 * CENT)
        assert (machine.public.seen(), machine.public.due_s) == (Totals(0, 0), None)

    def test_a_change_forgets_nothing(self) -> None:
        """What was spent while totals were exact counts once they are rounded."""
        machine = Machine(mode="exact")
        machine.spend(ME, 3 * CENT + 1)
        machine.mode = "rounded"
        machine.public.count()
        assert machine.public.seen() == Totals(1, 3 * CENT)

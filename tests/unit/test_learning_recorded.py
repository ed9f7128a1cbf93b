"""The report out of a real ledger: what was decided and reported there, and what learning then yields."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from cortexd.accounts.accounts import Accounts
from cortexd.authority import Caller
from cortexd.authority.same_user import SameUser
from cortexd.catalog import builtin_catalog
from cortexd.config import builtin_config
from cortexd.config.settings import BudgetSettings
from cortexd.domain.decided import Decided, DecidedArm
from cortexd.domain.messages import LearnedMode
from cortexd.errors import AccessDenied
from cortexd.ledger import Ledger
from cortexd.requests.learning_report import LearningReports
from cortexd.routing.learned.foresight import Record, Report
from cortexd.validation import LearningWish
from tests.unit.learned_worlds import Kind, World, fresh, led, watched, yielded
from tests.unit.test_ledger_parts import attempt, request, settings, told

ANN, BOB = Caller(":1.1", 1000, "ann"), Caller(":1.2", 1001, "bob")
OPERATOR = Caller(":1.3", os.getuid(), "operator")  # who may all on his own bus
OWN = LearningWish()
REQUESTS = 200


def decided(record: Record) -> Decided:
    mode = LearnedMode.APPLY if record.applied else LearnedMode.OBSERVE
    arms = tuple(DecidedArm(arm.target, arm.mean, arm.sigma, 0, arm.penalty, arm.cost) for arm in record.arms)
    return Decided(mode, record.baseline, record.greedy, record.chosen, "best", arms)


def bound(record: Record, why: str) -> Decided:
    """To the model that ran, which is not the best known."""
    others = [arm.target for arm in record.arms if arm.target != record.ran]
    return replace(decided(record), greedy=others[0], chosen=record.ran, why=why)


async def write(ledger: Ledger, records: Sequence[Record]) -> None:
    """As the daemon does: a request with its decision, settled, and perhaps an outcome."""
    for number, record in enumerate(records):
        name = f"job-{number}"
        cost, by = record.cost or 0, (record.ran.provider, record.ran.model or "")
        made = request(request_id=name, caller_chosen=True, task_type=record.task, decided=decided(record))
        await ledger.settle(await ledger.reserve(made, cost), "done", [attempt(cost, by)])
        if record.score is not None:
            await told(ledger, 1000, name, record.score)


class Watched:
    """A world that was watched, and a ledger that has the records of it."""

    def __init__(self, ledger: Ledger, world: World) -> None:
        self.ledger, self.world = ledger, world
        self.learner, self.records = watched(world, world.rows(REQUESTS, REQUESTS))
        self.reports = LearningReports(Accounts(ledger, SameUser(), BudgetSettings(), {}), self.learner)

    async def report(self, caller: Caller = ANN, wish: LearningWish = OWN) -> Report:
        return await self.reports.of(caller, wish, builtin_config(), builtin_catalog())


class TestRecorded:
    @pytest.mark.parametrize("seed", range(3))
    async def test_what_was_foretold_from_the_ledger_comes_true(self, tmp_path: Path, seed: int) -> None:
        """Watched, reported, applied: the yield lies within the interval; facts are the ledger's."""
        ledger = await Ledger.open(settings(tmp_path))
        seen = Watched(ledger, World(Kind(tasks=2, models=3), seed))
        await write(ledger, seen.records)
        foretold = await seen.report()
        assert foretold.ran.requests == foretold.ran.outcomes == REQUESTS
        assert foretold.ran.cost == sum(record.cost or 0 for record in seen.records)
        assert foretold.agreed == sum(record.chosen == record.ran for record in seen.records)
        rows = seen.world.rows(REQUESTS, 0)
        asked = [record.ran for record in led(seen.world, fresh(seen.learner), rows)]
        assert foretold.ahead is not None
        score = foretold.ahead.apply.score
        assert score.low <= yielded(seen.world, rows, asked).score <= score.high
        await ledger.close()

    async def test_of_ones_own_of_a_task_and_of_all(self, tmp_path: Path) -> None:
        """Another user has none; a task its own; everybody's are there for who may."""
        ledger = await Ledger.open(settings(tmp_path))
        seen = Watched(ledger, World(Kind(tasks=2, models=2), 1))
        await write(ledger, seen.records)
        count = sum(record.task == "task1" for record in seen.records)
        assert (await seen.report(BOB)).ran.requests == 0
        with pytest.raises(AccessDenied):
            await seen.report(BOB, LearningWish(all_users=True))
        assert (await seen.report(OPERATOR, LearningWish(all_users=True))).ran.requests == REQUESTS
        assert (await seen.report(ANN, LearningWish(task_type="task1"))).ran.requests == count
        await ledger.close()

    @pytest.mark.parametrize(("why", "explored"), [("pinned", 0), ("session", 0), ("explored", 120)])
    async def test_who_was_bound_to_a_model_explored_nothing(self, tmp_path: Path, why: str, explored: int) -> None:
        """A pin or a session chooses another than the best known, and will on the next requests too."""
        ledger = await Ledger.open(settings(tmp_path))
        seen = Watched(ledger, World(Kind(tasks=1, models=2), 1))
        for number, record in enumerate(seen.records[:120]):
            made = request(request_id=f"job-{number}", caller_chosen=True, decided=bound(record, why))
            by = (record.ran.provider, record.ran.model or "")
            await ledger.settle(await ledger.reserve(made, 1), "done", [attempt(1, by)])
            await told(ledger, 1000, f"job-{number}", record.score or 0.0)
        foretold = await seen.report()
        assert foretold.would_explore == explored
        shares = {row.target: row.applied for row in foretold.models}
        assert (shares[seen.records[0].ran] == 1.0) == (not explored)
        await ledger.close()

    async def test_the_loop_goes_on_while_it_is_judged(self, tmp_path: Path) -> None:
        """What runs beside it has its turns, and what is learned meanwhile does not disturb it."""
        ledger = await Ledger.open(settings(tmp_path))
        seen = Watched(ledger, World(Kind(tasks=2, models=2), 1))
        await write(ledger, seen.records)
        judging = asyncio.create_task(seen.report())
        turns, chance = 0, Random(1)
        while not judging.done():
            turns += 1
            seen.learner.cells.learn(f"new{turns}", seen.world.targets[0], chance.random())
            await asyncio.sleep(0)
        assert (await judging).ahead is not None
        assert turns > 10
        await ledger.close()

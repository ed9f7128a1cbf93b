"""What was learned over restarts: every later decision is the one that there would have been without."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortexd.daemon.recollection import relearn
from cortexd.domain.learned import CountKey, Learned
from cortexd.domain.outcomes import Outcome
from cortexd.domain.targets import Target
from cortexd.errors import BudgetExceeded
from cortexd.ledger import Ledger
from cortexd.routing import Learner
from cortexd.routing.learned import Arm, Rules, Standing
from tests.unit.test_execution import Bench, bench_fixture, upstream_fixture  # noqa: F401
from tests.unit.test_ledger_parts import attempt, request
from tests.unit.test_ledger_parts import settings as ledger_settings

MODELS = tuple(Target("pool", f"model-{number}") for number in range(4))
TASKS = ("user_chat", "code_generation")
RULES = Rules(explore_share=0.2, explore_first=2)
UID = 1000


@dataclass(frozen=True)
class Ask:
    """A request. `refused`: it was decided, and then not paid for."""

    task: str
    models: int
    refused: bool = False


@dataclass(frozen=True)
class Report:
    """An outcome of an earlier request; the same again is a correction."""

    number: int
    score: float
    source: str


@dataclass(frozen=True)
class Restart:
    """The daemon ends and another begins."""


STEPS = st.lists(
    st.one_of(
        st.builds(Ask, st.sampled_from(TASKS), st.integers(2, 4), st.sampled_from((False, False, False, True))),
        st.builds(Report, st.integers(0, 30), st.sampled_from((0.0, 0.5, 0.9, 1.0)), st.sampled_from(("user", "test"))),
        st.just(Restart()),
    ),
    min_size=5,
    max_size=40,
)


@dataclass
class Machine:
    """A ledger and whoever learns by it; `decided`: each choice with all that it was made by."""

    ledger: Ledger
    learner: Learner
    directory: Path
    asked: list[str] = field(default_factory=list)
    decided: list[object] = field(default_factory=list)

    @classmethod
    async def begun(cls, directory: Path) -> Machine:
        ledger = await Ledger.open(ledger_settings(directory))
        await ledger.replace_learned(Learner(seed=7).learned)
        return cls(ledger, await relearn(ledger), directory)

    async def restart(self) -> None:
        await self.ledger.close()
        self.ledger = await Ledger.open(ledger_settings(self.directory))
        self.learner = await relearn(self.ledger)

    async def ask(self, step: Ask) -> None:
        arms = [Arm(model, 0.05 * place) for place, model in enumerate(MODELS[: step.models])]
        choice = self.learner.decide(step.task, arms, RULES, len(self.decided))
        self.decided.append(choice)
        by_model = {score.target: score for score in choice.scores}
        order = [choice.chosen, *(model for model in by_model if model != choice.chosen)]
        standings = [
            Standing(by_model[model], model == choice.greedy, model == choice.chosen, choice.why) for model in order
        ]
        counted = self.learner.took(step.task, standings)
        if step.refused:
            counted.given_back()
            return
        name = f"job-{len(self.asked)}"
        made = request(UID, request_id=name, caller_chosen=True, task_type=step.task, counted=counted.more)
        key = await self.ledger.reserve(made, 0)
        counted.kept()
        await self.ledger.settle(key, "done", [attempt(0, ("pool", choice.chosen.model or ""))])
        self.asked.append(name)

    async def report(self, step: Report) -> None:
        if self.asked:
            name, teach = self.asked[step.number % len(self.asked)], self.learner.cells.teach()
            _, changed = await self.ledger.report_outcome(UID, name, step.source, Outcome(step.score, 1.0), teach)
            self.learner.cells.adopt(changed)


def nonzero(learned: Learned) -> dict[CountKey, int]:
    return {key: value for key, value in learned.counts.items() if value}


async def lived(steps: list[object], *, restarts: bool) -> tuple[list[object], Learned]:
    """All choices of a life, and what is known at its end."""
    with TemporaryDirectory() as directory:
        machine = await Machine.begun(Path(directory))
        for step in steps:
            match step:
                case Ask():
                    await machine.ask(step)
                case Report():
                    await machine.report(step)
                case Restart() if restarts:
                    await machine.restart()
        await machine.restart()
        await machine.ledger.close()
        return machine.decided, machine.learner.learned


class TestRestarts:
    @settings(max_examples=25, deadline=None)
    @given(STEPS)
    def test_change_no_decision(self, steps: list[object]) -> None:
        """Wherever they come between decisions, outcomes and their corrections; what is known at the end is equal too,
        in the order in which it would be dropped."""
        with_restarts = asyncio.run(lived(steps, restarts=True))
        without = asyncio.run(lived(steps, restarts=False))
        assert with_restarts[0] == without[0]
        assert list(with_restarts[1].cells.items()) == list(without[1].cells.items())
        assert nonzero(with_restarts[1]) == nonzero(without[1])

    async def test_what_is_known_is_what_is_kept(self, tmp_path: Path) -> None:
        """At any moment, also of what was decided for requests that never began."""
        machine = await Machine.begun(tmp_path)
        for number in range(12):
            await machine.ask(Ask(TASKS[number % 2], 2 + number % 3, refused=number % 4 == 3))
            await machine.report(Report(number, 0.75, "user"))
            kept = await machine.ledger.learned()
            assert kept.cells == machine.learner.learned.cells
            assert nonzero(kept) == nonzero(machine.learner.learned)
        await machine.ledger.close()


class TestUpgrade:
    async def test_a_ledger_from_before_is_recalled_once(self, bench: Bench) -> None:
        """What its outcomes say is kept from then on, and with it the machine's seed."""
        report, uid = bench.service.outcomes.report, bench.caller().uid
        for score in (1.0, 0.0, 1.0):
            await report(uid, (await bench.ask(provider="claude")).request_id, score, {})
        recalled = (await relearn(bench.ledger)).learned
        assert sum(cell.count for cell in recalled.cells.values()) == 6
        again = (await relearn(bench.ledger)).learned
        assert again == recalled
        assert list(again.cells) == list(recalled.cells)

    async def test_a_new_ledger_keeps_its_seed(self, bench: Bench) -> None:
        """Two starts draw alike before anything was learned."""
        assert (await relearn(bench.ledger)).learned == (await relearn(bench.ledger)).learned


class TestRequests:
    async def test_count_with_their_reservation(self, bench: Bench) -> None:
        """One answered request is one decision, in the learner and in the ledger; an answer from the cache is none."""
        learner = bench.service.learner
        for _ in range(3):
            await bench.ask(strategy="learned")
        assert learner.counts.decisions == 3
        counts = (await bench.ledger.learned()).counts
        assert counts["decided", "apply"] == counts["task", "user_chat"] == 3

    async def test_what_no_budget_has_room_for_is_given_back(self, bench: Bench) -> None:
        """A decision after which nothing was reserved counts nowhere."""
        await bench.service.accounts.set_budget(bench.caller(), {"scope": "machine", "day_usd": 0.0})
        before = bench.service.learner.learned
        with pytest.raises(BudgetExceeded):
            await bench.ask(strategy="learned")
        after = bench.service.learner.learned
        assert nonzero(after) == nonzero(before)
        assert (await bench.ledger.learned()).counts == {}


class TestAge:
    async def test_what_is_old_goes_from_both(self, tmp_path: Path) -> None:
        """Cells that no outcome has changed for so long are let go of; newer ones stay, and so do the counts."""
        machine = await Machine.begun(tmp_path)
        for number in range(4):
            await machine.ask(Ask(TASKS[0], 2))
            await machine.report(Report(number, 1.0, "user"))
        counts = nonzero(machine.learner.learned)
        assert await machine.ledger.drop_learned(datetime.now(UTC) - timedelta(hours=1)) == []
        gone = await machine.ledger.drop_learned(datetime.now(UTC) + timedelta(hours=1))
        assert set(gone) == set(machine.learner.learned.cells)
        machine.learner.cells.drop(gone)
        await machine.restart()
        assert len(machine.learner.cells) == 0
        assert nonzero(machine.learner.learned) == counts
        await machine.ledger.close()

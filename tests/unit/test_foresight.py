"""The report before learning is turned on: what it foretells comes true as often as it says."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from cortexd.domain.targets import Target
from cortexd.routing.learned import Cells, Counts
from cortexd.routing.learned.foresight import Contender, Estimate, Record, Report, Standpoint, report
from cortexd.routing.learned.foresight.evidence import Evidence
from tests.unit.learned_worlds import KINDS, RULES, Kind, World, Yield, fresh, led, standpoint, watched, yielded

REQUESTS, SEEDS, MOSTLY = 200, 10, 9
GOOD, BAD = Target("lab", "good"), Target("lab", "bad")


def foretold_and_yielded(kind: Kind, seed: int, requests: int) -> tuple[Report, Yield, Yield]:
    """A report after so much watching; then what apply yields and what the table would have, of as many requests."""
    world = World(kind, seed)
    learner, records = watched(world, world.rows(requests, requests // 2))
    foretold = report(records, standpoint(world, learner), seed)
    rows = world.rows(requests, 0)
    asked = [record.ran for record in led(world, fresh(learner), rows)]
    table = [world.targets[world.table[row.task]] for row in rows]
    return foretold, yielded(world, rows, asked), yielded(world, rows, table)


def foretold_rightly(kind: Kind, requests: int) -> Counter[str]:
    """In how many of SEEDS worlds each figure came to lie within its interval."""
    hits: Counter[str] = Counter()
    for seed in range(SEEDS):
        foretold, got, without = foretold_and_yielded(kind, seed, requests)
        assert foretold.ahead is not None
        hits["score"] += within(foretold.ahead.apply.score, got.score)
        hits["value"] += within(foretold.ahead.apply.value, got.value)
        hits["gain"] += within(foretold.ahead.gain.value, got.value - without.value)
        hits["baseline"] += within(foretold.ahead.baseline.score, without.score)
    return hits


def within(estimate: Estimate, value: float) -> bool:
    return estimate.low <= value <= estimate.high


def records_of(scores: Sequence[float | None], *, ran: Target = GOOD, applied: bool = False) -> list[Record]:
    """One task of two models, of which one runs."""
    arms = (Contender(GOOD, 0.6, 0.05, 0.1, 1000), Contender(BAD, 0.5, 0.05, 0.01, 100))
    return [
        Record("task", applied, ran, GOOD, GOOD, ran if applied else GOOD, arms, cost=1000, score=score)
        for score in scores
    ]


def alone(records: list[Record], seed: int = 1) -> Report:
    return report(records, Standpoint(Cells(), Counts(), RULES), seed)


@pytest.mark.parametrize("name", KINDS)
class TestForetold:
    def test_what_learning_then_yields_lies_within_the_interval(self, name: str) -> None:
        """In 9 of 10 worlds of each kind: the score, the value and what is gained over the table."""
        hits = foretold_rightly(KINDS[name], REQUESTS)
        assert min(hits.values()) >= MOSTLY, hits

    @pytest.mark.slow
    def test_so_it_does_after_two_thousand_requests(self, name: str) -> None:
        """As the shorter one, at the length that a report looks ahead."""
        hits = foretold_rightly(KINDS[name], 2000)
        assert min(hits.values()) >= MOSTLY, hits


class TestUseful:
    def test_the_interval_narrows_with_what_has_been_tried(self) -> None:
        """Of models that have all answered for long it is far narrower than of those that never did."""
        world = World(Kind(tasks=2, models=2, tables=2), 3)
        learner, records = watched(world, world.rows(400, 400))
        before = report(records, standpoint(world, learner), 3)
        later = led(world, learner, world.rows(1500, 0))
        after = report(later, standpoint(world, learner), 3)
        widths = [seen.ahead.apply.score.high - seen.ahead.apply.score.low for seen in (before, after) if seen.ahead]
        assert widths[1] < widths[0] / 2
        assert widths[1] < 0.12

    def test_a_baseline_that_no_longer_runs_is_foretold_too(self) -> None:
        """After much of apply: what the table would give on the next requests lies within its interval."""
        hits = 0
        for seed in range(SEEDS):
            world = World(Kind(tasks=3, models=3), seed)
            learner, _ = watched(world, world.rows(150, 150))
            records = led(world, learner, world.rows(300, 0))
            foretold = report(records, standpoint(world, learner), seed)
            assert foretold.ahead is not None
            rows = world.rows(200, 0)
            got = yielded(world, rows, [world.targets[world.table[row.task]] for row in rows])
            hits += within(foretold.ahead.baseline.score, got.score)
        assert hits >= MOSTLY

    def test_fewer_reports_make_it_wider(self) -> None:
        """The same answers, of which one in five is reported on."""
        chance = random.Random(5)
        scores = [float(chance.random() < 0.7) for _ in range(400)]
        few = [score if number % 5 == 0 else None for number, score in enumerate(scores)]
        all_told, some = alone(records_of(scores)), alone(records_of(few))
        assert all_told.ahead
        assert some.ahead
        widths = [seen.baseline.score.high - seen.baseline.score.low for seen in (all_told.ahead, some.ahead)]
        assert widths[1] > widths[0] * 1.3


class TestVerdict:
    @pytest.mark.parametrize(
        ("records", "reason"),
        [
            ([], "few_requests"),
            (records_of([1.0] * 99), "few_requests"),
            (records_of([None] * 200), "few_outcomes"),
            (records_of([1.0] * 29 + [None] * 171), "few_outcomes"),
        ],
    )
    def test_too_little_gives_no_estimate(self, records: list[Record], reason: str) -> None:
        """Below the least of requests and outcomes it says which, and promises nothing."""
        seen = alone(records)
        assert (seen.verdict, seen.reason) == ("too_little", reason)
        assert (seen.ahead, seen.savings, seen.horizon) == (None, None, 0)

    def test_untried_models_leave_it_open(self) -> None:
        """Where nobody but the table's model ever answered, nothing is promised."""
        seen = alone(records_of([1.0, 0.0] * 200))
        assert (seen.verdict, seen.reason, seen.untried) == ("open", "untried_models", 1)

    @pytest.mark.parametrize(("ran", "verdict"), [(0.9, "gains"), (0.0, "open")])
    def test_a_gain_is_claimed_only_where_it_is_sure(self, ran: float, verdict: str) -> None:
        """Learning has found one far better than the table's; or one that is as good."""
        chance = random.Random(7)
        tried = records_of([float(chance.random() < 0.3) for _ in range(600)])
        found = records_of([float(chance.random() < 0.3 + ran * 0.7) for _ in range(600)], ran=BAD, applied=True)
        records = [item for pair in zip(tried, found, strict=True) for item in pair]
        cells, counts = Cells(), Counts()
        for item in records:
            cells.decided(item.task)
            counts.count((GOOD, BAD), explored=False)
            cells.learn(item.task, item.ran, item.score or 0.0)
        seen = report(records, Standpoint(cells, counts, RULES), 1)
        assert seen.verdict in ((verdict,) if ran else ("open", "gains", "equal"))
        assert seen.savings is not None
        assert seen.ahead is not None
        if ran:
            assert seen.ahead.gain.score.low > 0.3
            assert seen.savings.low > 0.5

    def test_one_model_is_neither_gain_nor_loss(self) -> None:
        """Where there is nobody else to ask, apply gives what the table gives."""
        arms = (Contender(GOOD, 0.5, 0.1, 0.1, 1000),)
        records = [replace(item, arms=arms) for item in records_of([1.0, 0.0, 1.0] * 100)]
        seen = alone(records)
        assert (seen.verdict, seen.reason) == ("equal", "no_difference")
        assert seen.savings == Estimate(0.0, 0.0, 0.0)


class TestFigures:
    def test_counts_are_of_what_happened(self) -> None:
        """Requests, outcomes, sums and shares of what ran, by task and model."""
        records = records_of([1.0] * 30 + [0.0] * 30 + [None] * 60)
        records[:5] = [replace(item, chosen=BAD) for item in records[:5]]
        records += [replace(item, task="rare") for item in records_of([1.0] * 10)]
        seen = alone(records)
        assert (seen.ran.requests, seen.ran.outcomes, seen.ran.cost) == (130, 70, 130_000)
        assert seen.ran.score == pytest.approx(40 / 70)
        assert (seen.agreed, seen.would_explore, seen.explored, seen.applied) == (125, 5, 0, 0)
        assert [(row.task, row.ran.requests, row.ahead is None) for row in seen.tasks] == [
            ("task", 120, False),
            ("rare", 10, True),
        ]
        assert [(row.target, row.ran.requests) for row in seen.models] == [(GOOD, 130), (BAD, 0)]
        shares = [row.applied for row in seen.models if row.applied is not None]
        assert sum(shares) == pytest.approx(1)

    def test_rare_tasks_are_one_row(self) -> None:
        """A thousand kinds of task are judged, most of them together."""
        records = [replace(item, task=f"task{number}") for number, item in enumerate(records_of([1.0, 0.0] * 600))]
        records += records_of([1.0, 1.0, 0.0] * 50)
        seen = alone(records)
        assert seen.tasks[0].task == ""
        assert sum(row.ran.requests for row in seen.tasks) == 1350
        assert len(seen.tasks) == 48 + 1

    def test_equal_arguments_make_equal_reports(self) -> None:
        """Nothing is left to chance or to dictionaries' order."""
        world = World(KINDS["two_tables"], 4)
        learner, records = watched(world, world.rows(150, 150))
        first, second = (report(records, standpoint(world, fresh(learner)), 9) for _ in range(2))
        assert first == second
        assert report(records, standpoint(world, learner), 10) != first

    def test_the_learner_goes_on_as_it_was(self) -> None:
        """Looking ahead changes nothing of what was learned."""
        world = World(KINDS["two_tables"], 4)
        learner, records = watched(world, world.rows(150, 150))
        before = [learner.scores(task, world.arms, RULES) for task in world.tasks]
        decisions, explored = learner.counts.decisions, learner.counts.explored
        report(records, standpoint(world, learner), 1)
        assert [learner.scores(task, world.arms, RULES) for task in world.tasks] == before
        assert (learner.counts.decisions, learner.counts.explored) == (decisions, explored)


class TestBounds:
    def test_the_deadline_leaves_a_few_worlds(self) -> None:
        """Past it no more than the least are drawn; while it runs, others get their turns."""
        records, turns = records_of([1.0, 0.0] * 200), list[None]()
        seen = report(records, Standpoint(Cells(), Counts(), RULES), 1, deadline=0.0, rest=lambda: turns.append(None))
        assert seen.worlds == 8
        assert len(turns) >= 8 * 400 // 32

    def test_the_work_does_not_grow_with_the_record(self) -> None:
        """Neither the requests that are looked ahead nor the worlds pass their bounds."""
        seen = alone(records_of([1.0, 0.0, 1.0, 1.0] * 1500))
        assert (seen.horizon, seen.worlds) == (2000, 32)


class TestDoublyRobust:
    def test_a_rare_draw_speaks_for_those_like_it(self) -> None:
        """What was asked by a draw weighs one over its chance; what the table asked weighs one."""
        drawn = records_of([1.0] * 10, ran=BAD, applied=True)
        usual = records_of([1.0] * 90, applied=True)
        watched_only = records_of([1.0] * 100)
        chances = Evidence.of(usual + drawn, 1).tallies["task", BAD].chances
        assert chances > 15
        assert Evidence.of(watched_only, 1).tallies["task", GOOD].chances == 100

    def test_outcomes_correct_what_the_model_says(self) -> None:
        """A task that nobody serves well, between easy ones, is foretold by its own outcomes."""
        easy = [replace(item, task=f"easy{number % 5}") for number, item in enumerate(records_of([1.0] * 500))]
        seen = alone(easy + records_of([0.0] * 100))
        [row] = [row for row in seen.tasks if row.task == "task"]
        assert row.ahead is not None
        assert row.ahead.baseline.score.mean < 0.05

    def test_what_has_changed_is_judged_by_what_it_is_now(self) -> None:
        """A model that was good for long and no longer is."""
        seen = alone(records_of([1.0] * 300 + [0.0] * 300))
        assert seen.ahead is not None
        assert seen.ahead.baseline.score.mean < 0.15

"""The report on learning on its way to a person: from what was judged to the bus, the client and the words."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from cortexd.bus.learning import report_shown
from cortexd.cli.shown.learning_report import _VERDICTS, print_learning
from cortexd.client import LearningReport
from cortexd.connection import wire
from cortexd.errors import InvalidArgument
from cortexd.routing.learned.foresight import Report, report
from cortexd.validation import LearningWish, parse_learning_query
from tests.unit.carried import carried
from tests.unit.learned_worlds import KINDS, World, standpoint, watched

DAYS = 30


def report_of(requests: int, seed: int = 3) -> Report:
    world = World(KINDS["two_tables"], seed)
    learner, records = watched(world, world.rows(requests, requests))
    return report(records, standpoint(world, learner), seed)


@pytest.fixture(name="judged", scope="module")
def judged_fixture() -> Report:
    return report_of(240)


def over_the_bus(judged: Report) -> LearningReport:
    return LearningReport.of(carried(wire.dictionary(report_shown(judged, DAYS))))


class TestOnTheBus:
    def test_the_client_has_what_was_judged(self, judged: Report) -> None:
        """Every figure arrives, costs as those of all requests."""
        seen = over_the_bus(judged)
        assert (seen.days, seen.requests, seen.outcomes, seen.horizon) == (DAYS, 240, 240, 240)
        assert (seen.verdict, seen.reason) == (judged.verdict, judged.reason)
        assert judged.ahead is not None
        assert seen.apply is not None
        assert seen.apply.score.mean == pytest.approx(judged.ahead.apply.score.mean, abs=1e-3)
        assert seen.apply.cost_usd.high == pytest.approx(judged.ahead.apply.cost.high * 240 / 1e9, abs=1e-6)
        assert [row.task_type for row in seen.tasks] == [row.task for row in judged.tasks]
        assert sum(row.requests for row in seen.models) == 240
        assert sum(row.apply_share or 0.0 for row in seen.models) == pytest.approx(1, abs=0.03)

    def test_tasks_share_the_next_requests(self, judged: Report) -> None:
        """What the tasks are to cost is together what all are to cost."""
        seen = over_the_bus(judged)
        assert seen.baseline is not None
        known = [row.baseline.cost_usd.mean for row in seen.tasks if row.baseline]
        assert len(known) == len(seen.tasks)
        assert sum(known) == pytest.approx(seen.baseline.cost_usd.mean, rel=0.1)

    def test_too_little_has_no_estimates(self) -> None:
        """Keys of what is not known are absent, and the client says None."""
        row = report_shown(report_of(20), DAYS)
        assert {"apply", "baseline", "gain"}.isdisjoint(row)
        seen = over_the_bus(report_of(20))
        assert (seen.verdict, seen.apply, seen.savings_share) == ("too_little", None, None)
        nothing = over_the_bus(report_of(0))
        assert (nothing.requests, nothing.score, nothing.tasks, nothing.models) == (0, None, [], [])

    def test_no_figure_is_finer_than_said(self, judged: Report) -> None:
        """Others' outcomes have a part in what is foretold: scores have three digits, shares two."""
        row = report_shown(judged, DAYS)
        for name, figure in product(("apply", "baseline", "gain"), ("mean", "low", "high")):
            assert row[name]["score"][figure] == round(row[name]["score"][figure], 3)
        assert row["exploring_share"] == round(row["exploring_share"], 2)


class TestWords:
    @pytest.mark.parametrize(("verdict", "reason"), _VERDICTS)
    def test_each_verdict_ends_with_the_next_step(
        self, judged: Report, verdict: str, reason: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The last line is the verdict's."""
        print_learning(over_the_bus(replace(judged, verdict=verdict, reason=reason)))
        last = capsys.readouterr().out.strip().splitlines()[-1]
        assert last == _VERDICTS[verdict, reason].format(untried=judged.untried)

    def test_a_newer_service_is_quoted(self, judged: Report, capsys: pytest.CaptureFixture[str]) -> None:
        """A word that this cortexctl does not know is shown as it is."""
        print_learning(over_the_bus(replace(judged, verdict="perhaps", reason="new_moon")))
        assert "perhaps (new_moon)" in capsys.readouterr().out

    def test_tables_show_intervals(self, judged: Report, capsys: pytest.CaptureFixture[str]) -> None:
        """No estimate stands without its interval."""
        seen = over_the_bus(judged)
        print_learning(seen)
        shown = capsys.readouterr().out
        assert seen.apply is not None
        assert f"{seen.apply.score.low:.2f} to {seen.apply.score.high:.2f}" in shown
        for row in seen.tasks:
            assert row.task_type in shown

    def test_nothing_was_watched(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Two sentences: what there is, and what to do."""
        print_learning(over_the_bus(report_of(0)))
        assert len(capsys.readouterr().out.strip().splitlines()) == 3


class TestQuery:
    def test_all_keys(self) -> None:
        """As documented; without any the last thirty days of all one's own."""
        assert parse_learning_query({}) == LearningWish(30, "", False)
        query = {"days": 7, "task_type": "user_chat", "all_users": True}
        assert parse_learning_query(query) == LearningWish(7, "user_chat", True)

    @pytest.mark.parametrize(
        ("query", "path"),
        [
            ({"days": 0}, "query.days"),
            ({"days": 3701}, "query.days"),
            ({"days": "7"}, "query.days"),
            ({"task_type": "poetry"}, "query.task_type"),
            ({"all_users": 1}, "query.all_users"),
            ({"since": "2026-01-01"}, "query"),
            ([], "query"),
        ],
    )
    def test_refusals_name_the_key(self, query: object, path: str) -> None:
        """What is wrong, by its path."""
        with pytest.raises(InvalidArgument, match=f"^{path}"):
            parse_learning_query(query)

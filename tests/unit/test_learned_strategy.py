"""The strategy `learned`: whom it asks by what callers reported, when it looks elsewhere, and what counts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cortexd.authority import Caller
from cortexd.config import Config
from cortexd.config.settings import LearnedSettings
from cortexd.daemon.recollection import relearn
from cortexd.domain.messages import Message, Role, Strategy, ToolCall
from cortexd.domain.outcomes import MOST_WEIGHT, Outcome
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType
from cortexd.errors import Failure, InvalidArgument, ProviderError, RequestNotFound
from cortexd.routing import Candidate, Forecast, Health, Learner, Plan, Question, State, Wishes, plan_route
from simulated import Behaviour
from tests.unit.routes import OFFICE, OWN, catalog_of, config, question
from tests.unit.test_execution import Bench, bench_fixture, upstream_fixture  # noqa: F401

LEARNED = Wishes(strategy=Strategy.LEARNED)
CHAT = TaskType.USER_CHAT
CLAUDE, KIMI = (Target(name, OWN[name]) for name in ("claude", "kimi_k2"))
MANY = 400


def learner(*taught: tuple[Target, float, int], task: TaskType = CHAT) -> Learner:
    """One that may explore, and has learned of these a score so many times."""
    made = Learner(seed=1)
    made.counts.count((CLAUDE, KIMI), explored=False)
    for target, score, times in taught:
        for _ in range(times):
            made.cells.learn(task, target, score)
    return made


def planned(
    made: Learner, asked: Question | None = None, seed: int = 0, *, health: Health | None = None,
    wishes: Wishes = LEARNED, dry_run: bool = False, more: bool = False, use: Config | None = None, **options: Any,
) -> Plan:  # fmt: skip
    use = use or (config(office=OFFICE) if more else config())
    return plan_route(
        asked or question(**options), use, catalog_of(use), health or Health(), wishes=wishes, learner=made, seed=seed,
        dry_run=dry_run,
    )  # fmt: skip


def led(made: Learner, **given: Any) -> set[str]:
    """Who leads over many requests."""
    return {planned(made, seed=seed, **given).candidates[0].provider for seed in range(MANY)}


class TestRanking:
    def test_who_served_best_leads(self) -> None:
        """By outcomes of this task type, and as far as nothing is known of it by those of others."""
        good, bad = learner((KIMI, 1.0, 50), (CLAUDE, 0.2, 50)), learner((KIMI, 0.2, 50), (CLAUDE, 1.0, 50))
        assert planned(good, dry_run=True).candidates[0].target == KIMI
        assert planned(bad, dry_run=True).candidates[0].target == CLAUDE
        other = question(TaskType.CONFIGURATION)
        assert planned(bad, other, dry_run=True).candidates[0].target == CLAUDE

    def test_cost_decides_among_equals(self) -> None:
        """A tenth of a score at most: the cheaper one leads where both serve as well."""
        assert planned(learner((KIMI, 0.8, 50), (CLAUDE, 0.8, 50)), dry_run=True).candidates[0].target == KIMI
        assert planned(learner((KIMI, 0.6, 50), (CLAUDE, 0.9, 50)), dry_run=True).candidates[0].target == CLAUDE

    def test_each_says_so_wherever_nothing_is_tried(self) -> None:
        """In a dry run of a privileged request too, whose own word says why nobody is tried."""
        made = planned(learner((KIMI, 1.0, 50)), question(TaskType.SYSTEM_OPERATION), dry_run=True)
        assert all("likely" in item.reason for item in made.candidates)

    def test_each_says_where_it_stands(self) -> None:
        """The mean, how many outcomes said so, the penalty, and what is left as the score."""
        made = planned(learner((KIMI, 1.0, 50)), dry_run=True)
        first, second = made.candidates
        assert first.standing is not None
        assert (first.standing.score.count, first.standing.greedy, first.standing.chosen) == (50, True, True)
        assert first.score == pytest.approx(first.standing.score.mean - first.standing.score.penalty, abs=1e-3)
        assert second.standing is not None
        assert second.standing.score.penalty == pytest.approx(0.1)
        assert first.reason.startswith("best by outcomes: likely 1.00 by 50 outcomes or more, less 0.0")

    def test_what_is_ranked_is_otherwise_as_it_was(self) -> None:
        """A candidate keeps all that the strategy does not say of it."""
        seen = planned(learner()).candidates[0]
        likely = Forecast(1, 2, 0.5, 3, 4.0, 5.0, 6.0, 0.7)
        full = Candidate("p", "m", "why", 1, 2, State.OPEN, likely, 0.1, 3, 4, "busy", "loading", None)
        assert {field.name for field in fields(full) if getattr(full, field.name) == field.default} == {"standing"}
        assert seen.standing is not None
        ranked = replace(full, reason="best", score=0.5, standing=seen.standing)
        assert full.stood("best", 0.5, seen.standing) == ranked

    def test_who_fails_does_not_lead(self) -> None:
        """However good its answers were."""
        health = Health()
        health.failed("kimi_k2", ProviderError(Failure.AUTHENTICATION, ""))
        assert planned(learner((KIMI, 1.0, 50)), health=health).candidates[0].target == CLAUDE


class TestExploration:
    def test_another_one_leads_now_and_then(self) -> None:
        """Where nothing is known yet, and equal requests alike."""
        assert led(learner()) == {"claude", "kimi_k2"}
        for seed in range(20):
            first, again = (planned(learner(), seed=seed).candidates[0] for _ in range(2))
            assert first == again

    @pytest.mark.parametrize(
        "given",
        [
            {"dry_run": True},
            {"wishes": replace(LEARNED, sticky=KIMI)},
            {"wishes": replace(LEARNED, local_only=True), "more": True},
            {"privacy": "local", "more": True},
            {"provider": "kimi_k2", "fallback": True},
            {"asked": question(TaskType.SYSTEM_OPERATION)},
        ],
        ids=["dry run", "session", "local wish", "local", "pinned", "privileged"],
    )
    def test_never_where_something_hangs_on_it(self, given: dict[str, Any]) -> None:
        """The same one leads always."""
        assert len(led(learner(), **given)) == 1

    @pytest.mark.parametrize(
        "message",
        [
            Message(Role.ASSISTANT, "half of it"),
            Message(Role.ASSISTANT, "", tool_calls=(ToolCall("1", "list", "{}"),)),
        ],
        ids=["conversation", "tool loop"],
    )
    def test_never_in_the_middle(self, message: Message) -> None:
        """Another model lacks the cache of what was said."""
        asked = question()
        asked = replace(asked, messages=(*asked.messages, message, *asked.messages))
        assert len(led(learner(), asked=asked)) == 1

    def test_never_at_who_fails(self) -> None:
        """There is nothing to learn of its answers."""
        health = Health()
        health.failed("kimi_k2", ProviderError(Failure.AUTHENTICATION, ""))
        assert led(learner(), health=health) == {"claude"}

    def test_a_plan_counts_nothing(self) -> None:
        """Neither a dry run nor a plan that nobody acted on."""
        made = learner()
        led(made)
        assert (made.counts.decisions, made.counts.explored) == (1, 0)


class TestService:
    """On the real path: requests, their rows in the ledger, and the outcomes that are reported of them."""

    async def test_outcomes_move_the_choice(self, bench: Bench) -> None:
        """The one that answered is learned of, and the next plan goes by it."""
        for provider, score in (("claude", 1.0), ("kimi_k2", 0.0)) * 8:
            done = await bench.ask(provider=provider)
            await bench.service.outcomes.report(bench.caller().uid, done.request_id, score, {})
        assert await who_leads(bench) == "claude"
        cells = bench.service.learner.cells
        counted = {(task, target.provider): cell.count for (task, target), cell in cells if task}
        assert counted == {("user_chat", "claude"): 8, ("user_chat", "kimi_k2"): 8}

    async def test_a_later_report_takes_the_place_of_the_former(self, bench: Bench) -> None:
        """Two reports of one request are one outcome, by the last."""
        done = await bench.ask(provider="claude")
        for score in (1.0, 0.0, 1.0, 0.25):
            await bench.service.outcomes.report(bench.caller().uid, done.request_id, score, {})
        [(_, cell)] = [item for item in bench.service.learner.cells if item[0][0]]
        assert cell.count == 1
        assert [cell.good, cell.bad] == pytest.approx([0.25, 0.75])

    async def test_who_made_no_such_request_teaches_nothing(self, bench: Bench) -> None:
        """Another user's, one that nobody made, and a score that is none."""
        done = await bench.ask(provider="claude")
        report = bench.service.outcomes.report
        with pytest.raises(RequestNotFound):
            await report(bench.caller().uid + 1, done.request_id, 0.0, {})
        with pytest.raises(RequestNotFound):
            await report(bench.caller().uid, "nothing-of-the-kind", 0.0, {})
        with pytest.raises(InvalidArgument):
            await report(bench.caller().uid, done.request_id, 2.0, {})
        assert not len(bench.service.learner.cells)

    async def test_what_nobody_answered_teaches_nothing(self, bench: Bench) -> None:
        """A failed request has an outcome in the ledger, and no model to learn of."""
        bench.simulated.behave("claude", Behaviour(status=400))
        with pytest.raises(Exception):  # noqa: B017 - whichever: it fails
            await bench.ask(provider="claude", fallback=False, request_id="in-vain")
        await bench.service.outcomes.report(bench.caller().uid, "in-vain", 0.0, {})
        assert not len(bench.service.learner.cells)

    async def test_sources_teach_together(self, bench: Bench) -> None:
        """As their weighted mean, no heavier than one request may be, however often each speaks."""
        done = await bench.ask(provider="claude")
        report = bench.service.outcomes.report
        for score, source in (
            (1.0, "user"),
            (0.0, "test"),
            (0.0, "test"),
            (0.5, "judge"),
            (0.0, "user"),
            (1.0, "user"),
        ):
            await report(bench.caller().uid, done.request_id, score, {"source": source})
        [(_, cell)] = [item for item in bench.service.learner.cells if item[0][0]]
        together = (1.0 * 1.0 + 2.0 * 0.0 + 0.5 * 0.5) / 3.5
        assert cell.count == 1
        assert [cell.good, cell.bad] == pytest.approx([MOST_WEIGHT * together, MOST_WEIGHT * (1 - together)])

    async def test_an_outcome_can_be_taken_back(self, bench: Bench) -> None:
        """Without a weight it teaches nothing, as if it had not been reported."""
        done = await bench.ask(provider="claude")
        for details in ({}, {"weight": 0.0}):
            await bench.service.outcomes.report(bench.caller().uid, done.request_id, 1.0, details)
        [(_, cell)] = [item for item in bench.service.learner.cells if item[0][0]]
        assert [cell.good, cell.bad] == [0.0, 0.0]

    async def test_a_correction_of_long_ago_teaches_nothing(self, bench: Bench) -> None:
        """A day after a source's first report: what that taught has faded, and others' words are not to go for it. The
        last report is what is kept; another source still teaches."""
        done = await bench.ask(provider="claude")
        report, uid = bench.service.outcomes.report, bench.caller().uid
        await report(uid, done.request_id, 1.0, {})
        before = dict(bench.service.learner.cells)
        with closing(sqlite3.connect(bench.path)) as connection, connection:
            connection.execute("UPDATE outcomes SET at = datetime(at, '-25 hours') || '.000000'")
        for score in (0.0, 1.0, 0.0):
            await report(uid, done.request_id, score, {})
        assert dict(bench.service.learner.cells) == before
        assert bench.rows("SELECT score FROM outcomes")[0]["score"] == 0.0
        await report(uid, done.request_id, 0.0, {"source": "test"})
        assert dict(bench.service.learner.cells) != before

    async def test_decisions_are_counted_as_they_begin(self, bench: Bench) -> None:
        """Those of the strategy alone: no dry run, no other strategy, none that a caller pinned."""
        await bench.ask(strategy="learned", provider="claude")
        await bench.ask(strategy="cost")
        await who_leads(bench)
        assert bench.service.learner.counts.decisions == 0
        for _ in range(3):
            await bench.ask(strategy="learned")
        assert bench.service.learner.counts.decisions == 3


async def who_leads(bench: Bench) -> str:
    caller: Caller = bench.caller()
    messages = [{"role": "user", "content": "hello"}]
    decision = await bench.service.route(caller, "user_chat", messages, {"strategy": "learned"})
    return decision.plan.candidates[0].provider


class TestRestart:
    """What outcomes have taught is learned again from a ledger that has kept no more than these."""

    async def test_outcomes_are_learned_again(self, bench: Bench) -> None:
        """Each once, the corrected ones by their last report; those of failed requests not at all."""
        report, uid = bench.service.outcomes.report, bench.caller().uid
        for provider, score in (("claude", 1.0), ("kimi_k2", 0.0)) * 3:
            await report(uid, (await bench.ask(provider=provider)).request_id, score, {})
        done = await bench.ask(provider="kimi_k2")
        for score in (1.0, 0.5):
            await report(uid, done.request_id, score, {})
        again = await relearn(bench.ledger)
        for target in (CLAUDE, KIMI):
            before = bench.service.learner.cells.posterior(CHAT, target)
            assert again.cells.count(CHAT, target) == bench.service.learner.cells.count(CHAT, target)
            assert again.cells.posterior(CHAT, target).mean == pytest.approx(before.mean, abs=0.01)
        assert planned(again, dry_run=True).candidates[0].target == CLAUDE

    async def test_what_is_reported_later_is_learned_once(self, bench: Bench) -> None:
        """An outcome of now is no matter of recollection: its report has taught it."""
        done = await bench.ask(provider="claude")
        await bench.service.outcomes.report(bench.caller().uid, done.request_id, 1.0, {})
        assert len(await bench.ledger.reported(datetime.now(UTC))) == 1
        assert await bench.ledger.reported(datetime.now(UTC) - timedelta(minutes=1)) == []

    async def test_a_ledger_that_cannot_be_read_is_no_obstacle(self, bench: Bench) -> None:
        """Learning begins anew."""
        done = await bench.ask(provider="claude")
        await bench.service.outcomes.report(bench.caller().uid, done.request_id, 1.0, {})
        with closing(sqlite3.connect(bench.path)) as connection:
            connection.execute("ALTER TABLE learned_cells RENAME TO elsewhere")
        again = await relearn(bench.ledger)
        assert not len(again.cells)

    def test_first_looks_are_not_given_again(self) -> None:
        """Who has twenty outcomes from before is no new model: a start explores no more than its share."""
        again = Learner(seed=1)
        for target in (CLAUDE, KIMI) * 20:
            again.recall(CHAT, target, Outcome(0.5, 1.0))
        again.counts.count((CLAUDE, KIMI), explored=False)
        assert led(again) == led(again, dry_run=True)
        again.counts.count((CLAUDE, KIMI, Target("office", "new")), explored=False)
        assert len(led(again)) == 2


class TestSettings:
    """[routing.learned] weighs and bounds what the strategy does."""

    def test_weights_decide(self) -> None:
        """A cost that weighs more makes the cheaper one lead though it serves worse."""
        made = learner((KIMI, 0.6, 50), (CLAUDE, 0.9, 50))
        for weight, first in ((0.0, CLAUDE), (1.0, KIMI)):
            use = with_learned(cost_weight=weight)
            assert planned(made, use=use, dry_run=True).candidates[0].target == first

    def test_a_share_of_0_never_tries_another(self) -> None:
        """Not even at the start."""
        assert len(led(learner())) == 2
        assert len(led(learner(), use=with_learned(explore_share=0.0))) == 1


def with_learned(**settings: float) -> Config:
    base = config()
    return replace(base, routing=replace(base.routing, learned=LearnedSettings(**settings)))  # type: ignore[arg-type]

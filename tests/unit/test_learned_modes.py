"""Modes of learning: which level holds, what contradicts itself, and that watching changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from cortexd.config import Config
from cortexd.config.settings import BudgetSettings, LearnedSettings, LimitUsd, ModelSettings, RateSettings
from cortexd.domain.answered import Answered
from cortexd.domain.messages import Answer, LearnedMode, Message, Role, Strategy, ToolCall, Usage
from cortexd.domain.modes import clash, way_of
from cortexd.domain.steps import step_of
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType
from cortexd.errors import ConfigError, InvalidArgument
from cortexd.ledger import NewRequest
from cortexd.privacy import Guard
from cortexd.routing import Conversations, Health, Learner, Observed, Plan, Question, Wishes, plan_route
from cortexd.routing.exclusions import BARS
from cortexd.validation import parse_options, parse_preferences
from tests.unit.routes import OFFICE, OWN, catalog_of, config, prefers, question
from tests.unit.test_config_bounds import read
from tests.unit.test_execution import HELLO, Bench, bench_fixture, upstream_fixture  # noqa: F401

OFF, OBSERVE, APPLY = LearnedMode
TABLE, COST, LATENCY, _, BALANCED, LEARNED = Strategy
CHAT = TaskType.USER_CHAT
CLAUDE, KIMI = (Target(name, OWN[name]) for name in ("claude", "kimi_k2"))
NOT_SET: tuple[None, None] = (None, None)
DEFAULT = (TABLE, OFF)
MANY = 200
TURN = Message(Role.ASSISTANT, "an answer")
CALL = Message(Role.ASSISTANT, "", tool_calls=(ToolCall("1", "list", "{}"),))
RESULT = Message(Role.TOOL, "a file", tool_call_id="1")


def routed(
    mode: LearnedMode | None = OBSERVE, asked: Question | None = None, *, seed: int = 0, learner: Learner | None = None,
    use: Config | None = None, wishes: Wishes | None = None, observed: Observed | None = None,
    talked_with: Callable[[], Target | None] = lambda: None, **given: Any,
) -> Plan:  # fmt: skip
    use = use or config()
    wishes = wishes or Wishes(learned=mode)
    return plan_route(
        asked or question(), use, catalog_of(use), Health(), wishes=wishes, learner=learner or Learner(seed=1),
        observed=observed, seed=seed, talked_with=talked_with, **given,
    )  # fmt: skip


def looking(*taught: tuple[Target, float, int]) -> Learner:
    """One that may explore in both modes, and has learned of these a score so many times."""
    made = Learner(seed=1)
    for counts in (made.counts, made.watched):
        counts.count((CLAUDE, KIMI), explored=False)
    for target, score, times in taught:
        for _ in range(times):
            made.cells.learn(CHAT, target, score)
    return made


def words(asked: Question | None = None, mode: LearnedMode = APPLY, **given: Any) -> set[str]:
    """Why it explored or did not, over many requests."""
    made = (routed(mode, asked, seed=seed, learner=looking(), **given).learning for seed in range(MANY))
    return {one.decided.why for one in made if one is not None}


class TestPrecedence:
    @pytest.mark.parametrize(
        ("call", "user", "task", "machine", "expected"),
        [
            (NOT_SET, NOT_SET, NOT_SET, DEFAULT, (OFF, TABLE)),
            (NOT_SET, NOT_SET, NOT_SET, (TABLE, OBSERVE), (OBSERVE, TABLE)),
            (NOT_SET, NOT_SET, NOT_SET, (COST, OBSERVE), (OBSERVE, COST)),
            (NOT_SET, NOT_SET, NOT_SET, (TABLE, APPLY), (APPLY, TABLE)),
            (NOT_SET, NOT_SET, NOT_SET, (LEARNED, OFF), (APPLY, TABLE)),
            (NOT_SET, NOT_SET, (None, OFF), (TABLE, APPLY), (OFF, TABLE)),
            (NOT_SET, NOT_SET, (None, OBSERVE), (LEARNED, OFF), (OBSERVE, TABLE)),
            (NOT_SET, NOT_SET, (LEARNED, None), (COST, OFF), (APPLY, COST)),
            (NOT_SET, NOT_SET, (COST, None), (TABLE, APPLY), (OFF, COST)),
            (NOT_SET, NOT_SET, (COST, None), (TABLE, OBSERVE), (OBSERVE, COST)),
            (NOT_SET, NOT_SET, (COST, OBSERVE), (TABLE, APPLY), (OBSERVE, COST)),
            (NOT_SET, (None, APPLY), (COST, OBSERVE), DEFAULT, (APPLY, COST)),
            (NOT_SET, (LEARNED, None), (COST, OBSERVE), DEFAULT, (APPLY, COST)),
            (NOT_SET, (None, OFF), (None, APPLY), (TABLE, OBSERVE), (OFF, TABLE)),
            (NOT_SET, (BALANCED, None), NOT_SET, (TABLE, OBSERVE), (OBSERVE, BALANCED)),
            ((None, APPLY), (None, OFF), (COST, OFF), (LATENCY, OBSERVE), (APPLY, COST)),
            ((None, OBSERVE), (None, APPLY), NOT_SET, DEFAULT, (OBSERVE, TABLE)),
            ((None, OFF), (LEARNED, None), NOT_SET, (LATENCY, OFF), (OFF, LATENCY)),
            ((COST, None), (None, APPLY), NOT_SET, DEFAULT, (OFF, COST)),
            ((COST, None), (None, OBSERVE), NOT_SET, DEFAULT, (OBSERVE, COST)),
            ((COST, OBSERVE), (LEARNED, None), NOT_SET, DEFAULT, (OBSERVE, COST)),
            ((LEARNED, None), (COST, OFF), NOT_SET, DEFAULT, (APPLY, COST)),
            ((LEARNED, APPLY), NOT_SET, NOT_SET, DEFAULT, (APPLY, TABLE)),
        ],
    )
    def test_the_nearest_level_holds(self, call: Any, user: Any, task: Any, machine: Any, expected: Any) -> None:
        """Call, user, task type, machine: the first that says something; and a nearer strategy stands above apply."""
        way = way_of((call, user, task, machine))
        assert (way.mode, way.baseline) == expected
        assert way.strategy is (LEARNED if way.mode is APPLY else way.baseline)
        base = config()
        learned = LearnedSettings(mode=machine[1], modes={CHAT: task[1]} if task[1] else {})
        strategies = {CHAT: task[0]} if task[0] else {}
        routing = replace(base.routing, strategy=machine[0], strategies=strategies, learned=learned)
        asked = replace(question(), options=replace(question().options, strategy=call[0], learned=call[1]))
        made = routed(asked=asked, use=replace(base, routing=routing), wishes=Wishes(strategy=user[0], learned=user[1]))
        assert made.strategy is way.strategy
        assert (OFF if made.learning is None else made.learning.decided.mode) is way.mode

    def test_whom_a_user_prefers_stands_above_the_machine(self) -> None:
        """As a strategy of his own would; but not above his own wish to apply, nor is he kept from being watched."""
        base = config()
        use = replace(base, routing=replace(base.routing, learned=LearnedSettings(mode=APPLY)))
        likes = prefers("claude")
        assert routed(use=use, wishes=Wishes(likes)).strategy is TABLE
        assert routed(use=use, wishes=Wishes(likes, learned=APPLY)).strategy is LEARNED
        watched = routed(use=use, wishes=Wishes(likes, learned=OBSERVE))
        assert watched.learning is not None
        assert (watched.strategy, watched.learning.decided.baseline) == (TABLE, CLAUDE)


class TestContradictions:
    @pytest.mark.parametrize("strategy", [None, *Strategy])
    @pytest.mark.parametrize("mode", [None, *LearnedMode])
    def test_at_one_level(self, strategy: Strategy | None, mode: LearnedMode | None, tmp_path: Any) -> None:
        """The same two words contradict each other in a call, in preferences and in the configuration."""
        refused = bool(clash(strategy, mode))
        only_learned, applies = strategy is LEARNED, mode is APPLY
        assert refused == (strategy is not None and mode is not None and only_learned != applies)
        both = {"strategy": strategy, "learned": mode}
        plain = {key: value.value for key, value in both.items() if value is not None}
        assert refused == _refuses(lambda: parse_options(plain), InvalidArgument, "options.learned: ")
        assert refused == _refuses(lambda: parse_preferences(plain, ()), InvalidArgument, "preferences.learned: ")
        rows = f'[routing.strategies]\nuser_chat = "{strategy}"\n' if strategy else ""
        rows += f'[routing.learned.modes]\nuser_chat = "{mode}"\n' if mode else ""
        path = "routing.learned.modes.user_chat: "
        assert refused == _refuses(lambda: read(tmp_path, rows), ConfigError, path)

    @pytest.mark.parametrize(
        ("strategy", "mode", "refused"),
        [("cost", "apply", True), ("learned", "observe", True), ("table", "apply", False), ("learned", "off", False)],
    )
    def test_of_the_machine(self, strategy: str, mode: str, refused: bool, tmp_path: Any) -> None:
        """What is the default contradicts nothing: nobody can tell it from what was not said."""
        text = f'[routing]\nstrategy = "{strategy}"\n[routing.learned]\nmode = "{mode}"\n'
        assert refused == _refuses(lambda: read(tmp_path, text), ConfigError, "routing.learned.mode: ")

    @pytest.mark.parametrize(
        ("text", "path"),
        [
            ('mode = "on"', "routing.learned.mode: expected one of 'off', 'observe', 'apply', got 'on'"),
            ('modes = "off"', "routing.learned.modes: expected a table of task type = mode"),
            ('modes = { chat = "off" }', "routing.learned.modes.chat: expected task types"),
            ('modes = { user_chat = 1 }', "routing.learned.modes.user_chat: expected one of"),
        ],
    )  # fmt: skip
    def test_what_is_no_mode(self, text: str, path: str, tmp_path: Any) -> None:
        """The setting is named, and what was expected."""
        assert _refuses(lambda: read(tmp_path, f"[routing.learned]\n{text}\n"), ConfigError, path)


def _refuses(call: Callable[[], object], kind: type[Exception], words: str) -> bool:
    try:
        call()
    except kind as error:
        return words in str(error) or pytest.fail(str(error))
    return False


class TestObserve:
    @pytest.mark.parametrize("strategy", [TABLE, COST, LATENCY, Strategy.QUALITY, BALANCED])
    def test_decides_nothing(self, strategy: Strategy) -> None:
        """The same seeds and the same traffic take the same routes as without, though outcomes say otherwise."""
        routes: dict[LearnedMode, list[Any]] = {}
        for mode in (OFF, OBSERVE):
            observed, learner = Observed(), looking((KIMI, 1.0, 50), (CLAUDE, 0.0, 50))
            routes[mode] = []
            for seed in range(MANY):
                given = {"strategy": strategy.value, "learned": mode.value}
                asked = question(list(TaskType)[seed % len(TaskType)], **given)
                made = routed(asked=asked, seed=seed, learner=learner, observed=observed, wishes=Wishes())
                if made.learning is not None:
                    learner.took(asked.task_type, made.learning.standings, made.learning.decided.mode)
                routes[mode].append([(item.target, item.reason, item.score) for item in made.candidates])
        assert routes[OBSERVE] == routes[OFF]

    def test_notes_what_it_would(self) -> None:
        """Who leads, whom outcomes would have had asked, and how each of all models that are declared stands."""
        use = config(office=replace(OFFICE, models={"large": ModelSettings()}))
        made = routed(OBSERVE, use=use, learner=looking((KIMI, 1.0, 50), (CLAUDE, 0.0, 50)), dry_run=True)
        assert made.candidates[0].target == CLAUDE
        assert made.learning is not None
        decided = made.learning.decided
        assert (decided.mode, decided.baseline, decided.chosen) == (OBSERVE, CLAUDE, KIMI)
        assert {CLAUDE, KIMI, Target("office", "m"), Target("office", "large")} <= {arm.target for arm in decided.arms}
        assert Target("office", "large") not in {item.target for item in made.candidates}

    def test_same_choice_as_applied(self) -> None:
        """What is noted is what would be done: the same one is chosen, for the same reason, of the same candidates."""
        for seed in range(MANY):
            plans = (routed(mode, seed=seed, learner=looking((KIMI, 0.6, 9))) for mode in (OBSERVE, APPLY))
            one, other = (made.learning for made in plans)
            assert one is not None
            assert other is not None
            assert replace(one.decided, mode=APPLY, arms=()) == replace(other.decided, arms=())
            assert set(one.decided.arms) == set(other.decided.arms)

    def test_uses_up_nothing(self) -> None:
        """Looks that nobody took stay to be taken."""
        learner = looking()
        for seed in range(MANY):
            made = routed(OBSERVE, seed=seed, learner=learner)
            assert made.learning is not None
            learner.took(CHAT, made.learning.standings, made.learning.decided.mode)
        assert learner.counts.explored == 0
        assert 0 < learner.watched.explored <= 2 * 20 + 0.05 * learner.watched.decisions


def _with(*more: Message, **options: Any) -> Question:
    asked = question(**options)
    return replace(asked, messages=(*asked.messages, *more))


CASES: dict[str, dict[str, Any]] = {
    "pinned": {"asked": question(provider="kimi_k2", fallback=True)},
    "privileged": {"asked": question(TaskType.SYSTEM_OPERATION)},
    "local": {"asked": question(privacy="local"), "use": config(office=OFFICE)},
    "tools": {"asked": _with(CALL, RESULT)},
    "session": {"asked": _with(TURN, *question().messages)},
    "budget": {"near_end": True},
    "dry_run": {"dry_run": True},
}
MORE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("pinned", {"asked": question(model=KIMI.model)}),
    ("pinned", {"asked": question(provider="claude"), "dry_run": True}),
    ("local", {"wishes": {"local_only": True}, "use": config(office=OFFICE)}),
    (
        "local",
        {"asked": replace(question(), guard=Guard(pinned="it holds a secret")), "use": config(office=OFFICE)},
    ),
    ("tools", {"asked": _with(CALL)}),
    ("session", {"wishes": {"sticky": KIMI}}),
    ("tools", {"wishes": {"sticky": KIMI}, "asked": _with(CALL, RESULT)}),
)


class TestExclusions:
    """Why a request tried another, or nobody, in both modes alike."""

    @pytest.mark.parametrize(("word", "given"), [*CASES.items(), *MORE], ids=lambda value: str(value)[:20])
    @pytest.mark.parametrize("mode", [OBSERVE, APPLY])
    def test_each_has_its_word(self, mode: LearnedMode, word: str, given: dict[str, Any]) -> None:
        """It is the only one that is ever given."""
        wishes = Wishes(learned=mode, **given.get("wishes", {}))
        assert words(mode=mode, **{**given, "wishes": wishes}) == {word}

    def test_all_are_known(self) -> None:
        """A new word has a case here."""
        assert set(CASES) == set(BARS)

    @pytest.mark.parametrize("mode", [OBSERVE, APPLY])
    def test_without_any_it_explores(self, mode: LearnedMode) -> None:
        """Now and then, until all looks are spent; a conversation's beginning, with a name or tools, is no obstacle."""
        for asked in (question(), question(session="s"), question(tools=[{"name": "list"}])):
            assert words(asked, mode) == {"best", "explored"}
        spent = Learner(seed=1)
        made = [routed(mode, seed=seed, learner=spent).learning for seed in range(MANY)]
        assert {one.decided.why for one in made if one is not None} == {"spent"}

    def test_what_is_too_dear_is_not_tried(self) -> None:
        """Where max_cost_usd has no room for the one that the draw fell on, the best that it has room for is asked."""
        costs = {item.target: item.worst_case_nano for item in routed().candidates}
        limit = (costs[CLAUDE] + costs[KIMI]) / 2 / 1e9
        [dear, cheap] = sorted((CLAUDE, KIMI), key=costs.__getitem__, reverse=True)
        asked = question(max_cost_usd=limit)
        for mode in (OBSERVE, APPLY):
            assert words(asked, mode) == {"best", "budget"}
        made = [routed(APPLY, asked, seed=seed, learner=looking((dear, 1.0, 20))) for seed in range(MANY)]
        assert {one.candidates[0].target for one in made} == {cheap}

    def test_who_comes_next_is_no_look(self) -> None:
        """A retry, a hedge and the rest of a broken stream go to the second one: the best as far as is known."""
        learner = looking((KIMI, 0.8, 3), (CLAUDE, 0.7, 3))
        explored = [made for seed in range(MANY) if _explores(made := routed(APPLY, seed=seed, learner=learner))]
        assert explored
        for made in explored:
            assert made.learning is not None
            assert made.candidates[1].target == made.learning.decided.greedy

    def test_off_decides_and_notes_nothing(self) -> None:
        """Outcomes are no matter then."""
        made = routed(OFF, learner=looking((KIMI, 1.0, 50)))
        assert (made.learning, made.candidates[0].target) == (None, CLAUDE)


def _explores(made: Plan) -> bool:
    return made.learning is not None and made.learning.decided.why == "explored"


TALK = (*question(content="x" * 40_000).messages, TURN, *question().messages)


def remembering() -> Observed:
    """Both models find most of a prompt that goes on in their caches."""
    observed = Observed(lambda: 1000.0)
    for target in (CLAUDE, KIMI):
        model, usage = target.model or "", Usage(10_000, 100, 9_000)
        for _ in range(20):
            observed.answered(Answered(target.provider, model, CHAT, usage, 4000, 1000.0, 2000, 40_000, True))
            observed.answered(
                Answered(target.provider, model, CHAT, Usage(1_000, 100), 3000, 1000.0, 1000, 4_000, False)
            )
    return observed


def talking(better: float, incumbent: Target | None, weight: float = 0.1, latency: float = 0.0) -> Plan:
    """Where KIMI has been better by so much, and each costs as much but for its cache."""
    base = config()
    rate = RateSettings("3", "15", "0.3", "3.75")
    providers = {name: replace(item, rate=rate) for name, item in base.providers.items()}
    learned = LearnedSettings(cost_weight=weight, latency_weight=latency)
    use = replace(base, providers=providers, routing=replace(base.routing, learned=learned))
    asked = question(content="x" * 40_000)
    asked = replace(asked, messages=TALK) if incumbent else asked
    learner = looking((CLAUDE, 0.5, 100), (KIMI, 0.5 + better, 100))
    return routed(
        APPLY, asked, use=use, learner=learner, observed=remembering(), talked_with=lambda: incumbent, dry_run=True
    )


class TestSwitch:
    """To leave the model of a conversation costs its prompt cache."""

    def test_a_slightly_better_one_does_not_take_over(self) -> None:
        """In a new conversation it does."""
        assert talking(0.03, None).candidates[0].target == KIMI
        assert talking(0.03, CLAUDE).candidates[0].target == CLAUDE
        assert talking(0.03, KIMI).candidates[0].target == KIMI

    def test_a_clearly_better_one_does(self) -> None:
        """What it serves better is worth more than the cache."""
        assert talking(0.4, CLAUDE).candidates[0].target == KIMI
        assert talking(0.4, None).candidates[0].target == KIMI

    @pytest.mark.parametrize(("weight", "latency"), [(0.1, 0.0), (0.0, 0.1), (0.1, 0.1), (0.0, 0.0)])
    def test_counts_money_and_time(self, weight: float, latency: float) -> None:
        """As parts of the penalty, by the weight of each; the money is told, too."""
        made = {item.target: item.standing for item in talking(0.03, CLAUDE, weight, latency).candidates}
        stays, goes = made[CLAUDE], made[KIMI]
        assert stays is not None
        assert goes is not None
        assert (stays.switch, stays.switch_nano) == (0.0, None)
        assert goes.switch_nano is not None
        assert 0.02 < goes.switch_nano / 1e9 < 0.03
        assert (goes.switch > 0) == bool(weight or latency)
        for standing in (stays, goes):
            parts = standing.price + standing.time + standing.switch
            assert standing.score.penalty == pytest.approx(parts)

    def test_none_without_a_conversation(self) -> None:
        """Nor where nobody knows with whom it has been."""
        for made in (talking(0.03, None), routed(APPLY, _with(TURN, *TALK), observed=remembering())):
            assert {item.standing and item.standing.switch_nano for item in made.candidates} == {None}

    def test_a_session_stays(self) -> None:
        """However much better another has become; and says what to leave would cost."""
        learner = looking((CLAUDE, 0.0, 100), (KIMI, 1.0, 100))
        wishes = Wishes(learned=APPLY, sticky=CLAUDE)
        made = routed(APPLY, wishes=wishes, learner=learner, observed=remembering())
        assert made.learning is not None
        assert made.candidates[0].target == CLAUDE
        decided = made.learning.decided
        assert (decided.baseline, decided.greedy, decided.chosen, decided.why) == (CLAUDE, KIMI, CLAUDE, "session")
        [other] = [item.standing for item in made.candidates if item.target == KIMI]
        assert other is not None
        assert other.switch_nano is not None


class TestConversations:
    def test_who_answered_is_known_by_the_answer(self) -> None:
        """To this user, by the last answer in the messages, blanks aside; an hour long, as a session is."""
        known = Conversations()
        known.answered(1, Answer(" an answer\n", "m", None), CLAUDE)
        known.answered(1, Answer("", "m", None, tool_calls=CALL.tool_calls), KIMI)
        asked = question().messages
        assert known.target(1, (*asked, TURN, *asked)) == CLAUDE
        assert known.target(1, (*asked, TURN, *asked, CALL, RESULT)) == KIMI
        assert known.target(2, (*asked, TURN)) is None
        assert known.target(1, asked) is None
        known.forget(1)
        assert known.target(1, (*asked, TURN)) is None


class TestSteps:
    def test_never_more_than_there_are(self) -> None:
        """0, 1, 2, 5, 10, 20, 50, …: the greatest that is not above the count."""
        steps = {step_of(count) for count in range(3000)}
        assert steps == {0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000}
        for count in range(3000):
            assert step_of(count) == max(step for step in steps if step <= count)


class TestService:
    """On the real path: what is noted with each reservation, and what a budget's end keeps from being tried."""

    async def test_decisions_are_kept_with_the_requests(self, bench: Bench) -> None:
        """Of each real request where the mode is not off: who leads without, who with; of no dry run."""
        for mode in LearnedMode:
            await bench.ask(learned=mode.value)
            await bench.service.route(bench.caller(), "user_chat", HELLO, {"learned": mode.value})
        rows = bench.rows("SELECT * FROM decisions ORDER BY request")
        assert [row["mode"] for row in rows] == ["observe", "apply"]
        assert [row["request"] for row in rows] == [row["id"] for row in bench.rows()][1:]
        assert {row["baseline"] for row in rows} == {str(CLAUDE)}
        first, second = bench.rows()[1:]
        assert first["provider"] == "claude"
        assert f"{second['provider']}/{second['model']}" == rows[1]["chosen"]

    @pytest.mark.parametrize(("spent_usd", "expected"), [(0.0, True), (0.91, False)])
    async def test_a_budgets_end(self, bench: Bench, spent_usd: float, expected: bool) -> None:
        """Less than a tenth is left: the best is asked, and the word says why; in both modes."""
        bench.service.accounts.adopt(BudgetSettings(each_user=LimitUsd(day_usd="1")))
        bench.service.learner._seed = 1
        caller = bench.caller()
        row = NewRequest(caller.uid, caller.user, "large", True, b"", "user_chat", datetime.now(UTC))
        key = await bench.ledger.reserve(row, round(spent_usd * 1e9))
        for mode in ("observe", "apply"):
            for number in range(20):
                await bench.ask(learned=mode, max_tokens=10, request_id=f"{mode}-{number}")
        whys = {row["why"] for row in bench.rows("SELECT why FROM decisions")}
        assert ("explored" in whys) is expected
        assert ("budget" in whys) is not expected
        await bench.ledger.settle(key, "cancelled", ())

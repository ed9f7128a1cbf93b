"""What is held for its user's word: each request gets one verdict, and a person one question at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortexd.accounts.holds import GONE, UNANSWERED, HoldEnd, Holds, HoldView, Wanted
from cortexd.accounts.own_caps import OwnCaps
from cortexd.domain.own_cap import AtLimit, HoldAnswer, OwnCap
from cortexd.errors import CortexError, InvalidArgument, LedgerUnavailable, RequestNotFound, ShuttingDown
from cortexd.ledger import OWN, PAUSE, Ledger, OverBudget
from cortexd.validation import OwnCapWish
from tests.unit.test_ledger_parts import settings as ledger_settings

LONGEST_S, QUIET_S, TOLD_S = 120, 300, 1
CAP_NANO, WORST_NANO, CENT = 2 * 10**9, 300_000_000, 10_000_000
T = TypeVar("T")


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time a test moves on."""

    def __init__(self) -> None:
        super().__init__()
        self._moved = 0.0

    def time(self) -> float:
        return super().time() + self._moved

    async def forward(self, seconds: float) -> None:
        """What is due by then has happened."""
        self._moved += seconds
        await settled()


async def settled() -> None:
    """What can happen now has happened: a timer, the task that it wakes, what that does about it."""
    for _ in range(5):
        await asyncio.sleep(0)


@dataclass
class World:
    """One user's cap and what waits under it. `told`: all of it, in order."""

    ledger: Ledger
    uid: int
    told: list[HoldView | HoldEnd] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.caps = OwnCaps(self.ledger, {})
        self.holds = Holds(self.caps, self.told.append)
        self._names = count()

    async def cap(self, **wish: Any) -> None:
        await self.holds.set_cap(self.uid, OwnCapWish(**{"day_nano": CAP_NANO, **wish}))

    async def ask(self, nano: int = WORST_NANO, left_s: float = 600, scope: str = OWN) -> asyncio.Task[Any]:
        """A request that waits, or has its answer already."""
        return await self.wait(await self.over(scope), nano, left_s)

    async def over(self, scope: str = OWN) -> OverBudget:
        [state] = [item for item in await self.caps.standing(self.uid) if item.limit.scope == scope]
        return OverBudget(state)

    async def wait(self, over: OverBudget, nano: int = WORST_NANO, left_s: float = 600) -> asyncio.Task[Any]:
        """As `ask`, without a look into the ledger."""
        wanted = Wanted(f"request-{next(self._names)}", "user_chat", "", "claude", "m", nano)
        task = asyncio.create_task(self.holds.ask(self.uid, wanted, over, left_s))
        await settled()
        return task

    async def question(self, requests: int = 1) -> HoldView:
        """Once it has been told."""
        await clock().forward(TOLD_S)
        [view] = self.holds.views(self.uid)
        assert view.requests == requests
        return view

    async def answer(self, answer: HoldAnswer, more_nano: int | None = None) -> None:
        [view] = self.holds.views(self.uid)
        await self.holds.answer(self.uid, view.hold_id, answer, more_nano)

    @property
    def ends(self) -> list[str]:
        return [item.answer for item in self.told if isinstance(item, HoldEnd)]

    @property
    def questions(self) -> int:
        return len({item.hold_id for item in self.told if isinstance(item, HoldView)})


def clock() -> Clock:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Clock)
    return loop


class Worlds:
    """A ledger, and users whom nobody knows yet."""

    def __init__(self, directory: Path) -> None:
        self._runner = asyncio.Runner(loop_factory=Clock)
        self._ledger = self._runner.run(Ledger.open(ledger_settings(directory)))
        self._uids = count(1000)

    def run(self, scene: Callable[[World], Coroutine[Any, Any, T]]) -> T:
        return self._runner.run(scene(World(self._ledger, next(self._uids))))

    def close(self) -> None:
        self._runner.run(self._ledger.close())
        self._runner.close()


@pytest.fixture(name="worlds", scope="module")
def worlds_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    worlds = Worlds(tmp_path_factory.mktemp("holds"))
    yield worlds
    worlds.close()


async def refusal(task: asyncio.Task[Any]) -> CortexError:
    with pytest.raises(CortexError) as refused:
        await task
    return refused.value


class TestTime:
    def test_two_minutes_without_a_word_are_a_no(self, worlds: Worlds) -> None:
        """And for five minutes nobody is asked; then again."""

        async def scene(world: World) -> None:
            await world.cap()
            request = await world.ask()
            await world.question()
            await clock().forward(LONGEST_S - 10)
            assert not request.done()
            await clock().forward(10)
            assert (await refusal(request)).details["answer"] == UNANSWERED
            assert world.ends == [UNANSWERED]
            assert (await refusal(await world.ask())).details["answer"] == HoldAnswer.REFUSE
            await clock().forward(QUIET_S)
            again = await world.ask()
            await world.question()
            await world.answer(HoldAnswer.ONCE)
            await again

        worlds.run(scene)

    def test_a_deadline_is_a_no_for_its_request_alone(self, worlds: Worlds) -> None:
        """The others wait on; a question that ends before its time leaves nobody unasked."""

        async def scene(world: World) -> None:
            await world.cap()
            short, long = await world.ask(left_s=30), await world.ask()
            await world.question(2)
            await clock().forward(30)
            assert (await refusal(short)).details["answer"] == UNANSWERED
            [view] = world.holds.views(world.uid)
            assert (view.requests, view.nano) == (1, WORST_NANO)
            long.cancel()
            await settled()
            assert world.ends == [GONE]
            again = await world.ask(left_s=30)
            await world.question()
            await clock().forward(30)
            await refusal(again)
            last = await world.ask()
            await world.question()
            last.cancel()

        worlds.run(scene)

    def test_a_no_holds_for_five_minutes_or_until_the_cap_changes(self, worlds: Worlds) -> None:
        """A program that goes on asking does not make the computer do so."""

        async def scene(world: World) -> None:
            await world.cap()
            request = await world.ask()
            await world.question()
            await world.answer(HoldAnswer.REFUSE)
            assert (await refusal(request)).details["answer"] == HoldAnswer.REFUSE
            await clock().forward(QUIET_S - 10)
            await refusal(await world.ask())
            assert world.questions == 1
            await world.cap(at_limit=AtLimit.ASK)
            await world.ask()
            await world.question()
            await world.answer(HoldAnswer.REFUSE)
            world.holds.forget(world.uid)
            await world.ask()
            await world.question()
            assert world.questions == 3
            await world.answer(HoldAnswer.REFUSE)

        worlds.run(scene)

    def test_those_that_join_are_told_together(self, worlds: Worlds) -> None:
        """At most once a second, by the same question; what has joined since is none of `once`."""

        async def scene(world: World) -> None:
            await world.cap(day_nano=0)
            first = await world.ask(nano=5)
            view = await world.question()
            told = len(world.told)
            later = [await world.ask(nano=7 * CENT) for _ in range(3)]
            assert len(world.told) == told
            assert world.holds.views(world.uid)[0].more_nano == view.more_nano
            await world.answer(HoldAnswer.ONCE)
            outcomes = await asyncio.gather(first, *later)
            assert [limits[0].nano for limits in outcomes] == [5, 0, 0, 0]

        worlds.run(scene)


class TestAnswers:
    def test_once_adds_what_was_told(self, worlds: Worlds) -> None:
        """For those that were told, together; the cap itself stays."""

        async def scene(world: World) -> None:
            await world.cap(day_nano=0)
            requests = [await world.ask(nano=number) for number in (5, 7)]
            await world.question(2)
            await world.answer(HoldAnswer.ONCE)
            assert [limits[0].nano for limits in await asyncio.gather(*requests)] == [12, 12]
            assert [limit.nano for limit in world.caps.limits(world.uid)] == [0]

        worlds.run(scene)

    @pytest.mark.parametrize(
        ("cap", "waits", "more"),
        [(CAP_NANO, 1, CAP_NANO // 2), (0, 1, CENT), (0, CENT + 1, 2 * CENT), (CAP_NANO, CAP_NANO, CAP_NANO)],
    )
    def test_what_today_means(self, worlds: Worlds, cap: int, waits: int, more: int) -> None:
        """Half a day's cap, or what waits where that is more; in whole cents, as it was told."""

        async def scene(world: World) -> None:
            await world.cap(day_nano=cap)
            request = await world.ask(nano=waits)
            assert (await world.question()).more_nano == more
            await world.answer(HoldAnswer.TODAY)
            assert [limit.nano for limit in await request] == [max(cap, more)]

        worlds.run(scene)

    def test_of_a_month_a_tenth(self, worlds: Worlds) -> None:
        """What is allowed today counts for day and month, where both have a cap."""

        async def scene(world: World) -> None:
            await world.cap(day_nano=None, month_nano=CAP_NANO)
            request = await world.ask(nano=1)
            assert (await world.question()).more_nano == CAP_NANO // 10
            await world.answer(HoldAnswer.TODAY, 3 * CAP_NANO)
            assert [limit.nano for limit in await request] == [3 * CAP_NANO]

        worlds.run(scene)

    def test_an_answer_counts_once(self, worlds: Worlds) -> None:
        """A second one, one to another id and one by somebody else find nothing; so does one beside another."""

        async def scene(world: World) -> None:
            await world.cap()
            request = await world.ask()
            view = await world.question()
            for uid, hold_id in ((world.uid + 10**6, view.hold_id), (world.uid, "other")):
                with pytest.raises(RequestNotFound):
                    await world.holds.answer(uid, hold_id, HoldAnswer.ONCE, None)
            both = [world.holds.answer(world.uid, view.hold_id, HoldAnswer.TODAY, None) for _ in range(2)]
            outcomes = await asyncio.gather(*both, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [type(None), RequestNotFound]
            await request
            assert world.ends == [HoldAnswer.TODAY]

        worlds.run(scene)

    def test_while_it_is_being_carried_out(self, worlds: Worlds) -> None:
        """It is asked no more, also where others join; those get what holds then."""

        async def scene(world: World) -> None:
            await world.cap(day_nano=0)
            over = await world.over()
            request = await world.ask(nano=5)
            view = await world.question()
            told = len(world.told)
            answering = asyncio.create_task(world.holds.answer(world.uid, view.hold_id, HoldAnswer.TODAY, CENT))
            await asyncio.sleep(0)
            assert world.holds.views(world.uid) == []
            joined = await world.wait(over)
            await clock().forward(TOLD_S)
            await answering
            assert [limit.nano for limit in await request] == [CENT]
            assert [type(item) for item in world.told[told:] if item.hold_id == view.hold_id] == [HoldEnd]
            joined.cancel()

        worlds.run(scene)

    def test_one_that_leaves_with_its_answer(self, worlds: Worlds) -> None:
        """Ends no question that has begun since, and none twice."""

        async def scene(world: World) -> None:
            await world.cap()
            over = await world.over()
            request = await world.ask()
            await world.question()
            await world.answer(HoldAnswer.TODAY)
            request.cancel()
            again = await world.wait(over)
            await world.question()
            assert world.ends == [HoldAnswer.TODAY]
            await world.answer(HoldAnswer.ONCE)
            await again
            assert request.cancelled()

        worlds.run(scene)

    def test_a_new_cap_is_tried_by_what_waits(self, worlds: Worlds) -> None:
        """Its question is over."""

        async def scene(world: World) -> None:
            await world.cap(day_nano=0)
            request = await world.ask()
            await world.question()
            await world.cap(day_nano=7)
            assert [limit.nano for limit in await request] == [7]
            assert world.ends == [HoldAnswer.TODAY]

        worlds.run(scene)

    def test_one_that_cannot_be_carried_out(self, tmp_path: Path) -> None:
        """Is told so, and the question stays open."""
        worlds = Worlds(tmp_path)

        async def scene(world: World) -> None:
            await world.cap()
            request = await world.ask()
            await world.question()
            await world.ledger.close()
            with pytest.raises(LedgerUnavailable):
                await world.answer(HoldAnswer.TODAY)
            assert len(world.holds.views(world.uid)) == 1
            await world.answer(HoldAnswer.REFUSE)
            await refusal(request)

        try:
            worlds.run(scene)
        finally:
            worlds.close()

    @pytest.mark.parametrize("at_limit", [AtLimit.REFUSE, AtLimit.DOWNGRADE])
    def test_who_does_not_want_to_be_asked(self, worlds: Worlds, at_limit: AtLimit) -> None:
        """Is refused at once, by one's own cap and without an answer."""

        async def scene(world: World) -> None:
            await world.cap(at_limit=at_limit)
            details = (await refusal(await world.ask())).details
            assert details["cause"] == "own_cap"
            assert "answer" not in details
            assert world.told == []

        worlds.run(scene)

    def test_a_pause_asks_nobody(self, worlds: Worlds) -> None:
        """It is over when it was to end, not at midnight."""

        async def scene(world: World) -> None:
            await world.cap(pause_s=60)
            refused = await refusal(await world.ask(scope=PAUSE))
            until = world.caps.of(world.uid).paused_until
            assert until is not None
            assert refused.details["cause"] == "paused"
            assert refused.details["resets_at"] == until.isoformat()
            assert world.told == []

        worlds.run(scene)

    def test_the_end_of_the_service(self, worlds: Worlds) -> None:
        """Whoever waits is told so, and nobody waits any more."""

        async def scene(world: World) -> None:
            await world.cap()
            request = await world.ask()
            await world.question()
            world.holds.close()
            assert isinstance(await refusal(request), ShuttingDown)
            assert isinstance(await refusal(await world.ask()), ShuttingDown)
            assert world.ends == [GONE]

        worlds.run(scene)


class TestOwnCaps:
    def test_what_is_not_given_stays(self, worlds: Worlds) -> None:
        """Over a restart too; remove leaves nothing."""

        async def scene(world: World) -> None:
            await world.cap(at_limit=AtLimit.REFUSE)
            await world.cap(day_nano=None, month_nano=5, pause_s=60)
            kept = world.caps.of(world.uid)
            assert (kept.day_nano, kept.month_nano, kept.at_limit) == (CAP_NANO, 5, AtLimit.REFUSE)
            assert (await world.ledger.own_caps())[world.uid] == kept
            await world.holds.set_cap(world.uid, OwnCapWish(remove=True))
            assert world.uid not in await world.ledger.own_caps()
            assert world.caps.limits(world.uid) == ()

        worlds.run(scene)

    def test_an_amount_that_is_set_is_the_cap(self, worlds: Worlds) -> None:
        """What was allowed on top of the one before goes, also where the new one is less; the other period's stays."""

        async def scene(world: World) -> None:
            await world.cap(month_nano=CAP_NANO)
            await world.holds.set_cap(world.uid, OwnCapWish(more_nano=3 * CAP_NANO))
            await world.holds.set_cap(world.uid, OwnCapWish(at_limit=AtLimit.REFUSE))
            assert [limit.nano for limit in world.caps.limits(world.uid)] == [3 * CAP_NANO, 3 * CAP_NANO]
            await world.holds.set_cap(world.uid, OwnCapWish(day_nano=CENT))
            assert [limit.nano for limit in world.caps.limits(world.uid)] == [CENT, 3 * CAP_NANO]

        worlds.run(scene)

    @pytest.mark.parametrize("wish", [OwnCapWish(at_limit=AtLimit.ASK), OwnCapWish(more_nano=1)])
    def test_nothing_to_be_more_than(self, worlds: Worlds, wish: OwnCapWish) -> None:
        """Where there is no cap."""

        async def scene(world: World) -> None:
            with pytest.raises(InvalidArgument):
                await world.holds.set_cap(world.uid, wish)
            assert world.uid not in await world.ledger.own_caps()

        worlds.run(scene)

    @given(
        st.integers(0, 10**12),
        st.lists(st.tuples(st.sampled_from(["2026-11-29", "2026-11-30", "2026-12-01"]), st.integers(0, 10**12))),
    )
    def test_an_extra_is_of_its_day_and_month(self, amount: int, raises: list[tuple[str, int]]) -> None:
        """Nobody is left with less than the cap, and what was allowed one day is not there on another."""
        cap = OwnCap(amount, amount)
        for day, nano in sorted(raises):
            cap = cap.raised(day, nano, nano)
            assert cap.amounts(day)[0] >= max(amount, nano)  # type: ignore[operator]
        day = max((day for day, _ in raises), default="2026-11-29")
        of_day = [nano for other, nano in raises if other == day]
        of_month = [nano for other, nano in raises if other[:7] == day[:7]]
        assert cap.amounts(day) == (max([amount, *of_day]), max([amount, *of_month]))
        assert cap.amounts("2027-01-01") == (amount, amount)

    def test_at_once_none_is_forgotten(self, worlds: Worlds) -> None:
        """Two changes at the same time both hold."""

        async def scene(world: World) -> None:
            wishes = [OwnCapWish(day_nano=1), OwnCapWish(month_nano=2)]
            await asyncio.gather(*(world.holds.set_cap(world.uid, wish) for wish in wishes))
            cap = world.caps.of(world.uid)
            assert (cap.day_nano, cap.month_nano) == (1, 2)

        worlds.run(scene)


STEPS = st.one_of(
    st.tuples(st.just("ask"), st.integers(1, 10**9), st.sampled_from([5.0, 60.0, 600.0])),
    st.tuples(st.just("leave"), st.integers(0, 9), st.just(0.0)),
    st.tuples(st.just("today"), st.integers(0, 10**9), st.just(0.0)),
    st.tuples(st.sampled_from(["once", "today meanwhile", "once meanwhile"]), st.just(0), st.just(0.0)),
    st.tuples(st.just("refuse"), st.just(0), st.just(0.0)),
    st.tuples(st.just("set"), st.integers(0, 10**9), st.just(0.0)),
    st.tuples(st.just("wait"), st.just(0), st.sampled_from([0.1, 1.0, 30.0, 150.0])),
)


class TestAnyOrder:
    @settings(max_examples=60)
    @given(steps=st.lists(STEPS, max_size=25), closes=st.booleans())
    def test_one_verdict_each_and_one_question_at_a_time(
        self, worlds: Worlds, steps: list[tuple[str, int, float]], closes: bool
    ) -> None:
        """In whatever order it happens; `once` allows those that were told what they may cost, and nobody more."""

        async def scene(world: World) -> None:
            await world.cap()
            tasks: list[asyncio.Task[Any]] = []
            for name, number, seconds in steps:
                await STEP[name](world, tasks, number, seconds)
                assert len(world.holds.views(world.uid)) <= 1
            if closes:
                world.holds.close()
            await clock().forward(LONGEST_S)
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(item, tuple | CortexError | asyncio.CancelledError | None) for item in outcomes)
            assert world.holds.views(world.uid) == []
            assert_one_at_a_time(world.told)

        worlds.run(scene)


def assert_one_at_a_time(told: list[HoldView | HoldEnd]) -> None:
    """Each question ends once, before the next begins."""
    now, ended = "", set[str]()
    for item in told:
        assert item.hold_id not in ended
        if isinstance(item, HoldEnd):
            assert item.hold_id == now
            ended.add(item.hold_id)
            now = ""
        else:
            assert now in ("", item.hold_id)
            now = item.hold_id
    assert now == ""


async def _ask(world: World, tasks: list[asyncio.Task[Any]], nano: int, left_s: float) -> None:
    tasks.append(await world.ask(nano, left_s))


async def _leave(_world: World, tasks: list[asyncio.Task[Any]], number: int, _s: float) -> None:
    if tasks:
        tasks[number % len(tasks)].cancel()
        await settled()


async def _set(world: World, _tasks: list[asyncio.Task[Any]], nano: int, _s: float) -> None:
    await world.cap(day_nano=nano)


async def _wait(_world: World, _tasks: list[asyncio.Task[Any]], _nano: int, seconds: float) -> None:
    await clock().forward(seconds)


def _answer(answer: HoldAnswer) -> Callable[[World, list[asyncio.Task[Any]], int, float], Coroutine[Any, Any, None]]:
    async def step(world: World, tasks: list[asyncio.Task[Any]], nano: int, _s: float) -> None:
        for view in world.holds.views(world.uid):
            waiting = [task for task in tasks if not task.done()]
            more = nano if answer is HoldAnswer.TODAY else None
            await world.holds.answer(world.uid, view.hold_id, answer, more)
            await settled()
            if answer is HoldAnswer.ONCE:
                assert_no_more_than_told(world, view, waiting)

    return step


def _answer_meanwhile(
    answer: HoldAnswer,
) -> Callable[[World, list[asyncio.Task[Any]], int, float], Coroutine[Any, Any, None]]:
    async def step(world: World, tasks: list[asyncio.Task[Any]], _nano: int, _s: float) -> None:
        """What comes next happens while the ledger is asked."""
        for view in world.holds.views(world.uid):
            tasks.append(asyncio.create_task(world.holds.answer(world.uid, view.hold_id, answer, None)))
            await settled()

    return step


def assert_no_more_than_told(world: World, view: HoldView, waiting: list[asyncio.Task[Any]]) -> None:
    """Nothing is spent in these worlds, so that a limit is what was told or the cap."""
    [cap] = [limit.nano for limit in world.caps.limits(world.uid)]
    granted = [
        task.result()[0].nano for task in waiting if task.done() and not task.cancelled() and not task.exception()
    ]
    assert len([nano for nano in granted if nano == max(cap, view.nano)]) >= view.requests
    assert max(granted) <= max(cap, view.nano)


STEP: dict[str, Callable[[World, list[asyncio.Task[Any]], int, float], Coroutine[Any, Any, None]]] = {
    "ask": _ask,
    "leave": _leave,
    "set": _set,
    "wait": _wait,
    **{answer.value: _answer(answer) for answer in HoldAnswer},
    **{f"{answer} meanwhile": _answer_meanwhile(answer) for answer in HoldAnswer},
}

"""Which action a request needs, and whose request is let in when."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.access import Admission, Place, Turns
from cortexd.access.rate import FreeRate, RequestRate
from cortexd.authority import Action, action_for
from cortexd.config.settings import AuthorizationSettings, LimitSettings
from cortexd.domain.messages import Options, Tool
from cortexd.domain.tasks import TaskType
from cortexd.errors import RateLimited
from tests.unit.crowd import STEPS, USERS, Crowd

SECOND_NS = 1_000_000_000
bounds = st.fixed_dictionaries(
    {
        "max_active_requests": st.integers(1, 4),
        "max_active_requests_per_user": st.integers(1, 4),
        "max_queued_requests": st.sampled_from((1, 2, 4, 8, 8192)),
    }
)


def free_for_ms(rate: FreeRate, per_minute: int, uid: int = 1) -> int | None:
    """None where one more is taken, and counted."""
    try:
        rate.check(uid, per_minute)
    except RateLimited as told:
        return int(told.details["retry_after_ms"])
    rate.count(uid, per_minute)
    return None


def steps_of(*names: str) -> st.SearchStrategy[list[tuple[str, int]]]:
    return st.lists(st.tuples(st.sampled_from(names), st.integers(0, 11)), min_size=20, max_size=120)


class Clock:
    """A clock that only the test moves on."""

    def __init__(self) -> None:
        self.ns = 5 * SECOND_NS

    def __call__(self) -> int:
        return self.ns


def refused_for_ms(rate: RequestRate, per_minute: int) -> int | None:
    """None where the request is taken."""
    try:
        rate.count(1, per_minute)
    except RateLimited as told:
        return int(told.details["retry_after_ms"])
    return None


async def left_elsewhere(place: Place) -> None:
    place.free()


class TestActions:
    @pytest.mark.parametrize("task", TaskType)
    def test_two_task_types_are_always_privileged(self, task: TaskType) -> None:
        """system_operation and tool_execution need an administrator, whatever the configuration says."""
        privileged = task in (TaskType.SYSTEM_OPERATION, TaskType.TOOL_EXECUTION)
        expected = Action.SYSTEM_OPERATION if privileged else Action.COMPLETE
        assert action_for(task, Options(), AuthorizationSettings()) is expected

    def test_configuration_adds_to_them(self) -> None:
        """An operator can raise a task type, or every request that offers tools."""
        more = AuthorizationSettings(privileged_task_types=frozenset({TaskType.CONFIGURATION}))
        assert action_for(TaskType.CONFIGURATION, Options(), more) is Action.SYSTEM_OPERATION
        tools = AuthorizationSettings(tools_are_system_operations=True)
        assert action_for(TaskType.USER_CHAT, Options(tools=(Tool("f"),)), tools) is Action.SYSTEM_OPERATION
        assert action_for(TaskType.USER_CHAT, Options(), tools) is Action.COMPLETE


class TestLettingIn:
    async def test_a_free_place_is_taken_without_a_pause(self) -> None:
        """Where nobody waits, entering does not even yield to the loop."""
        admission = Admission(LimitSettings())
        with pytest.raises(StopIteration) as entered:
            admission.enter(1).send(None)
        assert isinstance(entered.value.value, Place)
        assert admission.active(1) == 1

    async def test_places_are_counted_and_given_back_once(self) -> None:
        """Leaving again is harmless, and from another task as good as from the first."""
        admission = Admission(LimitSettings())
        place, other = await admission.enter(1), await admission.enter(1)
        assert (admission.active(1), admission.active(2)) == (2, 0)
        place.free()
        place.free()
        assert admission.active(1) == 1
        async with asyncio.timeout(10):
            await asyncio.create_task(left_elsewhere(other))
        assert admission.active(1) == 0

    async def test_a_slot_is_a_place_for_a_block(self) -> None:
        """Waited for like any other, and given back also where the block fails."""
        admission, waiting = Admission(LimitSettings(max_active_requests=1)), list[asyncio.Task[Place]]()

        async def fail() -> None:
            async with admission.slot(1):
                waiting.append(asyncio.create_task(admission.enter(2)))
                await asyncio.sleep(0)
                assert (admission.active(1), admission.queued(2)) == (1, 1)
                raise ValueError("no")

        async with asyncio.timeout(10):
            with pytest.raises(ValueError, match="no"):
                await fail()
            assert (admission.active(1), admission.active(2)) == (0, 1)
            (await waiting[0]).free()

    async def test_a_user_waits_for_its_own_places_alone(self) -> None:
        """The third request of a user with two places waits; another user's first does not."""
        crowd = Crowd(max_active_requests=10, max_active_requests_per_user=2)
        await crowd.ask(1, 1, 1, 2)
        assert crowd.let_in == [1, 1, 2]
        assert (crowd.admission.active(1), crowd.admission.queued(1), crowd.admission.queued(2)) == (2, 1, 0)
        await crowd.leave(2)
        assert crowd.let_in == [1, 1, 2]
        await crowd.leave(1)
        assert crowd.let_in == [1, 1, 2, 1]

    async def test_one_user_waits_in_the_order_of_asking(self) -> None:
        """First come, first served, within one user."""
        crowd = Crowd(max_active_requests=1)
        await crowd.ask(1, 1, 1, 1)
        order = [crowd.places[0].number]
        while crowd.waiting:
            await crowd.leave(1)
            order.append(crowd.places[0].number)
        assert order == [0, 1, 2, 3]


class TestFairness:
    async def test_a_thousand_delay_one_by_one_place(self) -> None:
        """A user holds all places and has 1,000 waiting: the next place is another user's, then it is its again."""
        crowd = Crowd(max_active_requests=8, max_active_requests_per_user=16)
        await crowd.ask(*[1] * 1008)
        await crowd.ask(2)
        crowd.let_in.clear()
        await crowd.leave(1)
        await crowd.leave(1)
        assert crowd.let_in == [2, 1]

    async def test_users_take_turns(self) -> None:
        """Whoever came with the most, places go round; who has no more requests is passed over."""
        crowd = Crowd(max_active_requests=1)
        await crowd.ask(9, *[1] * 4, *[2] * 2, 3)
        crowd.let_in.clear()
        while crowd.places:
            await crowd.leave(crowd.places[0].uid)
        assert crowd.let_in == [1, 2, 3, 1, 2, 1, 1]

    @given(limits=bounds, steps=steps_of("ask", "ask", "ask", "leave", "leave", "cancel"))
    async def test_no_other_user_gets_two_meanwhile(self, limits: dict[str, int], steps: list[tuple[str, int]]) -> None:
        """While a user waits and may have another place, no other user is let in twice."""
        crowd = Crowd(**limits)
        passed: dict[int, Counter[int]] = {}
        for step, number in steps:
            crowd.let_in.clear()
            await crowd.step(step, number)
            crowd.assert_within_bounds()
            for uid in crowd.let_in:
                passed.pop(uid, None)
                for others in passed.values():
                    others[uid] += 1
                    assert others[uid] < 2
            passed = {uid: passed.get(uid, Counter()) for uid in crowd.users_in_need()}
        await crowd.disperse()


class TestBounds:
    async def test_a_full_queue_refuses_at_once(self) -> None:
        """The words name the setting, and the details when to come again; a user's own bound comes first."""
        crowd = Crowd(max_active_requests=1, max_queued_requests=3, max_queued_requests_per_user=2)
        await crowd.ask(1, 1, 1)
        with pytest.raises(RateLimited, match=r"2 requests waiting.*max_queued_requests_per_user\)") as caught:
            await crowd.admission.enter(1)
        assert caught.value.details["retry_after_ms"] == 1000
        await crowd.ask(2)
        with pytest.raises(RateLimited, match=r"3 requests of all.*max_queued_requests\)"):
            await crowd.admission.enter(2)
        await crowd.leave(1)
        await crowd.ask(2)
        assert crowd.admission.waiting == 3
        await crowd.disperse()

    async def test_a_full_queue_is_shared_alike(self) -> None:
        """Few users cannot keep the others out: the latest of the longest line is refused for who has less in it."""
        crowd = Crowd(max_active_requests=1, max_queued_requests=4)
        await crowd.ask(9, 1, 1, 1, 2)
        await crowd.ask(3)
        assert [crowd.admission.queued(uid) for uid in (1, 2, 3)] == [2, 1, 1]
        await crowd.ask(4)
        assert [crowd.admission.queued(uid) for uid in (1, 2, 3, 4)] == [1, 1, 1, 1]
        assert crowd.refused == [1, 1]
        with pytest.raises(RateLimited, match="4 requests of all users are waiting"):
            await crowd.admission.enter(5)  # all have one: nobody has more than he would
        await crowd.disperse()
        assert crowd.let_in == [9, 1, 2, 3, 4]

    @given(limits=bounds, steps=steps_of(*STEPS))
    async def test_no_place_is_lost_or_given_twice(self, limits: dict[str, int], steps: list[tuple[str, int]]) -> None:
        """Whatever comes, leaves and is cancelled, also as its turn comes: never above the bounds, no place unused
        while somebody may have it, and in the end everybody has been let in or given up."""
        crowd = Crowd(**limits)
        for step, number in steps:
            await crowd.step(step, number)
            crowd.assert_within_bounds()
        await crowd.disperse()
        assert not any(crowd.admission.active(uid) or crowd.admission.queued(uid) for uid in USERS)
        await crowd.ask(*range(100, 100 + crowd.admission.limits.max_active_requests))
        assert not crowd.waiting  # all places can be had again, and not one more
        await crowd.ask(1)
        assert crowd.waiting
        await crowd.disperse()


class TestGivingUp:
    async def test_before_its_turn(self) -> None:
        """Who is cancelled while it waits is no longer in the queue, and the place goes to the next."""
        crowd = Crowd(max_active_requests=1)
        await crowd.ask(1, 1, 2)
        await crowd.cancel(0)
        assert (crowd.admission.queued(1), crowd.admission.queued(2)) == (0, 1)
        await crowd.leave(1)
        assert crowd.let_in == [1, 2]

    @pytest.mark.parametrize("cancelled_first", [True, False])
    async def test_as_its_turn_comes(self, cancelled_first: bool) -> None:
        """Cancelled in the very moment in which the place is handed over: the place goes to the next."""
        crowd = Crowd(max_active_requests=1)
        await crowd.ask(1, 2, 3)
        chosen = crowd.waiting[0].task
        if cancelled_first:
            chosen.cancel()
        crowd.places.pop().place.free()
        chosen.cancel()
        await crowd.settle()
        assert chosen.cancelled()
        assert crowd.let_in == [1, 3]
        assert (crowd.admission.active(2), crowd.admission.queued(2)) == (0, 0)


class TestOtherLimits:
    async def test_raised_ones_let_in_who_waits(self) -> None:
        """More places for the machine, or for a user, are taken at once, in turns."""
        crowd = Crowd(max_active_requests=2, max_active_requests_per_user=1)
        await crowd.ask(1, 1, 1, 2, 2, 3)
        assert crowd.let_in == [1, 2]
        await crowd.limit(max_active_requests=3, max_active_requests_per_user=1)
        assert crowd.let_in == [1, 2, 3]
        await crowd.limit(max_active_requests=5, max_active_requests_per_user=4)
        assert crowd.let_in == [1, 2, 3, 1, 2]
        await crowd.leave(3)
        assert crowd.let_in == [1, 2, 3, 1, 2, 1]

    async def test_lowered_ones_throw_nobody_out(self) -> None:
        """Who is in stays and who waits keeps waiting; the next comes in once the new limits have room."""
        crowd = Crowd(max_active_requests=3)
        await crowd.ask(1, 1, 1, 1, 2)
        await crowd.limit(max_active_requests=3, max_active_requests_per_user=1, max_queued_requests=1)
        assert (crowd.admission.active(1), crowd.admission.queued(1)) == (3, 1)
        for expected in ([2], [2], [2, 1]):
            await crowd.leave(1)
            assert crowd.let_in[3:] == expected


class TestFreeRate:
    def test_ten_minutes_worth_at_once(self) -> None:
        """A batch comes through; after it one more each time that its turn has come, to the millisecond."""
        clock = Clock()
        rate = FreeRate(clock)
        assert [free_for_ms(rate, 600) for _ in range(6_000)] == [None] * 6_000
        assert free_for_ms(rate, 600) == 100
        assert free_for_ms(rate, 600, uid=2) is None
        clock.ns += SECOND_NS // 10 - 1
        assert free_for_ms(rate, 600) == 1
        clock.ns += 1
        assert free_for_ms(rate, 600) is None
        assert free_for_ms(rate, 600) == 100

    @given(per_minute=st.integers(1, 5), pauses=st.lists(st.integers(0, 40 * SECOND_NS), max_size=200))
    def test_never_more_than_that(self, per_minute: int, pauses: list[int]) -> None:
        """However they come: in any stretch of time no more than ten minutes' worth and what it lasts."""
        clock, taken = Clock(), list[int]()
        rate = FreeRate(clock)
        for pause in pauses:
            clock.ns += pause
            if free_for_ms(rate, per_minute) is None:
                taken.append(clock.ns)
            for number, begin in enumerate(taken):
                minutes = (clock.ns - begin) / (60 * SECOND_NS)
                assert len(taken) - number <= per_minute * (10 + minutes) + 1e-6

    def test_without_a_limit(self) -> None:
        """0 is for none, and remembers nobody; what was counted before is forgotten in time."""
        clock = Clock()
        rate = FreeRate(clock)
        assert [free_for_ms(rate, 0) for _ in range(10_000)] == [None] * 10_000
        assert rate.users == 0
        for uid in range(1000):
            rate.count(uid, 5)
        clock.ns += 12 * SECOND_NS
        rate.count(1, 0)
        assert rate.users == 0

    async def test_is_asked_at_the_door(self) -> None:
        """Who has had his is refused before he queues; places and others' requests are as they were."""
        admission = Admission(LimitSettings(max_free_requests_per_minute_per_user=1), None, FreeRate(Clock()))
        for _ in range(10):
            (await admission.enter(1)).free()
            admission.cost_nothing(1)
        with pytest.raises(RateLimited) as told:
            await admission.enter(1)
        assert told.value.details["retry_after_ms"] == 60_000
        (await admission.enter(2)).free()
        assert (admission.active(1), admission.queued(1)) == (0, 0)


class TestRequestsPerMinute:
    async def test_one_above_is_told_when(self) -> None:
        """The fourth within a minute waits until the first is a minute old, and not a millisecond longer."""
        clock = Clock()
        admission = Admission(LimitSettings(max_requests_per_minute_per_user=3), RequestRate(clock))
        for _ in range(3):
            (await admission.enter(1)).free()
            clock.ns += 10 * SECOND_NS
        with pytest.raises(
            RateLimited, match=r"3 requests in the last minute.*max_requests_per_minute_per_user"
        ) as told:
            await admission.enter(1)
        assert told.value.details["retry_after_ms"] == 30_000
        (await admission.enter(2)).free()
        clock.ns += 30 * SECOND_NS - 1
        with pytest.raises(RateLimited) as told:
            await admission.enter(1)
        assert told.value.details["retry_after_ms"] == 1
        clock.ns += 1
        (await admission.enter(1)).free()

    async def test_what_a_full_queue_refused_does_not_count(self) -> None:
        """Only requests that were taken."""
        clock = Clock()
        limits = LimitSettings(max_active_requests=1, max_queued_requests=1, max_requests_per_minute_per_user=3)
        crowd = Crowd.under(Admission(limits, RequestRate(clock)))
        await crowd.ask(1, 1)
        with pytest.raises(RateLimited, match="waiting"):
            await crowd.admission.enter(1)
        await crowd.leave(1)
        await crowd.ask(1)
        await crowd.leave(1)
        with pytest.raises(RateLimited, match="in the last minute"):
            await crowd.admission.enter(1)
        await crowd.disperse()

    @given(per_minute=st.integers(1, 4), pauses=st.lists(st.integers(0, 40 * SECOND_NS), max_size=40))
    def test_never_more_in_any_minute(self, per_minute: int, pauses: list[int]) -> None:
        """Taken exactly while fewer than so many were taken in the 60 s before; the told wait is the true one."""
        clock, taken = Clock(), list[int]()
        rate = RequestRate(clock)
        for pause in pauses:
            clock.ns += pause
            within = [moment for moment in taken if clock.ns - moment < 60 * SECOND_NS]
            wait_ms = refused_for_ms(rate, per_minute)
            if wait_ms is None:
                assert len(within) < per_minute
                taken.append(clock.ns)
            else:
                assert len(within) == per_minute
                assert 0 <= wait_ms * 1_000_000 - (within[0] + 60 * SECOND_NS - clock.ns) < 1_000_000

    def test_idle_users_are_forgotten(self) -> None:
        """Who began nothing for a minute costs no memory, also where the limit was taken away."""
        clock = Clock()
        rate = RequestRate(clock)
        for uid in range(1000):
            rate.count(uid, 5)
        assert rate.users == 1000
        clock.ns += 60 * SECOND_NS
        rate.count(1, 5)
        assert rate.users == 1
        clock.ns += 60 * SECOND_NS
        rate.count(1, None)
        assert rate.users == 0

    def test_another_limit_counts_what_was(self) -> None:
        """A reload forgets nobody's requests."""
        clock = Clock()
        rate = RequestRate(clock)
        rate.count(1, 3)
        rate.count(1, 3)
        with pytest.raises(RateLimited):
            rate.count(1, 1)
        rate.count(1, 4)
        rate.count(1, 4)
        with pytest.raises(RateLimited):
            rate.count(1, 4)


class TestTurns:
    async def test_a_users_turns_wait_for_each_other(self) -> None:
        """With one turn at a time the second of a user waits, another user's does not."""
        turns, order = Turns(1), []
        leave = asyncio.Event()

        async def take(uid: int, name: str) -> None:
            async with turns.turn(uid):
                order.append(name)
                if name == "first":
                    await leave.wait()

        async with asyncio.timeout(10):
            first = asyncio.create_task(take(1, "first"))
            await asyncio.sleep(0)
            second = asyncio.create_task(take(1, "second"))
            await take(2, "other user")
            assert order == ["first", "other user"]
            leave.set()
            await asyncio.gather(first, second)
        assert order == ["first", "other user", "second"]

    async def test_a_turn_given_up_makes_room(self) -> None:
        """Whoever stops waiting, or fails, takes nobody's turn away."""
        turns = Turns(1)
        with pytest.raises(ValueError, match="no"):
            async with turns.turn(1):
                raise ValueError("no")
        async with asyncio.timeout(10), turns.turn(1):
            waiter = asyncio.create_task(turns.turn(1).__aenter__())
            await asyncio.sleep(0)
            waiter.cancel()
            await asyncio.wait([waiter])
        async with asyncio.timeout(10), turns.turn(1):
            pass

    async def test_only_so_many_may_wait(self) -> None:
        """One user's flood is refused past its bound; another user's turn comes all the same."""
        turns, leave = Turns(2, waiting=3), asyncio.Event()

        async def take() -> None:
            async with turns.turn(1):
                await leave.wait()

        async with asyncio.timeout(10):
            taking = [asyncio.create_task(take()) for _ in range(5)]
            await asyncio.sleep(0)
            with pytest.raises(RateLimited, match="3 such calls waiting") as caught:
                await take()
            assert caught.value.details["retry_after_ms"] == 1000
            async with turns.turn(2):
                leave.set()
            await asyncio.gather(*taking)
            await take()

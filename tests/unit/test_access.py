"""Which action a request needs, and how many requests one user may have under way."""

from __future__ import annotations

import asyncio

import pytest

from cortexd.access import Action, Admission, Turns, action_for
from cortexd.config.settings import AuthorizationSettings, LimitSettings
from cortexd.errors import RateLimited
from cortexd.messages import Options, Tool
from cortexd.tasks import TaskType


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


class TestAdmission:
    def test_one_users_flood_leaves_room_for_others(self) -> None:
        """The third request of a user with two places is refused, another user's first is not."""
        admission = Admission(LimitSettings(max_active_requests=10, max_active_requests_per_user=2))
        with admission.slot(1), admission.slot(1):
            with pytest.raises(RateLimited, match="2 requests under way") as caught, admission.slot(1):
                pass
            assert caught.value.details["retry_after_ms"] == 1000
            with admission.slot(2):
                pass
        with admission.slot(1), admission.slot(1):
            pass

    def test_the_machine_has_a_bound_too(self) -> None:
        """All users together."""
        admission = Admission(LimitSettings(max_active_requests=1))
        with admission.slot(1), pytest.raises(RateLimited, match="max_active_requests"), admission.slot(2):
            pass


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

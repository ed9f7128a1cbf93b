"""Requests waiting and under way, and answers just given."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import pytest

from cortexd.domain.tasks import TaskType
from cortexd.errors import Cancelled, ShuttingDown
from cortexd.requests.in_flight import InFlight, Ticket


def ticket(uid: int, request_id: str, *, detached: bool = False) -> Ticket:
    return Ticket((uid, request_id), TaskType.USER_CHAT, detached, deadline_s=600)


async def answer(text: str, gate: asyncio.Event | None = None) -> str:
    if gate is not None:
        await gate.wait()
    return text


class TestRepeats:
    async def test_a_chosen_ids_answer_is_kept(self) -> None:
        """A repeated call finds the answer; one without a chosen id keeps nothing."""
        inflight: InFlight[str] = InFlight(len)
        await inflight.start(ticket(1, "a", detached=True), b"h", answer("yes")).task
        await inflight.start(ticket(1, "b"), b"", answer("no")).task
        await asyncio.sleep(0)
        assert inflight.given((1, "a")) == (b"h", "yes")
        assert inflight.given((1, "b")) is None
        assert inflight.given((2, "a")) is None

    async def test_answers_are_kept_ten_minutes(self) -> None:
        """After that only the ledger knows of them."""
        now = [0.0]
        inflight: InFlight[str] = InFlight(len, clock=lambda: now[0])
        await inflight.start(ticket(1, "a", detached=True), b"h", answer("yes")).task
        await asyncio.sleep(0)
        now[0] = 601
        assert inflight.given((1, "a")) is None

    async def test_kept_answers_are_bounded_in_bytes(self) -> None:
        """Of one user the oldest goes first, and nothing of another's."""
        inflight: InFlight[str] = InFlight(lambda _text: 7 * 1024 * 1024)
        for uid, name in ((2, "theirs"), (1, "a"), (1, "b"), (1, "c")):
            await inflight.start(ticket(uid, name, detached=True), b"h", answer(name)).task
            await asyncio.sleep(0)
        assert inflight.given((1, "a")) is None
        assert inflight.given((1, "b")) == (b"h", "b")
        assert inflight.given((2, "theirs")) == (b"h", "theirs")
        for uid in range(3, 7):
            await inflight.start(ticket(uid, "x", detached=True), b"h", answer("x")).task
            await asyncio.sleep(0)
        assert inflight.given((2, "theirs")) is None

    async def test_an_answer_above_a_users_share_is_not_kept(self) -> None:
        """And pushes nothing out."""
        sizes = {"small": 10, "large": 17 * 1024 * 1024}
        inflight: InFlight[str] = InFlight(sizes.__getitem__)
        for name in sizes:
            await inflight.start(ticket(1, name, detached=True), b"h", answer(name)).task
            await asyncio.sleep(0)
        assert inflight.given((1, "small")) == (b"h", "small")
        assert inflight.given((1, "large")) is None

    async def test_a_failure_is_not_kept(self) -> None:
        """Nobody is answered twice with an old error."""

        async def fail() -> str:
            raise ValueError("no")

        inflight: InFlight[str] = InFlight(len)
        running = inflight.start(ticket(1, "a", detached=True), b"h", fail())
        with pytest.raises(ValueError, match="no"):
            await running.task
        await asyncio.sleep(0)
        assert inflight.given((1, "a")) is None
        assert len(inflight) == 0
        assert inflight.tickets(1) == []


class TestTickets:
    async def test_a_user_sees_his_own_requests_alone(self) -> None:
        """Oldest first, from their arrival to their end."""
        inflight: InFlight[str] = InFlight(len)
        gate = asyncio.Event()
        first, second, others = ticket(1, "a"), ticket(1, "b"), ticket(2, "a")
        with inflight.arrived(first):
            assert inflight.tickets(1) == [first]
            assert first.state == "queued"
        assert inflight.tickets(1) == []
        work = [inflight.start(item, b"", answer("x", gate)).task for item in (first, second, others)]
        assert inflight.tickets(1) == [first, second]
        assert first.state == "running"
        gate.set()
        await asyncio.gather(*work)
        await asyncio.sleep(0)
        assert inflight.tickets(1) == inflight.tickets(2) == []

    async def test_cancel_ends_a_request_that_waits(self) -> None:
        """Whoever waits on its behalf gets Cancelled, and is itself not cancelled."""
        inflight: InFlight[str] = InFlight(len)

        async def wait() -> str:
            try:
                with inflight.arrived(ticket(1, "a")):
                    await asyncio.Event().wait()
            except Cancelled:
                await asyncio.sleep(0)
                return "told"
            return "never"

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        assert not inflight.cancel((2, "a"))
        assert inflight.cancel((1, "a"))
        assert await asyncio.wait_for(waiting, 5) == "told"
        assert not inflight.cancel((1, "a"))

    async def test_cancel_ends_a_request_under_way(self) -> None:
        """Its task is cancelled, nobody else's."""
        inflight: InFlight[str] = InFlight(len)
        gate = asyncio.Event()
        own = inflight.start(ticket(1, "a"), b"", answer("x", gate)).task
        others = inflight.start(ticket(2, "a"), b"", answer("y", gate)).task
        assert inflight.cancel((1, "a"))
        await asyncio.wait({own}, timeout=5)
        assert own.cancelled()
        gate.set()
        assert await others == "y"

    async def test_a_caller_that_leaves_while_waiting_is_cancelled_as_ever(self) -> None:
        """A cancellation that no Cancel asked for goes on up."""
        inflight: InFlight[str] = InFlight(len)

        async def wait() -> None:
            with inflight.arrived(ticket(1, "a")):
                await asyncio.Event().wait()

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting}, timeout=5)
        assert waiting.cancelled()
        assert inflight.tickets(1) == []


class Settling:
    """Work that ends as a request's does: cut off, it takes a turn to be settled, and raises what its ticket says."""

    def __init__(self, inflight: InFlight[str], request_id: str = "a", gate: asyncio.Event | None = None) -> None:
        self.inflight = inflight
        self.ticket = ticket(1, request_id)
        self.gate = gate or asyncio.Event()
        self.settled = False

    async def work(self) -> str:
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            raise self.ticket.interruption from None
        finally:
            self.settled = True
        return "yes"

    def alone(self) -> Coroutine[Any, Any, str]:
        return self.inflight.alone(self.ticket, self.work())


class TestAlone:
    """Work in the task of whoever waits for it."""

    async def test_ends_with_its_answer(self) -> None:
        """While it runs it is seen, and afterwards no more."""
        inflight: InFlight[str] = InFlight(len)
        one = Settling(inflight)
        task = asyncio.create_task(one.alone())
        await asyncio.sleep(0)
        assert (inflight.tickets(1), one.ticket.state) == ([one.ticket], "running")
        one.gate.set()
        assert await task == "yes"
        assert (inflight.tickets(1), len(inflight)) == ([], 0)

    async def test_cancelled_lets_its_task_go_on(self) -> None:
        """Whoever waits gets Cancelled once it is settled, and may ask again, with a deadline that works."""
        inflight: InFlight[str] = InFlight(len)
        one, two = Settling(inflight), Settling(inflight, "b")

        async def twice() -> str:
            with pytest.raises(Cancelled):
                await one.alone()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(5)
            two.gate.set()
            return await two.alone()

        task = asyncio.create_task(twice())
        await asyncio.sleep(0)
        assert inflight.cancel((1, "a"))
        assert await task == "yes"
        assert one.settled
        assert task.cancelling() == 0

    async def test_a_caller_that_leaves_is_cancelled_once_it_is_settled(self) -> None:
        """He is told nothing any more, also where the request was cancelled too."""
        for also in (False, True):
            inflight: InFlight[str] = InFlight(len)
            one = Settling(inflight)
            task = asyncio.create_task(one.alone())
            await asyncio.sleep(0)
            if also:
                inflight.cancel((1, "a"))
            task.cancel()
            await asyncio.wait({task}, timeout=5)
            assert task.cancelled()
            assert one.settled
            assert len(inflight) == 0

    async def test_a_caller_that_leaves_too_late_gets_no_answer(self) -> None:
        """What is paid for is booked, and goes nowhere."""
        inflight: InFlight[str] = InFlight(len)

        async def deaf() -> str:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(5)
            return "paid"

        task = asyncio.create_task(inflight.alone(ticket(1, "a"), deaf()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=5)
        assert task.cancelled()

    async def test_whoever_waits_for_its_end_waits_for_it_alone(self) -> None:
        """Not for what the task does after it."""
        inflight: InFlight[str] = InFlight(len)
        one, rest = Settling(inflight), asyncio.Event()

        async def and_more() -> None:
            with pytest.raises(Cancelled):
                await one.alone()
            await rest.wait()

        task = asyncio.create_task(and_more())
        await asyncio.sleep(0)
        await asyncio.wait_for(inflight.end(1), 5)
        assert one.settled
        assert not task.done()
        rest.set()
        await task

    async def test_is_cut_off_by_a_shutdown_that_waits_no_longer(self) -> None:
        """Its caller hears that."""
        inflight: InFlight[str] = InFlight(len)
        one = Settling(inflight)
        task = asyncio.create_task(one.alone())
        await asyncio.sleep(0)
        assert not await inflight.drain(0.01)
        with pytest.raises(ShuttingDown):
            await task

    async def test_is_cut_off_by_a_shutdown_wherever_it_waits(self) -> None:
        """Its caller hears that also of work that says nothing of its own."""
        inflight: InFlight[str] = InFlight(len)
        task = asyncio.create_task(inflight.alone(ticket(1, "a"), answer("late", asyncio.Event())))
        await asyncio.sleep(0)
        assert not await inflight.drain(0.01)
        with pytest.raises(ShuttingDown):
            await task

    async def test_cancelled_and_then_cut_off(self) -> None:
        """Whoever waits gets an answer also where a shutdown comes while a cancelled request is settled."""
        inflight: InFlight[str] = InFlight(len)
        one = Settling(inflight)
        task = asyncio.create_task(one.alone())
        await asyncio.sleep(0)
        assert inflight.cancel((1, "a"))
        await asyncio.sleep(0)
        assert not await inflight.drain(0)
        with pytest.raises(ShuttingDown):
            await task


class TestDrain:
    async def test_drain_waits_then_cancels(self) -> None:
        """What ends in time is waited for, the rest is cancelled."""
        inflight: InFlight[str] = InFlight(len)
        gate = asyncio.Event()
        quick = inflight.start(ticket(1, "a"), b"", answer("x", gate)).task
        asyncio.get_running_loop().call_soon(gate.set)
        assert await inflight.drain(5)
        assert quick.result() == "x"
        late = inflight.start(ticket(1, "b"), b"", answer("x", asyncio.Event())).task
        assert not await inflight.drain(0.01)
        assert late.cancelled()

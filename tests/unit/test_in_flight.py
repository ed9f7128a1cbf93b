"""Requests waiting and under way, and answers just given."""

from __future__ import annotations

import asyncio

import pytest

from cortexd.domain.tasks import TaskType
from cortexd.errors import Cancelled
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

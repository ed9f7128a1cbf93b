"""Requests under way and answers just given."""

from __future__ import annotations

import asyncio

import pytest

from cortexd.inflight import InFlight


async def answer(text: str, gate: asyncio.Event | None = None) -> str:
    if gate is not None:
        await gate.wait()
    return text


class TestInFlight:
    async def test_a_chosen_ids_answer_is_kept(self) -> None:
        """A repeated call finds the answer; one without a chosen id keeps nothing."""
        inflight: InFlight[str] = InFlight(len)
        await inflight.start((1, "a"), b"h", True, answer("yes")).task
        await inflight.start((1, "b"), b"", False, answer("no")).task
        await asyncio.sleep(0)
        assert inflight.kept((1, "a")) == (b"h", "yes")
        assert inflight.kept((1, "b")) is None
        assert inflight.kept((2, "a")) is None

    async def test_answers_are_kept_ten_minutes(self) -> None:
        """After that only the ledger knows of them."""
        now = [0.0]
        inflight: InFlight[str] = InFlight(len, clock=lambda: now[0])
        await inflight.start((1, "a"), b"h", True, answer("yes")).task
        await asyncio.sleep(0)
        now[0] = 601
        assert inflight.kept((1, "a")) is None

    async def test_kept_answers_are_bounded_in_bytes(self) -> None:
        """The oldest goes first."""
        inflight: InFlight[str] = InFlight(lambda _text: 20 * 1024 * 1024)
        for name in "ab":
            await inflight.start((1, name), b"h", True, answer(name)).task
            await asyncio.sleep(0)
        assert inflight.kept((1, "a")) is None
        assert inflight.kept((1, "b")) == (b"h", "b")

    async def test_a_failure_is_not_kept(self) -> None:
        """Nobody is answered twice with an old error."""

        async def fail() -> str:
            raise ValueError("no")

        inflight: InFlight[str] = InFlight(len)
        running = inflight.start((1, "a"), b"h", True, fail())
        with pytest.raises(ValueError, match="no"):
            await running.task
        await asyncio.sleep(0)
        assert inflight.kept((1, "a")) is None
        assert len(inflight) == 0

    async def test_drain_waits_then_cancels(self) -> None:
        """What ends in time is waited for, the rest is cancelled."""
        inflight: InFlight[str] = InFlight(len)
        gate = asyncio.Event()
        quick = inflight.start((1, "a"), b"", False, answer("x", gate)).task
        asyncio.get_running_loop().call_soon(gate.set)
        assert await inflight.drain(5)
        assert quick.result() == "x"
        late = inflight.start((1, "b"), b"", False, answer("x", asyncio.Event())).task
        assert not await inflight.drain(0.01)
        assert late.cancelled()

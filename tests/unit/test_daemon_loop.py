"""The daemon's event loop, which asks the kernel less often than asyncio's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from cortexd.daemon.loop import new_loop

TURNS = 50


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = new_loop()
    yield made
    made.close()


def test_a_socket_has_its_turn_while_there_is_always_something_to_do(loop: asyncio.AbstractEventLoop) -> None:
    """Work that begins anew at each turn of the loop keeps nobody from being heard."""
    ours, theirs = socket.socketpair()
    heard: list[int] = []

    async def work() -> None:
        theirs.send(b"x")
        for turn in range(TURNS):
            await asyncio.sleep(0)
            if heard:
                return
            last.append(turn)

    last: list[int] = []
    with ours, theirs:
        loop.add_reader(ours, lambda: heard.append(len(ours.recv(1))))
        loop.run_until_complete(work())
        loop.remove_reader(ours)
    assert heard == [1]
    assert len(last) < TURNS


def test_a_timer_comes_while_there_is_always_something_to_do(loop: asyncio.AbstractEventLoop) -> None:
    """So does a deadline."""
    due: list[bool] = []

    async def work() -> None:
        loop.call_later(0.001, due.append, True)
        while not due:
            await asyncio.sleep(0)

    loop.run_until_complete(asyncio.wait_for(work(), 5))
    assert due == [True]


def test_another_thread_wakes_a_loop_at_rest(loop: asyncio.AbstractEventLoop) -> None:
    """As the ledger's writer does."""

    async def work() -> str:
        return await asyncio.wait_for(asyncio.to_thread(lambda: "done"), 5)

    assert loop.run_until_complete(work()) == "done"

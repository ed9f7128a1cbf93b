"""What is done once callers have their answers."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from cortexd.daemon.afterwards import Afterwards


async def test_it_is_done_in_its_order_at_the_next_turn() -> None:
    done: list[str] = []
    afterwards = Afterwards()
    for word in ("first", "second"):
        afterwards.add(partial(done.append, word))
    assert done == []
    await asyncio.sleep(0)
    assert done == ["first", "second"]


async def test_what_comes_meanwhile_is_done_too() -> None:
    done: list[str] = []
    afterwards = Afterwards()
    afterwards.add(lambda: afterwards.add(lambda: done.append("later")))
    for _ in range(2):
        await asyncio.sleep(0)
    assert done == ["later"]


async def test_a_failure_keeps_nothing_else_from_being_done(caplog: pytest.LogCaptureFixture) -> None:
    """It is in the log, without its text, which may quote a prompt."""
    done: list[str] = []
    afterwards = Afterwards()
    afterwards.add(lambda: [][len("the prompt")])
    afterwards.add(lambda: done.append("next"))
    await asyncio.sleep(0)
    assert done == ["next"]
    assert "after an answer: IndexError" in caplog.text

"""Waiting for something that another process or task will do: polled, with a deadline, never a bare sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

_PAUSE_S = 0.01
_DEADLINE_S = 30.0  # of a busy machine
T = TypeVar("T")


def assert_eventually(predicate: Callable[[], T | None], timeout: float = _DEADLINE_S, message: str = "") -> T:
    """The first true value of `predicate`; an AssertionError with `message` after `timeout` seconds without one.

    An AssertionError inside `predicate` counts as "not yet", and the last one is shown.
    """
    deadline = time.monotonic() + timeout
    while True:
        value, doubt = _try(predicate)
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(_complaint(timeout, message, value, doubt)) from doubt
        time.sleep(_PAUSE_S)


async def assert_eventually_async(
    predicate: Callable[[], T | None], timeout: float = _DEADLINE_S, message: str = ""
) -> T:
    """The same for a predicate that another task of this loop will make true."""
    deadline = time.monotonic() + timeout
    while True:
        value, doubt = _try(predicate)
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(_complaint(timeout, message, value, doubt)) from doubt
        await asyncio.sleep(_PAUSE_S)


def _try(predicate: Callable[[], T | None]) -> tuple[T | None, AssertionError | None]:
    try:
        return predicate(), None
    except AssertionError as doubt:
        return None, doubt


def _complaint(timeout: float, message: str, value: object, doubt: AssertionError | None) -> str:
    return f"not within {timeout:g} s: {message or 'the condition'} (last: {doubt or value!r})"

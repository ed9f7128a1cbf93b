"""The quicker of two providers, for callers that wait in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
Work = Callable[[], T | None]
_Ended = tuple[T | None, BaseException | None]


def quicker_in_threads(first: Work[T], after_s: float, second: Callable[[], Work[T] | None]) -> T | None:
    """As domain.racing.quicker. A thread cannot be made to leave its call: the slower one ends by itself, in the
    background, and raises to nobody."""
    ended: queue.SimpleQueue[_Ended[T]] = queue.SimpleQueue()
    _begin(first, ended)
    under_way = 1
    try:
        found, error = ended.get(timeout=after_s)
    except queue.Empty:
        if (other := second()) is not None:
            _begin(other, ended)
            under_way += 1
        found, error = ended.get()
    while found is None and error is None and (under_way := under_way - 1):
        found, error = ended.get()
    if error is not None:
        raise error
    return found


def _begin(work: Work[T], ended: queue.SimpleQueue[_Ended[T]]) -> None:
    def run() -> None:
        try:
            ended.put((work(), None))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            ended.put((None, error))

    threading.Thread(target=run, name="llm_router hedge", daemon=True).start()

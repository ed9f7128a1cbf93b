"""What a person asks the router for with a click, as calls of its methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PAUSE_S = 3600


@dataclass(frozen=True, slots=True)
class Order:
    """A call: `words` come first, `options` last where the method takes a dictionary."""

    method: str
    words: tuple[str, ...] = ()
    options: Mapping[str, str | int] | None = None


def cancel(request_id: str) -> Order:
    return Order("Cancel", (request_id,))


def answer(hold_id: str, said: str, **options: str) -> Order:
    return Order("AnswerHold", (hold_id, said), options)


def pause(seconds: int) -> Order:
    """0 ends one."""
    return Order("SetOwnBudget", options={"pause_s": seconds})

"""Requests in a fixed number of menu entries, so that an entry never changes under the pointer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cortex_llm_applet.logic.figures import Request


@dataclass(frozen=True, slots=True)
class Slot:
    """`ended`: it is no longer under way, and stays until the menu is closed."""

    request: Request
    ended: bool = False


Slots = tuple[Slot | None, ...]
SLOTS = 5


def empty() -> Slots:
    return (None,) * SLOTS


def assigned(slots: Slots, running: Sequence[Request], *, menu_open: bool) -> Slots:
    """Where the menu is closed, the oldest requests in order; while it is open each entry keeps its request."""
    if not menu_open:
        first = [Slot(request) for request in running[:SLOTS]]
        return (*first, *(None,) * (SLOTS - len(first)))
    by_id = {request.request_id: request for request in running}
    kept = tuple(slot and _now(slot, by_id) for slot in slots)
    held = {slot.request.request_id for slot in kept if slot}
    waiting = iter([request for request in running if request.request_id not in held])
    return tuple(slot or _next(waiting) for slot in kept)


def _now(slot: Slot, by_id: dict[str, Request]) -> Slot:
    found = by_id.get(slot.request.request_id)
    return Slot(found) if found else Slot(slot.request, ended=True)


def _next(waiting: Iterator[Request]) -> Slot | None:
    request = next(waiting, None)
    return Slot(request) if request else None


def beyond(slots: Slots, running: Sequence[Request]) -> int:
    """How many of `running` have no entry."""
    held = {slot.request.request_id for slot in slots if slot}
    return sum(request.request_id not in held for request in running)

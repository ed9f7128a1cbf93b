"""Counts as those see them who may not find single events of others in them."""

from __future__ import annotations


def step_of(count: int) -> int:
    """The greatest of 0, 1, 2, 5, 10, 20, 50, … that is not above `count`."""
    if count < 1:
        return 0
    decade = int(f"1{'0' * (len(str(count)) - 1)}")
    return next(step for step in (5 * decade, 2 * decade, decade) if step <= count)

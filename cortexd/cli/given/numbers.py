"""Numbers on the command line, with words of our own for what is none."""

from __future__ import annotations

import math
from typing import Any

import click


class _Told:
    """`expected`: what stands behind "expected", for a person."""

    def __init__(self, expected: str, **bounds: Any) -> None:
        super().__init__(**bounds)
        self._expected = expected

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            number = super().convert(value, param, ctx)  # type: ignore[misc]  # click's, below
        except click.BadParameter:
            number = None
        if number is None or (isinstance(number, float) and not math.isfinite(number)):
            raise click.BadParameter(f"expected {self._expected}, got {str(value)!r}.", ctx, param)
        return number


class Whole(_Told, click.IntRange):
    """A whole number."""

    def __init__(self, least: int, most: int | None = None) -> None:
        bounds = f"from {least} to {most}" if most is not None else f"of {least} or more"
        super().__init__(f"a whole number {bounds}", min=least, max=most)


class Part(_Told, click.FloatRange):
    """From 0 to 1."""

    def __init__(self) -> None:
        super().__init__("a number from 0 to 1", min=0, max=1)


class Seconds(_Told, click.FloatRange):
    """More than 0."""

    def __init__(self) -> None:
        super().__init__("a number of seconds above 0", min=0, min_open=True)


class Dollars(_Told, click.FloatRange):
    """An amount of US dollars; `some`: not 0."""

    def __init__(self, *, some: bool = False) -> None:
        bound = " above 0" if some else ""
        super().__init__(f"an amount of US dollars{bound} such as 1.50", min=0, min_open=some)

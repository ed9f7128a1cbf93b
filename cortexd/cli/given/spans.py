"""A span of time on the command line: 90s, 30m, 1h, 2d."""

from __future__ import annotations

import re
from collections.abc import Callable

import click

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_FORM = re.compile(rf"([1-9]\d{{0,5}})([{''.join(_SECONDS)}])", re.ASCII)


def span_s(most_s: int) -> Callable[[click.Context, click.Parameter, str], int]:
    """A callback: in seconds, `most_s` at most, which are whole days. It raises click.BadParameter."""

    def checked(ctx: click.Context, parameter: click.Parameter, text: str) -> int:
        found = _FORM.fullmatch(text)
        seconds = int(found[1]) * _SECONDS[found[2]] if found else most_s + 1
        if seconds > most_s:
            most = f"{most_s // _SECONDS['d']}d"
            raise click.BadParameter(
                f"expected a span such as 30m, 1h or 2d, {most} at most, got {text!r}.", ctx, parameter
            )
        return seconds

    return checked

"""A span of time on the command line: 90s, 30m, 1h, 2d."""

from __future__ import annotations

import re

import click

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_FORM = re.compile(rf"([1-9]\d{{0,5}})([{''.join(_SECONDS)}])", re.ASCII)


def span_s(ctx: click.Context, parameter: click.Parameter, text: str) -> int:
    """Callback: in seconds. Raises click.BadParameter."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"expected a span such as 30m, 1h or 2d, got {text!r}.", ctx, parameter)
    return int(found[1]) * _SECONDS[found[2]]

"""Moving a ledger, as whoever does it sees it: a bar meanwhile, and what was moved, to the nano-dollar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

from cortexd.domain.money import format_usd

if TYPE_CHECKING:
    from cortexd.ledger.moving.take_in import Moved


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """What to call with the requests moved by now, and all; drawn at a terminal alone, from the first call on."""
    bar = click.progressbar(length=1, file=sys.stderr, label="requests", hidden=not sys.stderr.isatty())
    with ExitStack() as drawn:

        def tell(moved: int, of: int) -> None:
            if not bar.entered:
                drawn.enter_context(bar)
            bar.length = max(of, 1)
            bar.update(moved - bar.pos)

        yield tell


def in_words(moved: Moved) -> str:
    """Of the single requests and of those of which daily sums are left."""
    pruned = moved.requests - moved.single
    single = f"{moved.single:,} request{'s' * (moved.single != 1)}" + (
        f" and the daily sums of {pruned:,} more" if pruned > 0 else ""
    )
    return f"{single}, {format_usd(moved.cost_nano)} ({moved.cost_nano} nano-dollars), every sum equal"

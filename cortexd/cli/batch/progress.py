"""How far a batch is: a bar on stderr, where that is a terminal and the answers go elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cortexd.cli.batch.in_flight import Tally
from cortexd.cli.terminal import is_terminal, may_style
from cortexd.money import format_usd


@contextmanager
def shown_progress(total: int | None, *, wanted: bool) -> Iterator[Callable[[Tally], None]]:
    """What to call with each row. `total` is None where nobody knows it."""
    if not wanted or not is_terminal(sys.stderr):
        yield lambda _tally: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, color_system="auto" if may_style(sys.stderr) else None)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total, note="")

        def show(tally: Tally) -> None:
            done = tally.answered + tally.failed + tally.skipped
            progress.update(task, completed=done, note=in_short(tally))

        yield show


def in_short(tally: Tally) -> str:
    parts = [f"{tally.failed} failed" * bool(tally.failed), f"{tally.skipped} had answers" * bool(tally.skipped)]
    return ", ".join([format_usd(tally.cost_nano_usd), *(part for part in parts if part)])

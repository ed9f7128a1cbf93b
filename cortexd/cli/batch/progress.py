"""How far a batch is: a bar on stderr, where that is a terminal and the answers go elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cortexd.cli.batch.in_flight import Tally
from cortexd.cli.shown.terminal import is_terminal, may_style
from cortexd.domain.money import format_usd

if TYPE_CHECKING:
    from rich.progress import Progress


class ProgressBar:
    """Begins with the first row. `total` is None where nobody knows it."""

    def __init__(self, total: int | None, *, wanted: bool) -> None:
        self._total = total
        self._wanted = wanted and is_terminal(sys.stderr)
        self._progress: Progress | None = None

    def show(self, tally: Tally) -> None:
        if not self._wanted:
            return
        if self._progress is None:
            self._progress = _begun(self._total)
        done = tally.answered + tally.failed + tally.skipped
        self._progress.update(self._progress.task_ids[0], completed=done, note=in_short(tally))

    def end(self) -> None:
        """Leave nothing of it, and draw no more: a password may be asked for where it was."""
        self._wanted = False
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def in_short(tally: Tally) -> str:
    parts = [f"{tally.failed} failed" * bool(tally.failed), f"{tally.skipped} had answers" * bool(tally.skipped)]
    return ", ".join([format_usd(tally.cost_nano_usd), *(part for part in parts if part)])


def _begun(total: int | None) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, color_system="auto" if may_style(sys.stderr) else None)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn())
    progress = Progress(*columns, console=console, transient=True)
    progress.add_task("", total=total, note="")
    progress.start()
    return progress

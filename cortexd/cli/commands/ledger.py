"""cortexctl ledger backup, begin-anew, check, export"""

from __future__ import annotations

import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from cortexd.cli.shown.failures import OTHER
from cortexd.cli.shown.terminal import is_terminal, neutralised, print_error, print_note, print_text

if TYPE_CHECKING:
    from cortexd.config.settings import LedgerSettings

_path_option = click.option(
    "--path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The ledger (default: what /etc/cortexd/config.toml says).",
)
_Day = click.DateTime(formats=["%Y-%m-%d"])


@click.group("ledger")
def command() -> None:
    """Copy, check or write out the ledger, for root and cortexd's own user; also while cortexd runs."""


@command.command("backup", short_help="Copy the ledger into a new file.")
@click.argument("target", type=click.Path(path_type=Path))
@_path_option
def backup_command(target: Path, path: Path | None) -> None:
    """Copy the ledger as it is now into the new file TARGET, readable for its owner alone.

    To restore it: stop cortexd and mask it (systemctl mask --runtime --now cortex-llm-router), since a call would start
    it. Put the copy in the ledger's place, remove the -wal and -shm files beside it, give it to cortexd's user. Unmask
    cortexd (systemctl unmask --runtime cortex-llm-router); the next call starts it.
    """
    from cortexd.ledger.keeping.maintenance import backup

    backup(_ledger(path), target)
    print_text(f"{target}: the ledger as it is now")


@command.command("begin-anew", short_help="Let cortexd begin an empty ledger where its own is gone.")
@_path_option
def begin_anew_command(path: Path | None) -> None:
    """Let cortexd begin an empty ledger where its own is missing or emptied, which it refuses by itself: what was spent
    is forgotten, and every budget begins at zero. Restore a backup instead where there is one.
    """
    from cortexd.ledger.keeping.maintenance import begin_anew

    ledger = _ledger(path)
    begin_anew(ledger)
    print_text(f"{ledger.where}: cortexd begins an empty ledger at its next start")


@command.command("check", short_help="Say what is wrong with the ledger.")
@_path_option
def check_command(path: Path | None) -> None:
    """Read the whole ledger and say what is wrong with it: the file, its sums, its safeguards."""
    from cortexd.ledger.keeping.maintenance import check

    ledger = _ledger(path)
    problems = check(ledger)
    for problem in problems:
        print_error(f"{ledger.where}: {problem}")
    if problems:
        raise click.exceptions.Exit(OTHER)
    print_text(f"{ledger.where}: OK")


@command.command("export", short_help="Print a line per request.")
@click.option("--since", type=_Day, metavar="DAY", help="The first day, such as 2026-11-01 (default: the ledger's).")
@click.option("--until", type=_Day, metavar="DAY", help="The last day (default: the ledger's).")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@_path_option
def export_command(
    since: datetime | None, until: datetime | None, form: Literal["jsonl", "csv"], path: Path | None
) -> None:
    """Print a line per request, oldest first; a ledger keeps daily sums alone of what it has pruned."""
    from cortexd.ledger.keeping.maintenance import export

    first = since.date() if since else date.min
    last = until.date() if until else date.max
    number = export(_ledger(path), first, last, _Harmless() if is_terminal(sys.stdout) else sys.stdout, form)
    sys.stdout.flush()
    print_note(f"{number} requests")


class _Harmless:
    """Standard output, where a terminal must not obey what a label says."""

    def write(self, text: str, /) -> object:
        return sys.stdout.write(neutralised(text))


def _ledger(path: Path | None) -> LedgerSettings:
    from cortexd.config import ledger_with_password, load_config
    from cortexd.config.settings import LedgerSettings

    return LedgerSettings(path=path) if path else ledger_with_password(load_config())

"""cortexctl fleet status, hosts, usage, import, export, settings"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cortexd.cli.fleet.machines import in_json, print_hosts, print_status
from cortexd.cli.fleet.place import config_option, ledger_of
from cortexd.cli.fleet.settings import command as settings_command
from cortexd.cli.given.numbers import Whole
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.failures import OTHER
from cortexd.cli.shown.terminal import print_json, print_note, print_text
from cortexd.cli.shown.usage_report import GROUPS, as_csv, print_report

if TYPE_CHECKING:
    from cortexd.ledger.reading.fleet import FleetState


_GROUPS = [name for name in GROUPS if name != "label"]


@click.group("fleet")
def command() -> None:
    """See to the machines that share a ledger, for root and cortexd's own user; also while cortexd runs.

    Reads the database that the settings name, as it is now.
    """


@command.command("status", short_help="Say how the machines stand, and where they differ.")
@config_option
@json_option
@click.pass_obj
def status_command(settings: Settings, /, config: Path | None, as_json: bool) -> None:
    """Say how many machines there are, what is under way and spent today, who is behind and where settings differ.

    Status 1 where machines disagree on what they must have in common, or one cannot take the fleet's settings.
    """
    state = _look(config)
    if settings.json or as_json:
        print_json(in_json(state))
    else:
        print_status(state)
    if state.differences or any(each.refused for each in state.hosts):
        raise click.exceptions.Exit(OTHER)


@command.command("hosts", short_help="Show the machines of the ledger.")
@config_option
@json_option
@click.pass_obj
def hosts_command(settings: Settings, /, config: Path | None, as_json: bool) -> None:
    """Show each machine: when it was seen last, its version and settings, what is under way and spent today."""
    state = _look(config)
    if settings.json or as_json:
        print_json(in_json(state)["hosts"])
    else:
        print_hosts(state)


@command.command("usage", short_help="Show what all machines used and cost.")
@click.option("--by", multiple=True, type=click.Choice(_GROUPS), help="Sums by this; may be repeated (default: host).")
@click.option("--days", type=Whole(1), default=30, show_default=True, metavar="N", help="The last N days, with today.")
@click.option("--csv", "csv_wanted", is_flag=True, help="Print comma-separated values.")
@config_option
@json_option
@click.pass_obj
def usage_command(
    settings: Settings, /, by: tuple[str, ...], days: int, csv_wanted: bool, config: Path | None, as_json: bool
) -> None:
    """Show what all users of all machines used and cost, read from the ledger: no running service is needed."""
    from cortexd.cli.fleet.usage import usage_of

    by = by or ("host",)
    rows = usage_of(ledger_of(config), by, days)
    if settings.json or as_json:
        print_json([dict(row.raw) for row in rows])
    elif csv_wanted:
        print_text(as_csv(rows, by))
    elif rows:
        print_report(rows, by)
    else:
        print_note("nothing was used in that time")


@command.command("import", short_help="Move a ledger's file into the shared ledger.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@config_option
def import_command(file: Path, config: Path | None) -> None:
    """Move the ledger in FILE into the database that the settings name: all of it, or nothing.

    Stop the cortexd whose ledger it is before. Every sum is compared to the nano-dollar before anything counts. Moved
    once, a ledger is not moved twice; who is interrupted begins again. No cortexd goes on with FILE afterwards.
    """
    from cortexd.cli.fleet.moving import in_words, progress
    from cortexd.ledger.moving.take_in import take_in

    ledger = ledger_of(config)
    with progress() as tell:
        moved = take_in(file, ledger, tell)
    before = "was moved before" if moved.before else "is moved"
    print_text(f"{file}: {before} into {ledger.where}: {in_words(moved)}")
    if moved.limits_left:
        print_note(f"{moved.limits_left} limits of cortexctl budget set stay behind: they would bind all machines")


@command.command("export", short_help="Write the shared ledger out into a file.")
@click.argument("file", type=click.Path(path_type=Path))
@config_option
def export_command(file: Path, config: Path | None) -> None:
    """Write the ledger of all machines, as it is now, into the new FILE, with which a cortexd can go on.

    Every sum is compared to the nano-dollar. For a cortexd, give FILE to its user and name it with [ledger] path.
    """
    from cortexd.cli.fleet.moving import in_words, progress
    from cortexd.ledger.moving.write_out import write_out

    with progress() as tell:
        written, under_way = write_out(ledger_of(config), file, tell)
    print_text(f"{file}: {in_words(written)}")
    if under_way:
        print_note(f"{under_way} requests are under way; a cortexd that opens FILE books them as reserved")


def _look(config: Path | None) -> FleetState:
    from cortexd.ledger.reading.fleet import look

    return look(ledger_of(config))


command.add_command(settings_command)

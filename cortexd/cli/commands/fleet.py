"""cortexctl fleet status, hosts"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cortexd.cli.fleet.machines import in_json, print_hosts, print_status
from cortexd.cli.fleet.place import config_option, ledger_of
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.failures import OTHER
from cortexd.cli.shown.terminal import print_json

if TYPE_CHECKING:
    from cortexd.ledger.reading.fleet import FleetState


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

    Status 1 where machines disagree on what they must have in common.
    """
    state = _look(config)
    if settings.json or as_json:
        print_json(in_json(state))
    else:
        print_status(state)
    if state.differences:
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


def _look(config: Path | None) -> FleetState:
    from cortexd.ledger.reading.fleet import look

    return look(ledger_of(config))

"""Whether to go on, as a person or the command line says."""

from __future__ import annotations

import sys

import click

from cortexd.cli.connecting.obstacles import Obstacle, refusal
from cortexd.cli.shown.failures import OTHER
from cortexd.cli.shown.terminal import is_terminal, print_notice

yes_option = click.option("--yes", is_flag=True, help="Do not ask, for scripts.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")


def agreed(question: str, yes: bool, dry_run: bool) -> bool:
    """False for a trial; a person's no ends the command. Raises InvalidArgument where nobody can be asked."""
    if dry_run:
        return False
    if not yes and not is_terminal(sys.stdin):
        raise refusal(Obstacle.NOT_CONFIRMED)
    if yes or click.confirm(question, err=True):
        return True
    print_notice("nothing was changed")
    raise click.exceptions.Exit(OTHER)

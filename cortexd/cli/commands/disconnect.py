"""cortexctl disconnect"""

from __future__ import annotations

import click

from cortexd.cli.connecting.asking import agreed, dry_run_option, yes_option
from cortexd.cli.connecting.bridge import without_key
from cortexd.cli.connecting.places import named
from cortexd.cli.connecting.programs import PROGRAMS, home_of_user
from cortexd.cli.shown.failures import OTHER
from cortexd.cli.shown.terminal import print_notice, print_text


@click.command("disconnect")
@click.argument("program", type=click.Choice(list(PROGRAMS)), metavar="PROGRAM")
@click.option("--force", is_flag=True, help="Also take out what was changed since; what stood there before comes back.")
@yes_option
@dry_run_option
def command(program: str, force: bool, yes: bool, dry_run: bool) -> None:
    """Take out of a program's settings what `cortexctl connect` put into them, and nothing else.

    What it put there and somebody has changed since stays, and is named. The bridge's port stays open for others:
    cortexctl bridge port off
    """
    from cortexd.cli.connecting.plan import disconnect, disconnecting

    home, known = home_of_user(), PROGRAMS[program]
    steps = disconnecting(home, known, force=force)
    if any(step.changes for step in steps):
        print_text(without_key("".join(step.diff() for step in steps)))
    if not agreed("Change it so?" if len(steps) == 1 else "Change them so?", yes, dry_run):
        return
    disconnect(home, known, steps)
    kept = [named(change.place) for step in steps for change in step.kept]
    if kept:
        print_notice(f"{', '.join(kept)} was changed since and stays. To take that out too: --force")
        raise click.exceptions.Exit(OTHER)
    print_text(f"{known.title} is disconnected")

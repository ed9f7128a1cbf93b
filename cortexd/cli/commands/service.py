"""cortexctl service install, service remove"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cortexd.cli.machine.unit import UNIT
from cortexd.cli.service import carrying_out, places, record
from cortexd.cli.service.obstacles import Obstacle, refusal
from cortexd.cli.service.places import below
from cortexd.cli.service.plan import Change, Plan, Run, Step, installation, removal
from cortexd.cli.service.program import find_program, refuse_systemd, refuse_unspeakable, refuse_unusable
from cortexd.cli.service.record import Record
from cortexd.cli.shown.failures import OTHER
from cortexd.cli.shown.terminal import is_terminal, print_notice, print_text

_MACHINE = Path("/")
_KEPT_SILENT = (Change.SAME,)


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--yes", is_flag=True, help="Do not ask, for scripts."),
        click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing."),
        click.option(
            "--root",
            type=click.Path(file_okay=False, exists=True, path_type=Path),
            default=_MACHINE,
            metavar="DIR",
            help="Change the files of the system below DIR, as of an image, and run nothing.",
        ),
    ):
        function = option(function)
    return function


@click.group("service")
def command() -> None:
    """Run cortexd on a machine without a package of it: its unit, bus and polkit files, from what pip installed.

    The service runs this very installation, so that belongs where services can read it, as /opt/cortexd.
    """


@command.command("install", short_help="Put the service in its places, or update it.")
@click.option(
    "--program",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The daemon that the unit starts (default: the one beside cortexctl).",
)
@_options
@click.pass_context
def install_command(ctx: click.Context, root: Path, dry_run: bool, yes: bool, program: Path | None) -> None:
    """Show what will be written and run, ask, and do it. Once more after an upgrade, it brings all up to date.

    Files that it did not write, or that somebody changed since, it leaves as they are and names.
    """
    from cortexd.cli.completion import script

    _refuse_others(root, dry_run=dry_run)
    _refuse_package(root)
    program = program or find_program()
    refuse_unspeakable(program)
    if root == _MACHINE:
        refuse_unusable(program)
        refuse_systemd()
    before = record.read(root) or Record()
    plan = _here(root, installation(root, places.wanted(program, lambda shell: script(ctx.find_root(), shell)), before))
    _show(plan, f"The service will run {program}.")
    if _agreed(dry_run=dry_run, yes=yes):
        carrying_out.install(root, plan, before)
        _say_what_next(root, program)


@command.command("remove", short_help="Take the service away again.")
@click.option("--purge", is_flag=True, help="Also delete settings, keys and ledger.")
@_options
def remove_command(root: Path, dry_run: bool, yes: bool, purge: bool) -> None:
    """Stop the service and take away all that `service install` has written. Settings, keys and the ledger stay.

    The users cortexd and cortex stay too, so that nobody else gets their numbers.
    """
    _refuse_others(root, dry_run=dry_run)
    packaged = _package(root) is not None
    if packaged and purge:
        _refuse_package(root)
    before = record.read(root)
    if before is None and not purge:
        raise refusal(Obstacle.NOT_INSTALLED)
    plan = _here(root, removal(root, before or Record(), purge=purge, packaged=packaged))
    _show(plan, "The service will be taken away.")
    if _agreed(dry_run=dry_run, yes=yes):
        carrying_out.carry_out(root, plan)
        print_text("the service is removed")


def _refuse_others(root: Path, *, dry_run: bool) -> None:
    if root == _MACHINE and os.geteuid() != 0 and not dry_run:
        raise refusal(Obstacle.NOT_ROOT)


def _package(root: Path) -> Path | None:
    """The unit of a package of cortexd, which is where ours never is."""
    unit = next(Path("/", row.package, UNIT) for row in places.rows() if row.source.endswith(UNIT))
    return unit if os.path.lexists(below(root, unit)) else None


def _refuse_package(root: Path) -> None:
    if path := _package(root):
        raise refusal(Obstacle.PACKAGE, path=path)


def _here(root: Path, plan: Plan) -> Plan:
    """Programs are this machine's: below another root only files are changed."""
    return plan if root == _MACHINE else [item for item in plan if isinstance(item, Step)]


def _show(plan: Plan, headline: str) -> None:
    lines = [headline]
    for item in plan:
        if isinstance(item, Run):
            lines.append(f"  {'run':<15}  {' '.join(item.argv)}")
        elif item.change not in _KEPT_SILENT:
            lines.append(f"  {item.change:<15}  {item.path}")
    if any(isinstance(item, Step) and item.change is Change.KEEP for item in plan):
        lines.append("What is kept was changed by somebody, or is not of this installation.")
    print_text("\n".join(lines))


def _agreed(*, dry_run: bool, yes: bool) -> bool:
    """Whether to go on. Raises CortexError where nobody can be asked."""
    if dry_run:
        return False
    if not yes and not is_terminal(sys.stdin):
        raise refusal(Obstacle.NOT_CONFIRMED)
    if yes or click.confirm("Go on?", err=True):
        return True
    print_notice("nothing was changed")
    raise click.exceptions.Exit(OTHER)


def _say_what_next(root: Path, program: Path) -> None:
    print_text("the service is installed: the bus starts it with the first call")
    if root != _MACHINE:
        return
    name, found = program.with_name("cortexctl"), shutil.which("cortexctl")
    if found is None:
        print_notice(f"cortexctl is not in the PATH: sudo ln -s {name} /usr/local/bin/")
    if shutil.which("pkaction") is None:
        print_notice("polkit is not installed: only root is served until it is")
    print_notice(f"give a provider its key: sudo {'cortexctl' if found else name} credentials set claude")

"""cortexctl learn show, export, import, reset"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import print_json, print_note, print_text
from cortexd.cli.talking.session import run
from cortexd.domain.tasks import TaskType

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, Learned, LearnedCell

_COLUMNS = (
    Column("task"),
    Column("model"),
    Column("outcomes", right=True),
    Column("mean", right=True),
)
_UNTOLD = "–"
_STDIN = Path("-")
_STEPS_FROM = 2  # outcomes that are not an exact number

_task_option = click.option(
    "--task", type=click.Choice([task.value for task in TaskType]), help="Of this task type alone."
)


@click.command("show", short_help="Show what outcomes have taught about the models.")
@_task_option
@json_option
@click.pass_obj
def show_command(settings: Settings, task: str | None, as_json: bool) -> None:
    """Show how well the models have served by the outcomes that were reported: in all, and in each task type.

    The outcomes are at least as many as are shown. A mean has five of them or more, so that it tells of no single one.
    """

    async def read(client: AsyncClient) -> Learned:
        return await client.learned()

    learned = run(settings, read)
    cells = [cell for cell in learned.cells if task is None or cell.task_type == task]
    if settings.json or as_json:
        print_json({**learned.raw, "cells": [dict(cell.raw) for cell in cells]})
    elif cells:
        print_table(_COLUMNS, [_line(cell) for cell in cells])
        _print_share(learned)
    else:
        print_text("no outcomes are known; cortexctl outcome reports how well an answer served")


@click.command("export", short_help="Write down all that was learned.")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE|-")
@click.pass_obj
def export_command(settings: Settings, file: Path) -> None:
    """Write all that was learned into FILE, or - for standard output, as JSON; for administrators.

    cortexctl learn import reads it again, here or on another machine. What machines draw their chances from stays.
    """

    async def export(client: AsyncClient) -> str:
        return await client.export_learned()

    document = run(settings, export)
    if file == _STDIN:
        sys.stdout.write(document)
        return
    file.write_text(document, "utf-8")
    print_note(f"{file}: what was learned")


@click.command("import", short_help="Know what learn export has written.")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE|-")
@click.option("--merge", "mode", flag_value="merge", help="Beside what was learned here; the same twice counts twice.")
@click.option("--replace", "mode", flag_value="replace", help="In place of what was learned here.")
@click.pass_obj
def import_command(settings: Settings, file: Path, mode: str | None) -> None:
    """Know what cortexctl learn export has written into FILE, or - for standard input; for administrators.

    Where anything in it is wrong nothing is changed.

    \b
      ssh other sudo cortexctl learn export - | sudo cortexctl learn import - --merge
    """
    if mode is None:
        raise click.UsageError("Beside or in place of what was learned here? Give --merge or --replace.",
                               click.get_current_context())  # fmt: skip
    try:
        document = sys.stdin.read() if file == _STDIN else file.read_text("utf-8")
    except UnicodeDecodeError:
        raise click.UsageError(f"{file}: not UTF-8, as JSON is.", click.get_current_context()) from None

    async def take_in(client: AsyncClient) -> None:
        await client.import_learned(document, mode)

    run(settings, take_in)
    print_note("known, and kept over restarts")


@click.command("reset", short_help="Forget what outcomes have taught.")
@_task_option
@click.option("--model", default="", metavar="PROVIDER[/MODEL]", help="Of this model, or all of this provider's.")
@click.pass_obj
def reset_command(settings: Settings, task: str | None, model: str) -> None:
    """Forget what outcomes have taught: all of it, or what the options name; for administrators.

    What was reported stays in the ledger and teaches nothing again.
    """

    async def reset(client: AsyncClient) -> None:
        await client.reset_learned(task or "", model)

    run(settings, reset)
    print_note("forgotten")


def _line(cell: LearnedCell) -> tuple[str, ...]:
    more = "+" if cell.outcomes >= _STEPS_FROM else ""
    mean = _UNTOLD if cell.mean is None else f"{cell.mean:.2f}"
    return cell.task_type or "all", f"{cell.provider}/{cell.model}", f"{cell.outcomes}{more}", mean


def _print_share(learned: Learned) -> None:
    for mode, share in learned.explored_share.items():
        print_note(f"{mode}: {share:.0%} of {learned.decisions.get(mode, 0)} decisions or more explored")

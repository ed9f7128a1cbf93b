"""cortexctl budget, budget set, budget remove"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.bars import gauge
from cortexd.cli.shown.failures import LIMIT, local_time
from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import is_terminal, print_json, print_note, print_text
from cortexd.cli.talking.session import run
from cortexd.domain.money import format_usd

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, BudgetInfo

_GAUGE = 20
_UNSEEN = "–"
_COLUMNS = (
    Column("budget"),
    Column("limit", right=True),
    Column("spent", right=True),
    Column("reserved", right=True),
    Column("left", right=True),
    Column("used", right=True),
    Column("state"),
    Column("starts again"),
)
_GAUGES = Column("")


@click.group("budget", invoke_without_command=True)
@click.option("--check", is_flag=True, help="Print nothing; the status is 0 while there is room, 6 when there is none.")
@json_option
@click.pass_context
def command(ctx: click.Context, check: bool, as_json: bool) -> None:
    """Show the limits that bind you, with what is spent and reserved of them.

    \b
      cortexctl budget --check && cortexctl batch nightly.jsonl
    """
    if ctx.invoked_subcommand is not None:
        return

    async def read(client: AsyncClient) -> list[BudgetInfo]:
        return await client.budgets()

    budgets = run(ctx.obj, read)
    if ctx.obj.json or as_json:
        print_json([dict(item.raw) for item in budgets])
    elif not check:
        _print_budgets(budgets)
    if check and any(_exhausted(item) for item in budgets):
        raise click.exceptions.Exit(LIMIT)


def _exhausted(item: BudgetInfo) -> bool:
    return item.severity == "exceeded" or (item.remaining_nano_usd is not None and item.remaining_nano_usd <= 0)


def _print_budgets(budgets: list[BudgetInfo]) -> None:
    if not budgets:
        print_text("no limits bind you")
    elif is_terminal(sys.stdout):
        print_table((*_COLUMNS, _GAUGES), [(*_cells(item), gauge(_used(item) or 0.0, _GAUGE)) for item in budgets])
    else:
        print_table(_COLUMNS, [_cells(item) for item in budgets])


def _cells(item: BudgetInfo) -> tuple[str, ...]:
    owner = {"user": "you", "machine": "this machine"}.get(item.scope, f"{item.scope} {item.name}".strip())
    used = _used(item)
    return (
        f"{owner}, {item.period}",
        format_usd(item.limit_nano_usd),
        _usd(item.spent_nano_usd),
        _usd(item.reserved_nano_usd),
        _usd(item.remaining_nano_usd),
        _UNSEEN if used is None else f"{used:.0%}",
        item.severity,
        local_time(item.resets_at),
    )


def _usd(nano: int | None) -> str:
    return _UNSEEN if nano is None else format_usd(nano)


def _used(item: BudgetInfo) -> float | None:
    """The share of the limit that is spent or reserved; None for who may not see it."""
    if item.spent_nano_usd is None:
        return None
    used = item.spent_nano_usd + (item.reserved_nano_usd or 0)
    return used / item.limit_nano_usd if item.limit_nano_usd else 1.0


def _scope_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--each-user", is_flag=True, help="Of every user without an own limit."),
        click.option("--machine", is_flag=True, help="Of all users together."),
        click.option("--group", metavar="NAME", help="Of a group's members together."),
        click.option("--user", metavar="NAME", help="Of one user."),
    ):
        function = option(function)
    return function


@command.command("set")
@_scope_options
@click.option("--day", type=click.FloatRange(min=0), metavar="USD", help="The most for a day.")
@click.option("--month", type=click.FloatRange(min=0), metavar="USD", help="The most for a month.")
@click.pass_obj
def set_command(settings: Settings, /, day: float | None, month: float | None, **scopes: Any) -> None:
    """Set a limit, above what config.toml says; for administrators. What is not given stays as it is.

    \b
      cortexctl budget set --user alice --day 1.50 --month 20
    """
    if day is None and month is None:
        raise click.UsageError("Nothing to set: give --day, --month or both.", click.get_current_context())
    scope, name = _scope(**scopes)

    async def change(client: AsyncClient) -> None:
        await client.set_budget(scope, name, day_usd=day, month_usd=month)

    run(settings, change)
    print_note("set, and kept over restarts")


@command.command("remove")
@_scope_options
@click.pass_obj
def remove_command(settings: Settings, /, **scopes: Any) -> None:
    """Give up what cortexctl budget set has set, so that config.toml's limits hold again; for administrators."""
    scope, name = _scope(**scopes)

    async def remove(client: AsyncClient) -> None:
        await client.set_budget(scope, name, remove=True)

    run(settings, remove)
    print_note("removed; config.toml's limits hold again")


def _scope(user: str | None, group: str | None, machine: bool, each_user: bool) -> tuple[str, str]:
    """The one scope that was chosen, and its name. Raises click.UsageError."""
    chosen = [
        (scope, name or "")
        for scope, name, given in (
            ("user", user, user is not None),
            ("group", group, group is not None),
            ("machine", "", machine),
            ("each_user", "", each_user),
        )
        if given
    ]
    if len(chosen) != 1:
        raise click.UsageError(
            "Whose limit? Give one of --user, --group, --machine and --each-user.", click.get_current_context()
        )
    return chosen[0]

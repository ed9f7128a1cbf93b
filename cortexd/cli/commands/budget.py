"""cortexctl budget, budget set, budget remove, and of the own cap budget pause, resume, allow, holds, answer"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cortexd.cli.given.numbers import Dollars
from cortexd.cli.own_budget import commands as own
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.bars import gauge
from cortexd.cli.shown.failures import LIMIT, local_time
from cortexd.cli.shown.fleets import settings_missing
from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import is_terminal, print_json, print_note, print_notice, print_text
from cortexd.cli.talking.session import run
from cortexd.domain.apps import APP
from cortexd.domain.money import format_usd
from cortexd.domain.own_cap import AtLimit

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, BudgetInfo

_MINE = "mine"
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
_OWNERS = {"user": "you", "machine": "this machine", "own": "you allow yourself"}
_AT_LIMIT = {"ask": "you are asked", "downgrade": "a cheaper model", "refuse": "refused"}


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

    raw = ctx.obj.json or as_json
    shown = not (raw or check)

    async def read(client: AsyncClient) -> tuple[list[BudgetInfo], int | None]:
        return await client.budgets(), (await client.stats()).settings_missing if shown else None

    budgets, missing = run(ctx.obj, read)
    if raw:
        print_json([dict(item.raw) for item in budgets])
    elif shown:
        _print_budgets(budgets, missing)
    if check and any(_exhausted(item) for item in budgets if item.scope != APP):
        raise click.exceptions.Exit(LIMIT)


def _exhausted(item: BudgetInfo) -> bool:
    return item.severity == "exceeded" or (item.remaining_nano_usd is not None and item.remaining_nano_usd <= 0)


def _print_budgets(budgets: list[BudgetInfo], missing: int | None) -> None:
    if missing is not None:
        print_notice(settings_missing(missing))
    if not budgets:
        print_text("no limits bind you" if missing is None else "no other limits bind you")
    elif is_terminal(sys.stdout):
        print_table((*_COLUMNS, _GAUGES), [(*_cells(item), _gauge(item)) for item in budgets])
    else:
        print_table(_COLUMNS, [_cells(item) for item in budgets])


def _gauge(item: BudgetInfo) -> str:
    return "" if item.scope == "pause" else gauge(_used(item) or 0.0, _GAUGE)


def _cells(item: BudgetInfo) -> tuple[str, ...]:
    if item.scope == "pause":
        return ("your pause", *(_UNSEEN,) * 5, "nothing may cost anything", local_time(item.resets_at))
    used = _used(item)
    at_limit = _AT_LIMIT.get(item.at_limit, item.at_limit)
    return (
        f"{_owner(item)}, {item.period}",
        format_usd(item.limit_nano_usd),
        _usd(item.spent_nano_usd),
        _usd(item.reserved_nano_usd),
        _usd(item.remaining_nano_usd),
        _UNSEEN if used is None else f"{used:.0%}",
        f"{item.severity}, at the limit {at_limit}" if at_limit else item.severity,
        local_time(item.resets_at),
    )


def _owner(item: BudgetInfo) -> str:
    if item.scope == APP:
        return f"you by {item.name}"
    return "all machines" if item.all_machines else _OWNERS.get(item.scope, f"{item.scope} {item.name}".strip())


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
        click.option("--mine", is_flag=True, help="Of your own, set by yourself; needs no administrator."),
        click.option("--each-user", is_flag=True, help="Of every user without an own limit."),
        click.option("--machine", is_flag=True, help="Of all users together."),
        click.option("--app", metavar="NAME", help="Of each user by this program, as usage --by app names it."),
        click.option("--group", metavar="NAME", help="Of a group's members together."),
        click.option("--user", metavar="NAME", help="Of one user."),
    ):
        function = option(function)
    return function


@command.command("set")
@_scope_options
@click.option("--day", type=Dollars(), metavar="USD", help="The most for a day.")
@click.option("--month", type=Dollars(), metavar="USD", help="The most for a month.")
@click.option(
    "--at-limit",
    type=click.Choice([item.value for item in AtLimit]),
    help="With --mine: what becomes of a request without room; you are asked, a cheaper model is, or nobody.",
)
@click.pass_obj
def set_command(
    settings: Settings, /, day: float | None, month: float | None, at_limit: str | None, **scopes: Any
) -> None:
    """Set a limit of yours or, as an administrator, any.

    It stands above what config.toml says. What is not given stays.

    \b
      cortexctl budget set --user alice --day 1.50 --month 20
      cortexctl budget set --app aider --day 1
      cortexctl budget set --mine --day 2 --at-limit ask
    """
    scope, name = _scope(**scopes)
    if scope != _MINE and at_limit:
        raise click.UsageError("--at-limit goes with --mine alone.", click.get_current_context())
    if day is None and month is None and at_limit is None:
        raise click.UsageError("Nothing to set: give --day, --month or both.", click.get_current_context())

    async def change(client: AsyncClient) -> None:
        if scope == _MINE:
            await client.set_own_budget(day_usd=day, month_usd=month, at_limit=at_limit)
        else:
            await client.set_budget(scope, name, day_usd=day, month_usd=month)

    run(settings, change)
    print_note("set, and kept over restarts")


@command.command("remove")
@_scope_options
@click.pass_obj
def remove_command(settings: Settings, /, **scopes: Any) -> None:
    """Give up what budget set has set.

    config.toml's limits hold again; for administrators, but for your own, with which a pause goes too.
    """
    scope, name = _scope(**scopes)

    async def remove(client: AsyncClient) -> None:
        if scope == _MINE:
            await client.set_own_budget(remove=True)
        else:
            await client.set_budget(scope, name, remove=True)

    run(settings, remove)
    print_note(
        "removed; the operator's limits hold alone" if scope == _MINE else "removed; config.toml's limits hold again"
    )


def _scope(
    user: str | None, group: str | None, app: str | None, machine: bool, each_user: bool, mine: bool
) -> tuple[str, str]:
    """The one scope that was chosen, and its name. Raises click.UsageError."""
    chosen = [
        (scope, name or "")
        for scope, name, given in (
            ("user", user, user is not None),
            ("group", group, group is not None),
            (APP, app, app is not None),
            ("machine", "", machine),
            ("each_user", "", each_user),
            (_MINE, "", mine),
        )
        if given
    ]
    if len(chosen) != 1:
        raise click.UsageError(
            "Whose limit? Give one of --user, --group, --app, --machine, --each-user and --mine.",
            click.get_current_context(),
        )
    return chosen[0]


for _command in own.COMMANDS:
    command.add_command(_command)

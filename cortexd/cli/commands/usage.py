"""cortexctl usage"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cortexd.cli.given.numbers import Whole
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import print_json, print_note, print_text
from cortexd.cli.shown.usage_report import GROUPS, as_csv, print_report
from cortexd.cli.talking.session import run
from cortexd.domain.money import format_usd
from cortexd.errors import LedgerUnavailable

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, Stats, UsageRow

_COLUMNS = (
    Column("provider"),
    Column("requests", right=True),
    Column("tokens", right=True),
    Column("cost", right=True),
)


@click.command("usage")
@click.option("--by", multiple=True, type=click.Choice(list(GROUPS)), help="Sums and bars by this; may be repeated.")
@click.option("--since", metavar="DAY", help="From this day on, as 2026-11-24 (default: 30 days ago).")
@click.option("--until", metavar="DAY", help="To the end of this day (default: today).")
@click.option("--days", type=Whole(1), metavar="N", help="The last N days, today included.")
@click.option("--label", default="", metavar="KEY", help="By the values of this label.")
@click.option("--app", default="", metavar="NAME", help="Only what this program asked, as --by app names it.")
@click.option("--all-users", is_flag=True, help="Of all users together; for who may view them.")
@click.option("--csv", "csv_wanted", is_flag=True, help="Print comma-separated values.")
@click.option("--reset", is_flag=True, help="Then start the counters again; the ledger keeps everything.")
@json_option
@click.pass_obj
def command(settings: Settings, /, reset: bool, csv_wanted: bool, as_json: bool, **wishes: Any) -> None:
    """Show what your requests used and cost.

    Without options: since the counters began. With --by, a span or --all-users: out of the ledger.

    \b
      cortexctl usage --by day --days 14
      cortexctl usage --by task --by model --since 2026-11-01
      cortexctl usage --by app
    """
    as_json = settings.json or as_json
    if not any(wishes.values()) and not csv_wanted:
        _since_counters_began(settings, reset, as_json)
        return
    if reset:
        raise click.UsageError("--reset is for the counters alone.", click.get_current_context())
    if as_json and csv_wanted:
        raise click.UsageError("Give --json or --csv, not both.", click.get_current_context())
    if wishes["label"] and "label" not in wishes["by"]:
        wishes["by"] = (*wishes["by"], "label")
    query = _query(**wishes)

    async def read(client: AsyncClient) -> list[UsageRow]:
        return await client.usage(**query)

    rows = run(settings, read)
    if as_json:
        print_json([dict(row.raw) for row in rows])
    elif csv_wanted:
        print_text(as_csv(rows, wishes["by"]))
    elif rows:
        print_report(rows, wishes["by"])
    else:
        print_note("nothing was used in that time")


def _query(
    by: tuple[str, ...],
    since: str | None,
    until: str | None,
    days: int | None,
    label: str,
    app: str,
    all_users: bool,
) -> dict[str, Any]:
    """What GetUsage takes. Raises click.UsageError."""
    if days is not None and since is not None:
        raise click.UsageError("Give --since or --days, not both.", click.get_current_context())
    if "label" in by and not label:
        raise click.UsageError("--by label needs the label's key: --label KEY.", click.get_current_context())
    return {
        "since": since,
        "until": until,
        "days": days,
        "group_by": [GROUPS[name] for name in by],
        "label": label,
        "app": app,
        "all_users": all_users or "user" in by,
    }


def _since_counters_began(settings: Settings, reset: bool, as_json: bool) -> None:
    async def read(client: AsyncClient) -> Stats:
        stats = await client.stats()
        if not stats.counted:
            raise LedgerUnavailable("the ledger's database is away; try again later")
        if reset:
            await client.reset_stats()
        return stats

    stats = run(settings, read)
    if as_json:
        print_json(stats.raw)
        return
    rows = [
        (name, str(row.requests), str(row.tokens), format_usd(row.cost_nano_usd))
        for name, row in stats.providers.items()
    ]
    tokens = sum(row.tokens for row in stats.providers.values())
    rows.append(("all", str(stats.total_requests), str(tokens), format_usd(stats.total_cost_nano_usd)))
    print_table(_COLUMNS, rows)
    if reset:
        print_text("The counters start again.")

"""cortexctl usage"""

from __future__ import annotations

import click

from cortexd.cli.session import run
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.tables import Column, print_table
from cortexd.cli.terminal import print_json, print_text
from cortexd.client import AsyncClient, Stats
from cortexd.money import format_usd

_COLUMNS = (
    Column("provider"),
    Column("requests", right=True),
    Column("tokens", right=True),
    Column("cost", right=True),
)


@click.command("usage")
@click.option("--reset", is_flag=True, help="Then start the counters again; the ledger keeps everything.")
@json_option
@click.pass_obj
def command(settings: Settings, reset: bool, as_json: bool) -> None:
    """Show what your requests used and cost since the counters began."""

    async def read(client: AsyncClient) -> Stats:
        stats = await client.stats()
        if reset:
            await client.reset_stats()
        return stats

    stats = run(settings, read)
    if settings.json or as_json:
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

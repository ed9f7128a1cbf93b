"""cortexctl requests"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.failures import duration
from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import is_terminal, print_json, print_text
from cortexd.cli.talking.session import run

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, RequestInfo

_COLUMNS = (
    Column("request"),
    Column("task"),
    Column("state"),
    Column("model"),
    Column("for", right=True),
    Column("at most for", right=True),
    Column("note"),
)


@click.command("requests")
@json_option
@click.pass_obj
def command(settings: Settings, as_json: bool) -> None:
    """Show your requests that wait or are under way, the oldest first."""

    async def read(client: AsyncClient) -> list[RequestInfo]:
        return await client.requests()

    rows = run(settings, read)
    if settings.json or as_json:
        print_json([dict(item.raw) for item in rows])
        return
    if rows or not is_terminal(sys.stdout):
        print_table(_COLUMNS, [_cells(item) for item in rows])
    else:
        print_text("nothing is under way")


def _cells(item: RequestInfo) -> tuple[str, ...]:
    model = f"{item.provider} {item.model}".strip()
    note = "outlives its caller" if item.detached else ""
    return (
        item.request_id,
        item.task_type,
        item.state,
        model,
        duration(item.age_ms),
        duration(item.deadline_ms),
        note,
    )

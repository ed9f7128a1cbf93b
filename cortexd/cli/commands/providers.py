"""cortexctl providers"""

from __future__ import annotations

import click

from cortexd.cli.session import run
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.tables import Column, print_table
from cortexd.cli.terminal import print_json
from cortexd.client import AsyncClient, ProviderInfo

_COLUMNS = (Column("provider"), Column("state"), Column("models"), Column("note"))


@click.command("providers")
@json_option
@click.pass_obj
def command(settings: Settings, as_json: bool) -> None:
    """Show the providers, their state and models, and what is missing; the first model is the default."""

    async def read(client: AsyncClient) -> list[ProviderInfo]:
        return await client.providers()

    providers = run(settings, read)
    if settings.json or as_json:
        print_json([dict(item.raw) for item in providers])
        return
    print_table(_COLUMNS, [(item.name, item.state, ", ".join(item.models), _note(item)) for item in providers])


def _note(item: ProviderInfo) -> str:
    notes = [item.hint, f"last failure: {item.last_failure}" if item.last_failure else "", "local" * item.local]
    return "; ".join(note for note in notes if note)

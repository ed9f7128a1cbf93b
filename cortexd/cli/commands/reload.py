"""cortexctl reload"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cortexd.cli.settings import Settings
from cortexd.cli.shown.terminal import print_note
from cortexd.cli.talking.session import run

if TYPE_CHECKING:
    from cortexd.client import AsyncClient


@click.command("reload")
@click.pass_obj
def command(settings: Settings) -> None:
    """Let cortexd read its configuration and keys again; requests under way finish under the old ones.

    For administrators. Where the files are wrong it says what, and the old configuration stays.
    """

    async def reload(client: AsyncClient) -> None:
        await client.reload()

    run(settings, reload)
    print_note("cortexd has read its configuration again")

"""cortexctl cancel"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cortexd.cli.settings import Settings
from cortexd.cli.shown import failures
from cortexd.cli.shown.terminal import print_error, print_note
from cortexd.cli.talking.session import run
from cortexd.errors import RequestNotFound

if TYPE_CHECKING:
    from cortexd.client import AsyncClient


@click.command("cancel")
@click.argument("request_ids", nargs=-1, required=True, metavar="ID...")
@click.pass_obj
def command(settings: Settings, request_ids: tuple[str, ...]) -> None:
    """End requests of yours that wait or are under way; cortexctl requests shows their IDs.

    All are tried; the exit status says whether any was not there.
    """

    async def cancel(client: AsyncClient) -> bool:
        all_there = True
        for request_id in request_ids:
            try:
                await client.cancel(request_id)
                print_note(f"{request_id}: cancelled")
            except RequestNotFound as error:
                print_error(f"{request_id}: {failures.in_words(error)}")
                all_there = False
        return all_there

    if not run(settings, cancel):
        raise click.exceptions.Exit(failures.OTHER)

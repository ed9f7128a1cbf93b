"""cortexctl outcome"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cortexd.cli.given.request_options import pairs
from cortexd.cli.settings import Settings
from cortexd.cli.shown.terminal import print_note
from cortexd.cli.talking.session import run

if TYPE_CHECKING:
    from cortexd.client import AsyncClient


@click.command("outcome")
@click.argument("request_id", metavar="ID")
@click.argument("score", type=click.FloatRange(0, 1))
@click.option("--reason", default="", metavar="TEXT", help="Why, in up to 256 characters.")
@click.option(
    "--label", "labels", multiple=True, callback=pairs, metavar="KEY=VALUE", help="Kept beside it; may be repeated."
)
@click.pass_obj
def command(settings: Settings, request_id: str, score: float, reason: str, labels: dict[str, str]) -> None:
    """Say how well an answer served: SCORE from 0 (useless) to 1 (just right).

    ID is one of your own requests, also one of long ago; a later report replaces the earlier one.
    """

    async def report(client: AsyncClient) -> None:
        await client.report_outcome(request_id, score, reason=reason, labels=labels or None)

    run(settings, report)
    print_note(f"{request_id}: {score:g}, thank you")

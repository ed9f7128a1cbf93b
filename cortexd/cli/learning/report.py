"""cortexctl learn report"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cortexd.cli.given.numbers import Whole
from cortexd.cli.given.tasks import task_option
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.learning_report import print_learning
from cortexd.cli.shown.terminal import print_json
from cortexd.cli.talking.session import run

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, LearningReport


@click.command("report", short_help="Estimate what learning would give and save.")
@click.option("--days", type=Whole(1, 3700), metavar="N", help="The last N days (default: 30).")
@task_option("Requests of this task type alone.", "task_type")
@click.option("--all-users", is_flag=True, help="Of all users together; for who may view them.")
@json_option
@click.pass_obj
def report_command(settings: Settings, days: int | None, task_type: str | None, all_users: bool, as_json: bool) -> None:
    """Estimate what learning from outcomes would give and save, before it is turned on.

    From your own requests that it watched (mode observe) or decided (mode apply). Every figure has its interval:
    a wide one says that too little is known.
    """

    async def read(client: AsyncClient) -> LearningReport:
        return await client.learning_report(days, task_type or "", all_users)

    report = run(settings, read)
    if settings.json or as_json:
        print_json(report.raw)
    else:
        print_learning(report)

"""cortexctl learn"""

from __future__ import annotations

import click

from cortexd.cli.learning.report import report_command


@click.group("learn")
def command() -> None:
    """What cortexd learns from reported outcomes."""


command.add_command(report_command)

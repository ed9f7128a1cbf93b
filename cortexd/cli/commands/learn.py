"""cortexctl learn"""

from __future__ import annotations

import click

from cortexd.cli.learning.known import export_command, import_command, reset_command, show_command
from cortexd.cli.learning.report import report_command


@click.group("learn")
def command() -> None:
    """What cortexd learns from reported outcomes."""


for one in (show_command, report_command, export_command, import_command, reset_command):
    command.add_command(one)

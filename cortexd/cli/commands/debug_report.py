"""cortexctl debug-report"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import click

from cortexd.cli.machine.key_files import DIRECTORY, KeyFiles
from cortexd.cli.settings import Settings
from cortexd.cli.shown.terminal import print_notice, print_text
from cortexd.errors import InvalidArgument

_ANSWER_S = 15.0


@click.command("debug-report")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The configuration (default: /etc/cortexd/config.toml).",
)
@click.option(
    "--directory",
    type=click.Path(file_okay=False, readable=False, path_type=Path),
    default=DIRECTORY,
    show_default=True,
    metavar="DIR",
    help="Where keys are.",
)
@click.pass_obj
def command(settings: Settings, file: Path | None, config: Path | None, directory: Path) -> None:
    """Gather versions, configuration, the service's, the unit's and the ledger's state and the journal of a day.

    Keys, prompts, answers and request ids are not in it; names of users, groups and machines may be, so read it before
    you pass it on. It goes into the new FILE, or to standard output. Root sees the most.
    """
    from cortexd.cli.machine.report import report

    quick = replace(settings, timeout_s=settings.timeout_s or _ANSWER_S)
    text = report(quick, config, KeyFiles(directory))
    if file is None:
        print_text(text)
        return
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise InvalidArgument(f"{file} exists already; name a file that does not") from None
    with open(handle, "w", encoding="utf-8", errors="replace") as stream:
        stream.write(text)
    print_notice(f"{file}: read it before you pass it on")

"""cortexctl config check, cortexctl config show"""

from __future__ import annotations

from pathlib import Path

import click

from cortexd.cli.shown.terminal import print_notice, print_text

_file_option = click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Read this and conf.d beside it (default: /etc/cortexd/config.toml).",
)


@click.group("config")
def command() -> None:
    """Check or show the configuration, read as cortexd would; no running service is needed."""


@command.command("check")
@_file_option
def check_command(path: Path | None) -> None:
    """Say what is wrong in the files.

    Of each its name, and that it is OK or which key is not and what was expected. Warn of doubtful names.

    Keys are the service's own: cortexctl providers says which are missing, cortexctl reload takes changes over.
    """
    from cortexd.catalog.doubts import doubts_of
    from cortexd.config import load_config

    config = load_config(path)
    print_text("\n".join(f"{file}: OK" for file in config.sources) or "There are no files; the built-in defaults hold.")
    for doubt in doubts_of(config):
        print_notice(f"warning: {doubt}")


@command.command("show")
@_file_option
def show_command(path: Path | None) -> None:
    """Print every setting in force.

    As TOML, without keys, each with the file that says so.
    """
    from cortexd.cli.shown.settings_as_toml import settings_as_toml
    from cortexd.config import load_config

    print_text(settings_as_toml(load_config(path)))

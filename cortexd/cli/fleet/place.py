"""Which ledger the commands of `cortexctl fleet` are about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cortexd.config.settings import LedgerSettings

config_option = click.option(
    "--config",
    "config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Whose [ledger] it is about (default: /etc/cortexd/config.toml).",
)


def ledger_of(config: Path | None) -> LedgerSettings:
    """As those settings say, with its password. Raises ConfigError."""
    from cortexd.config import ledger_with_password, load_config

    return ledger_with_password(load_config(config))

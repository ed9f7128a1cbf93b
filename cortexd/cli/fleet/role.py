"""As which of the database's roles a fleet's settings are changed, and by whom."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cortexd.cli.shown.terminal import is_terminal

if TYPE_CHECKING:
    from cortexd.config.settings import LedgerSettings, Secret


def role_options(function: Callable[..., Any]) -> Callable[..., Any]:
    role = click.option("--role", metavar="NAME", help="The database's role that may change them.")
    password = click.option(
        "--password-file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="That role's password (default: asked for at a terminal).",
    )
    return role(password(function))


def by_role(ledger: LedgerSettings, role: str | None, password_file: Path | None) -> LedgerSettings:
    """The same ledger, as that role; as the machine's own without one. Raises ConfigError."""
    if role is None and password_file is None:
        return ledger
    from cortexd.config.ledger_address import with_role

    url = with_role(ledger.url, role) if role else ledger.url
    return replace(ledger, url=url, password=_password(role, password_file))


def who_asks() -> str:
    """USER@HOST, also behind sudo."""
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}"


def _password(role: str | None, file: Path | None) -> Secret | None:
    """None: the database lets the role in without one, or libpq finds it (~/.pgpass)."""
    from cortexd.config.credentials import key_in, key_of_file

    if file is not None:
        return key_of_file(file)
    if not is_terminal(sys.stdin):
        return None
    typed = getpass.getpass(f"Password of {role} (it is not shown, empty for none): ", sys.stderr)
    return key_in(typed.encode("utf-8", "replace"), "the terminal")

"""What `cortexctl providers discover` shows of model servers, and declares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from cortexd.cli.machine.discovery import Found
from cortexd.cli.shown.failures import OTHER
from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import print_error, print_json, print_notice, print_text

CONF_D = Path("/etc/cortexd/conf.d")
_COLUMNS = (Column("server"), Column("address"), Column("models"), Column("context", right=True), Column("held by"))


def show_discovered(found: Sequence[Found], directory: Path | None, *, as_json: bool) -> None:
    """`directory`: where to declare them; None to show them alone."""
    if as_json:
        print_json([_plain(item) for item in found])
    elif not found:
        print_text("none: no model server answers at the ports that cortexctl providers --presets names")
    else:
        print_table(_COLUMNS, [_row(item) for item in found])
    if directory is not None:
        _declare(found, directory)
    elif found and not as_json:
        print_text("Nothing is used before it is declared: sudo cortexctl providers discover --add")


def _row(item: Found) -> tuple[str, ...]:
    contexts = [str(context) for context in item.models.values() if context is not None]
    held = f"{item.user}, who reads all that is sent there" if item.ordinary else item.user
    return (item.preset.title, f"127.0.0.1:{item.port}", ", ".join(item.models), ", ".join(contexts), held)


def _plain(item: Found) -> dict[str, object]:
    return {
        "preset": item.preset.name,
        "port": item.port,
        "uid": item.uid,
        "user": item.user,
        "ordinary_user": item.ordinary,
        "models": dict(item.models),
        "toml": item.toml(),
    }


def _declare(found: Sequence[Found], directory: Path) -> None:
    """A file for each server that no ordinary user holds; what is there already stays."""
    written = [file for item in found if (file := _write(item, directory)) is not None]
    if written:
        print_notice("cortexctl reload lets cortexd use them")


def _write(item: Found, directory: Path) -> Path | None:
    file = directory / f"{item.preset.name}.toml"
    if item.ordinary:
        print_notice(f"not declared: {item.user}'s server at port {item.port}; to trust it, write to {file}:")
        print_text(item.toml())
        return None
    try:
        with file.open("x") as stream:
            stream.write(item.toml())
        file.chmod(0o644)
    except FileExistsError:
        print_notice(f"kept: {file}")
        return None
    except OSError as error:
        print_error(f"{file} cannot be written: {error.strerror}; try again with sudo")
        raise click.exceptions.Exit(OTHER) from None
    print_notice(f"written: {file}")
    return file

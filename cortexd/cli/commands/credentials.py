"""cortexctl credentials set, credentials list, credentials remove"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cortexd.cli.machine.key_files import DIRECTORY, DROP_INS, KeyFiles
from cortexd.cli.machine.unit import NotRestarted, restart
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.failures import DENIED, OTHER, PROVIDER_FAILED, duration, in_words
from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import is_terminal, print_error, print_json, print_notice, print_text
from cortexd.cli.talking.session import run
from cortexd.config.names import LEDGER_PASSWORD
from cortexd.domain.money import format_usd
from cortexd.errors import CortexError, InvalidArgument, ServiceUnavailable, UnknownProvider

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, ProviderInfo, Verification
    from cortexd.config import Secret

_PATH = click.Path(file_okay=False, readable=False, path_type=Path)
_COLUMNS = (Column("provider"), Column("key in"), Column("cortexd has it"))
_SEEN = {True: "yes", False: "no: restart it", None: "unknown"}


def _places(function: Callable[..., Any]) -> Callable[..., Any]:
    for name, default, what in (
        ("--drop-ins", DROP_INS, "Where encrypted keys are, as drop-ins of cortexd's unit."),
        ("--directory", DIRECTORY, "Where keys are."),
    ):
        function = click.option(name, type=_PATH, default=default, show_default=True, metavar="DIR", help=what)(
            function
        )
    return function


@click.group("credentials")
def command() -> None:
    """Give providers their keys, or take them away, for root. A key is never an argument, and never shown."""


@command.command("set", short_help="Keep a provider's key.")
@click.argument("name")
@click.option("--encrypt", is_flag=True, help="Encrypt it for this machine, with systemd-creds.")
@click.option("--no-verify", is_flag=True, help="Do not try the key with one smallest request.")
@click.option("--no-restart", is_flag=True, help="Leave cortexd as it is: it sees the key at its next start.")
@_places
@click.pass_obj
def set_command(
    settings: Settings, name: str, encrypt: bool, no_verify: bool, no_restart: bool, directory: Path, drop_ins: Path
) -> None:
    """Keep the provider NAME's key, or as ledger_password that of a shared ledger's database.

    It is read from the terminal or from standard input; cortexd takes it over.

    NAME may be the credential of one of a provider's replicas, too.

    \b
      cortexctl credentials set claude
      cortexctl credentials set claude < key.txt
    """
    files = KeyFiles(directory, drop_ins)
    files.refuse_others()
    provider = None if name == LEDGER_PASSWORD else _provider_of(name)
    key = _read_key(name)
    file = files.set_encrypted(name, key) if encrypt else files.set(name, key)
    print_text(f"{file} holds the key of {name}" if provider else f"{file} holds the ledger's password")
    if provider is None and not no_verify:
        _try_database(key)
    if not no_restart and _restarted() and provider and not no_verify:
        _verify(settings, provider)


@command.command("remove")
@click.argument("name")
@click.option("--no-restart", is_flag=True, help="Leave cortexd as it is: it has the key until its next start.")
@_places
def remove_command(name: str, no_restart: bool, directory: Path, drop_ins: Path) -> None:
    """Take the provider NAME's key away, from cortexd too."""
    files = KeyFiles(directory, drop_ins)
    files.refuse_others()
    if name not in files.list():
        raise InvalidArgument(f"there is no key of {name!r} in {directory}, nor an encrypted one in {drop_ins}")
    files.remove(name)
    print_text(f"the key of {name} is removed")
    if not no_restart:
        _restarted()


@command.command("list")
@json_option
@_places
@click.pass_obj
def list_command(settings: Settings, as_json: bool, directory: Path, drop_ins: Path) -> None:
    """Show which providers have a key.

    In which file, and whether cortexd has it; never the key.
    """
    files = KeyFiles(directory, drop_ins)
    files.refuse_others()
    kept, seen = files.list(), _seen(settings)
    names = [*kept, *(name for name in seen if seen[name] and name not in kept)]
    rows = [(name, str(kept.get(name, "")), seen.get(name)) for name in names]
    if settings.json or as_json:
        print_json([{"provider": name, "file": file, "has_key": has_key} for name, file, has_key in rows])
    else:
        print_table(_COLUMNS, [(name, file or "elsewhere", _SEEN[has_key]) for name, file, has_key in rows])


def _seen(settings: Settings) -> dict[str, bool]:
    """Which keys of providers and of their replicas the service has; empty, and said so, where it does not answer."""

    async def read(client: AsyncClient) -> list[ProviderInfo]:
        return await client.providers()

    try:
        found = run(settings, read)
    except ServiceUnavailable as error:
        print_error(f"what cortexd has is unknown: {error.message}")
        return {}
    replicas = (replica for item in found for replica in item.replicas if replica.credential)
    return {item.credential: item.has_key for item in replicas} | {item.name: item.has_key for item in found}


def _provider_of(name: str) -> str:
    """Whose key it is: the provider's of that name, or of one that has a replica with that credential."""
    from cortexd.config import load_config

    known = load_config().providers
    owners = {replica.credential: item.name for item in known.values() for replica in item.replicas}
    if name not in known and name not in owners:
        raise UnknownProvider(
            f"there is no provider {name!r}; one of {', '.join(known)}, or add [providers.{name}] to the configuration"
        )
    return name if name in known else owners[name]


def _read_key(name: str) -> Secret:
    """One line, without echo where a person types it. Raises InvalidArgument or ConfigError."""
    from cortexd.config.credentials import MAX_KEY_BYTES, key_in

    if is_terminal(sys.stdin):
        data = getpass.getpass(f"Key of {name} (it is not shown): ", sys.stderr).encode("utf-8", "replace")
    else:
        data = sys.stdin.buffer.read(MAX_KEY_BYTES + 2)
    key = key_in(data, "standard input")
    if key is None:
        raise InvalidArgument("no key was given; type it at the prompt, or pipe it in")
    return key


def _restarted() -> bool:
    """Whether cortexd runs with the keys of now, or will once it is called. Says what is to be done where it cannot."""
    try:
        restart()
    except NotRestarted as reason:
        if reason.systemd_runs:
            print_error(f"cortexd has not been restarted: {reason}")
            raise click.exceptions.Exit(OTHER) from None
        print_notice(f"{reason}: restart cortexd yourself, it reads keys when it starts")
        return False
    return True


def _try_database(password: Secret) -> None:
    """Say whether a shared ledger's database lets this machine in, and will do."""
    from cortexd.config import load_config
    from cortexd.ledger.keeping.fitness import fitness

    ledger = load_config().ledger
    if not ledger.url:
        print_notice("no ledger is shared yet: name its database with [ledger] url")
        return
    found = fitness(replace(ledger, password=password))
    for doubt in found.doubts:
        print_notice(f"warning: {doubt}")
    for fault in found.faults:
        print_error(fault)
    if found.faults:
        raise click.exceptions.Exit(DENIED)
    print_text(f"{ledger.where}: {found.state}")


def _verify(settings: Settings, name: str) -> None:
    async def ask(client: AsyncClient) -> Verification:
        return await client.verify_provider(name)

    result = run(settings, ask)
    if not result.ok:
        print_error(f"{name} does not answer with this key: {in_words(CortexError.from_text(result.error))}")
        raise click.exceptions.Exit(PROVIDER_FAILED)
    cost = format_usd(result.cost_nano_usd)
    print_text(f"{name} answers: {result.model}, {duration(result.latency_ms)}, {cost}")

"""cortexctl providers"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cortexd.cli.machine.discovery import discover
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.discovered import CONF_D, show_discovered
from cortexd.cli.shown.failures import PROVIDER_FAILED, duration
from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import print_json, print_text
from cortexd.cli.talking.session import run
from cortexd.config.presets import presets
from cortexd.domain.money import format_usd
from cortexd.errors import UnknownProvider

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, ProviderInfo, ReplicaInfo, Verification

_PATH = click.Path(file_okay=False, path_type=Path)
_COLUMNS = (Column("provider"), Column("state"), Column("models"), Column("note"))
_PRESETS = (Column("preset"), Column("what"), Column("address"), Column("formats"), Column("key"))
_VERIFIED = (Column("provider"), Column("answers"), Column("model"), Column("time", right=True), Column("cost"))


@click.command("providers")
@click.argument("name", required=False, metavar="[NAME|discover]")
@click.option("--verify", is_flag=True, help="Send one real, smallest request to each that is configured, or to NAME.")
@click.option("--presets", "all_presets", is_flag=True, help="Show what a provider can begin with, instead.")
@click.option("--add", is_flag=True, help="With discover: declare what was found, as root.")
@click.option("--directory", type=_PATH, default=CONF_D, show_default=True, metavar="DIR", help="Where --add writes.")
@json_option
@click.pass_obj
def command(
    settings: Settings, name: str | None, verify: bool, all_presets: bool, add: bool, directory: Path, as_json: bool
) -> None:
    """Show the providers, their state and models, and what is missing; the first model is the default.

    Below a provider with several endpoints, or a limit, stands how each of them is; their addresses for administrators.

    discover looks for model servers at the usual ports of this machine instead, and shows who holds each port.
    --verify is for administrators, and costs what such a request costs; the exit status says whether all answered.
    """

    async def read(client: AsyncClient) -> list[ProviderInfo]:
        return await client.providers()

    async def ask(client: AsyncClient) -> list[Verification]:
        chosen = _chosen(await client.providers(), name)
        return [await client.verify_provider(item.name) for item in chosen if name or item.configured]

    wants_json = settings.json or as_json
    if name == "discover":
        show_discovered(list(discover(presets().values())), directory if add else None, as_json=wants_json)
    elif all_presets:
        _show_presets(wants_json)
    elif verify:
        _show_verified(run(settings, ask), wants_json)
    else:
        _show(_chosen(run(settings, read), name), wants_json)


def _chosen(providers: list[ProviderInfo], name: str | None) -> list[ProviderInfo]:
    chosen = [item for item in providers if name in (None, item.name)]
    if not chosen:
        raise UnknownProvider(f"there is no provider {name!r}; one of {', '.join(item.name for item in providers)}")
    return chosen


def _show(providers: list[ProviderInfo], as_json: bool) -> None:
    if as_json:
        print_json([dict(item.raw) for item in providers])
        return
    print_table(_COLUMNS, [row for item in providers for row in _rows(item)])
    if any(map(_lacks_key, providers)):
        print_text("To give one a key: sudo cortexctl credentials set NAME")


def _show_presets(as_json: bool) -> None:
    rows = list(presets().values())
    if as_json:
        print_json([{**asdict(item), "quirks": sorted(item.quirks)} for item in rows])
        return
    print_table(
        _PRESETS,
        [
            (
                item.name,
                item.title,
                next(iter(item.base_url.values())),
                ", ".join(item.base_url),
                "local" if item.local else item.key_variable or "",
            )
            for item in rows
        ],
    )
    print_text('To add one: [providers.NAME], preset = "PRESET" and model = "MODEL" in /etc/cortexd/conf.d/NAME.toml')


def _rows(item: ProviderInfo) -> list[tuple[str, str, str, str]]:
    """The provider, and below it its endpoints."""
    whole = (item.name, item.state, ", ".join(item.models), _note(item))
    return [whole, *(_endpoint(number, replica) for number, replica in enumerate(item.replicas, 1))]


def _endpoint(number: int, replica: ReplicaInfo) -> tuple[str, str, str, str]:
    limit = f" of {replica.max_in_flight}" if replica.max_in_flight else ""
    notes = [
        f"{replica.in_flight}{limit} in flight",
        f"{replica.share:.0%} of the calls",
        duration(round(replica.latency_ms)) if replica.latency_ms else "",
        f"last failure: {replica.last_failure}" if replica.last_failure else "",
        "local" * replica.local,
    ]
    return f"  {number} {replica.endpoint}".rstrip(), replica.state, "", "; ".join(filter(None, notes))


def _note(item: ProviderInfo) -> str:
    notes = [
        "no key" if _lacks_key(item) else item.hint,
        f"last failure: {item.last_failure}" if item.last_failure else "",
        "local" * item.local,
    ]
    return "; ".join(note for note in notes if note)


def _lacks_key(item: ProviderInfo) -> bool:
    return not (item.configured or item.has_key or item.local)


def _show_verified(results: list[Verification], as_json: bool) -> None:
    if as_json:
        print_json([dict(item.raw) for item in results])
    else:
        rows = [
            (
                item.provider,
                "yes" if item.ok else f"no: {item.error}",
                item.model,
                duration(item.latency_ms),
                _cost(item),
            )
            for item in results
        ]
        print_table(_VERIFIED, rows)
    if not all(item.ok for item in results):
        raise click.exceptions.Exit(PROVIDER_FAILED)


def _cost(item: Verification) -> str:
    return format_usd(item.cost_nano_usd)

"""cortexctl providers"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cortexd.cli.machine.discovery import discover
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.discovered import CONF_D, show_discovered
from cortexd.cli.shown.failures import PROVIDER_FAILED, duration, in_words
from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import print_json, print_text
from cortexd.cli.talking.session import run
from cortexd.config.presets import presets
from cortexd.domain.money import format_usd
from cortexd.errors import CortexError, UnknownProvider

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, ProviderInfo, ReplicaInfo, Verification

_PATH = click.Path(file_okay=False, path_type=Path)
_COLUMNS = (Column("provider"), Column("state"), Column("models"), Column("note"))
_MODELS = (Column("model"), Column("context in tokens", right=True))
_SHOWN = 6
_LOADING = "loading"
_MANY = 10_000
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
    """Show the providers, their state, models and contexts, and what is missing; the first model is the default.

    Each endpoint of a provider that has several, or a limit, has a line of its own; administrators see its address.

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
        _show(_chosen(run(settings, read), name), wants_json, whole=name is not None)


def _chosen(providers: list[ProviderInfo], name: str | None) -> list[ProviderInfo]:
    chosen = [item for item in providers if name in (None, item.name)]
    if not chosen:
        raise UnknownProvider(f"there is no provider {name!r}; one of {', '.join(item.name for item in providers)}")
    return chosen


def _show(providers: list[ProviderInfo], as_json: bool, *, whole: bool) -> None:
    if as_json:
        print_json([dict(item.raw) for item in providers])
        return
    print_table(_COLUMNS, [row for item in providers for row in _rows(item, whole=whole)])
    if whole:
        print_text("")
        print_table(_MODELS, [(model, _context(item, model)) for item in providers for model in item.models])
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
    what = '[providers.NAME], preset = "PRESET" and model = "MODEL", or "*" for what it has'
    print_text(f"To add one: {what}, in /etc/cortexd/conf.d/NAME.toml")


def _rows(item: ProviderInfo, *, whole: bool) -> list[tuple[str, str, str, str]]:
    """The provider, and below it its endpoints as "NAME 1", "NAME 2"."""
    own = (item.name, item.state, item.default_model if whole else _models(item), _note(item))
    several = len(item.replicas) > 1
    below = ((f"{item.name} {number}", replica) for number, replica in enumerate(item.replicas, 1))
    return [own, *(_endpoint(name, replica, several=several) for name, replica in below)]


def _endpoint(name: str, replica: ReplicaInfo, *, several: bool) -> tuple[str, str, str, str]:
    limit = f" of {replica.max_in_flight}" if replica.max_in_flight else ""
    notes = [
        f"{replica.in_flight}{limit} in flight",
        f"{replica.share:.0%} of the calls" if several else "",
        duration(round(replica.latency_ms)) if replica.latency_ms else "",
        f"last failure: {replica.last_failure}" if replica.last_failure else "",
        "local" * replica.local,
    ]
    return f"{name} {replica.endpoint}".rstrip(), replica.state, "", "; ".join(filter(None, notes))


def _models(item: ProviderInfo) -> str:
    """The first ones, with the contexts of a server that was asked; `cortexctl providers NAME` has all."""
    shown = [_short(item, model) if item.asked_at else model for model in item.models[:_SHOWN]]
    more = len(item.models) - len(shown)
    return ", ".join([*shown, f"{more} more"] if more else shown)


def _short(item: ProviderInfo, model: str) -> str:
    tokens = item.context_tokens.get(model)
    if tokens is None:
        return model
    return f"{model} ({tokens // 1000}k)" if tokens >= _MANY else f"{model} ({tokens})"


def _context(item: ProviderInfo, model: str) -> str:
    tokens = item.context_tokens.get(model)
    return "—" if tokens is None else f"{tokens:,}"


def _asked(item: ProviderInfo) -> str:
    """When the server said what it has, as the clock on the wall has it."""
    try:
        return f"asked at {datetime.fromisoformat(item.asked_at).astimezone():%Y-%m-%d %H:%M}"
    except ValueError:
        return ""


def _note(item: ProviderInfo) -> str:
    notes = [
        "no key" if _lacks_key(item) else item.hint,
        _trouble(item),
        "local" * item.local,
        _asked(item),
        "" if item.models or not item.configured else "no models known yet",
    ]
    return "; ".join(note for note in notes if note)


def _trouble(item: ProviderInfo) -> str:
    if not item.last_failure:
        return ""
    return item.last_failure if item.last_failure == _LOADING else f"last failure: {item.last_failure}"


def _lacks_key(item: ProviderInfo) -> bool:
    return not (item.configured or item.has_key or item.local)


def _show_verified(results: list[Verification], as_json: bool) -> None:
    if as_json:
        print_json([dict(item.raw) for item in results])
    else:
        rows = [
            (
                item.provider,
                "yes" if item.ok else f"no: {in_words(CortexError.from_text(item.error))}",
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

"""cortexctl status"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from cortexd.cli.machine.others import others
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.failures import NO_DAEMON, OTHER, exit_status, in_words
from cortexd.cli.shown.fleets import settings_missing
from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import one_line, print_json, print_text
from cortexd.cli.talking.session import run
from cortexd.domain.apps import APP
from cortexd.domain.money import format_usd
from cortexd.errors import CortexError

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, BudgetInfo, Properties, ProviderInfo, Stats

_ANSWER_S = 30.0  # dbus-daemon waits 25 s for a service that cannot be started
_PROVIDERS = (Column("provider"), Column("state"), Column("note"))
_WHOSE = {"user": "your", "own": "your own", "machine": "the machine's"}


@dataclass(frozen=True, slots=True)
class _Health:
    """What the service says of itself. `notices`: what stands beside it on this machine."""

    properties: Properties
    stats: Stats
    providers: list[ProviderInfo]
    budgets: list[BudgetInfo]
    notices: list[str]

    @property
    def configured(self) -> list[ProviderInfo]:
        return [item for item in self.providers if item.configured]

    @property
    def problems(self) -> list[str]:
        found = [] if self.stats.ledger_writable else [f"the ledger cannot be written{_since(self.stats)}"]
        if self.stats.settings_missing is not None and self.stats.ledger_writable:
            found.append(settings_missing(self.stats.settings_missing))
        if not self.configured:
            found.append("no provider is configured: cortexctl credentials set NAME gives one its key")
        found += [
            f"{item.name} is {item.state}" + (f": {item.last_failure}" if item.last_failure else "")
            for item in self.configured
            if item.state != "ok"
        ]
        return found + [
            f"{_whose(item)} budget of this {item.period} is used up until {item.resets_at}"
            for item in self.budgets
            if item.severity == "exceeded" and item.scope != APP
        ]


@click.command("status")
@json_option
@click.pass_obj
def command(settings: Settings, as_json: bool) -> None:
    """Say whether all is well with cortexd: providers, your budgets, the ledger, what is under way.

    The status is 0 where all is well, 1 where something is not, 4 where cortexd is not there. One that is not running
    is started by the call, as by every call.
    """
    wants_json = settings.json or as_json
    try:
        health = run(replace(settings, timeout_s=settings.timeout_s or _ANSWER_S), _read)
    except CortexError as error:
        if not wants_json:
            raise
        absent = exit_status(error) == NO_DAEMON
        print_json({"status": "absent" if absent else "degraded", "problems": [in_words(error)]})
        raise click.exceptions.Exit(NO_DAEMON if absent else OTHER) from None
    if wants_json:
        print_json(_as_json(health))
    else:
        _show(health, settings.bus)
    if health.problems:
        raise click.exceptions.Exit(OTHER)


async def _read(client: AsyncClient) -> _Health:
    properties, stats = await client.properties(), await client.stats()
    budgets = await client.budgets() if stats.ledger_writable else []
    return _Health(properties, stats, await client.providers(), budgets, others())


def _as_json(health: _Health) -> dict[str, Any]:
    properties, stats = health.properties, health.stats
    return {
        "status": "degraded" if health.problems else "healthy",
        "problems": health.problems,
        "notices": health.notices,
        "version": properties.version,
        "uptime_s": stats.uptime_s,
        "active_requests": properties.active_requests,
        "queued_requests": stats.queued_requests,
        "total_requests": properties.total_requests,
        "total_cost_usd": properties.total_cost_usd,
        "ledger_writable": stats.ledger_writable,
        "ledger_since": stats.ledger_since or None,
        "ledger_waiting": stats.ledger_waiting,
        "settings_missing": stats.settings_missing,
        "providers": [{"name": item.name, "state": item.state} for item in health.providers],
        "budgets": [
            {"scope": item.scope, "name": item.name, "period": item.period, "severity": item.severity}
            for item in health.budgets
        ],
    }


def _show(health: _Health, bus: str) -> None:
    properties, stats = health.properties, health.stats
    named = bus if bus in ("system", "session") else "given"
    number = properties.total_requests
    total = f"{number} request{'s' * (number != 1)}, {format_usd(round(properties.total_cost_usd * 1e9))}"
    budgets = ", ".join(f"{_whose(item)} {item.period} {item.severity}" for item in health.budgets)
    lines = {
        "cortexd": f"{properties.version} on the {named} bus, for {_duration(stats.uptime_s)}",
        "requests": f"{properties.active_requests} under way, {stats.queued_requests} waiting",
        "ledger": ("writable" if stats.ledger_writable else "NOT writable") + f"{_kept(stats)}; {total} in all",
        "budgets": budgets or ("none binds you" if stats.ledger_writable else "not known while the ledger is away"),
        **({"beside": "; ".join(health.notices)} if health.notices else {}),
        "health": "all is well" if not health.problems else "; ".join(health.problems),
    }
    print_text("\n".join(f"{name + ':':<10} {one_line(value)}" for name, value in lines.items()))
    shown = health.configured or health.providers
    rows = [(item.name, item.state, _left_alone(item) or item.last_failure or item.hint) for item in shown]
    print_table(_PROVIDERS, rows)


def _since(stats: Stats) -> str:
    """And what that means."""
    since = f" since {datetime.fromtimestamp(stats.ledger_since):%Y-%m-%d %H:%M}" if stats.ledger_since else ""
    refused = "new requests" if stats.counted else "requests that may cost something"
    return f"{since}: {refused} are refused"


def _kept(stats: Stats) -> str:
    number = stats.ledger_waiting
    return f", {number} request{'s' * (number != 1)} kept here to be booked" if number else ""


def _left_alone(item: ProviderInfo) -> str:
    """How many of its endpoints, where it has several, get nothing at the moment."""
    alone = sum(replica.share == 0 for replica in item.replicas)
    return f"{alone} of {len(item.replicas)} endpoints left alone" if alone and len(item.replicas) > 1 else ""


def _whose(item: BudgetInfo) -> str:
    if item.scope == APP:
        return f"by {item.name}"
    if item.all_machines:
        return "all machines'"
    return _WHOSE.get(item.scope, f"the {item.scope} {item.name}'s")


def _duration(seconds: int) -> str:
    """The two largest units: 3 d 4 h, 12 min 5 s."""
    units = (("d", seconds // 86400), ("h", seconds // 3600 % 24), ("min", seconds // 60 % 60), ("s", seconds % 60))
    first = next((index for index, (_, number) in enumerate(units) if number), 3)
    return " ".join(f"{number} {unit}" for unit, number in units[first : first + 2])

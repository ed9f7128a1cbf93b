"""The machines of a ledger, as a person reads them, and as a script does."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import one_line, print_note, print_text
from cortexd.domain.money import format_usd

if TYPE_CHECKING:
    from cortexd.ledger.reading.fleet import FleetState, HostState

_COLUMNS = (
    Column("machine"),
    Column("seen"),
    Column("version"),
    Column("settings"),
    Column("under way", right=True),
    Column("today", right=True),
    Column("behind in"),
)


def print_status(state: FleetState) -> None:
    """A line each; what needs somebody's hand comes last."""
    silent = sum(each.silent for each in state.hosts)
    print_text(f"ledger       {state.where}" + ("" if state.shared else " (a file of this machine alone)"))
    print_text(f"machines     {len(state.hosts)}" + (f", {silent} of them silent" if silent else ""))
    print_text(f"under way    {state.under_way}")
    print_text(f"spent today  {format_usd(state.today_nano)} ({state.day})")
    for each in state.hosts:
        if each.behind:
            print_text(f"behind       {each.host.name}: {', '.join(each.behind)}")
    _print_refused(state)
    for difference in state.differences:
        print_text(difference)


def _print_refused(state: FleetState) -> None:
    refusing = [(each.host, each.refused) for each in state.hosts if each.refused]
    for host, refused in refusing:
        print_text(f"refused      {host.name}: revision {refused.revision}: {one_line(refused.reason)}")
    if refusing:
        idle = ", ".join(host.name for host, _ in refusing if not host.settings)
        print_text(
            "A machine that refuses a revision keeps the one before"
            + (f"; {idle} had none, and refuses requests that may cost something. " if idle else ". ")
            + "Mend what it names there, or change the settings: cortexctl fleet settings set, or revert."
        )


def print_hosts(state: FleetState) -> None:
    if not state.hosts:
        print_note("no machine has written to this ledger yet")
        return
    print_table(_COLUMNS, [_row(each) for each in state.hosts])
    _print_refused(state)


def in_json(state: FleetState) -> dict[str, Any]:
    """Times are ISO 8601 in UTC, money is in nano-dollars."""
    return {
        "ledger": state.where,
        "shared": state.shared,
        "day": state.day,
        "under_way": state.under_way,
        "spent_today_nano_usd": state.today_nano,
        "differences": list(state.differences),
        "hosts": [_host(each) for each in state.hosts],
    }


def _row(each: HostState) -> tuple[str, ...]:
    host = each.host
    seen = f"{host.last_seen.astimezone():%Y-%m-%d %H:%M}" + (" (silent)" if each.silent else "")
    today = format_usd(each.today_nano)
    return host.name, seen, host.version, host.settings, str(each.under_way), today, ", ".join(each.behind)


def _host(each: HostState) -> dict[str, Any]:
    host = each.host
    return {
        "name": host.name,
        "id": host.id,
        "first_seen": host.first_seen.isoformat(),
        "last_seen": host.last_seen.isoformat(),
        "silent": each.silent,
        "version": host.version,
        "schema": host.schema,
        "settings": host.settings,
        "time_zone": host.time_zone,
        "users": host.users,
        "under_way": each.under_way,
        "requests_today": each.requests_today,
        "spent_today_nano_usd": each.today_nano,
        "behind": list(each.behind),
        "refused": asdict(each.refused) if each.refused else None,
    }

"""cortexctl watch"""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from cortexd.cli.session import run
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.terminal import one_line, print_json, print_text
from cortexd.client import AsyncClient, CostEvent, ServiceChange, Snapshot
from cortexd.money import format_usd, from_usd


@click.command("watch")
@click.option("--task", metavar="TYPE", help="Only requests of this task type.")
@click.option("--provider", metavar="NAME", help="Only requests that this provider answered.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N requests.")
@json_option
@click.pass_obj
def command(settings: Settings, task: str | None, provider: str | None, count: int | None, as_json: bool) -> None:
    """Show the cost of each of your requests as it arises, until Ctrl-C.

    With --json one document per line: event is "watching" first, then "cost" or "service".
    """
    chosen = {"task_type": task, "provider": provider}
    show = _print_event if settings.json or as_json else _print_line

    async def watch(client: AsyncClient) -> None:
        left = count
        async with client.subscribe({key: value for key, value in chosen.items() if value}) as costs:
            show(costs.snapshot)
            async for event in costs.events():
                show(event)
                if left is not None and isinstance(event, CostEvent):
                    left -= 1
                    if left == 0:
                        return

    run(settings, watch)


def _print_line(event: Snapshot | CostEvent | ServiceChange) -> None:
    print_text(one_line(f"{time.strftime('%H:%M:%S')} {_in_words(event)}"))


def _in_words(event: Snapshot | CostEvent | ServiceChange) -> str:
    if isinstance(event, Snapshot):
        return f"watching; today {_usd(event.day_usd)}, this month {_usd(event.month_usd)}"
    if isinstance(event, ServiceChange):
        return "cortexd is back" if event.running else "cortexd has left the bus; waiting for it to return"
    cost = format_usd(event.cost_nano_usd)
    return (
        f"{cost if event.cost_known else f'at most {cost}'}, {event.task_type}, {event.provider} {event.model}, "
        f"today {_usd(event.day_usd)}, request {event.request_id}"
    )


def _print_event(event: Snapshot | CostEvent | ServiceChange) -> None:
    print_json({"event": _NAMES[type(event)], "time": datetime.now(UTC).isoformat(), **asdict(event)}, indent=None)


def _usd(value: float) -> str:
    return format_usd(from_usd(value))


_NAMES: dict[type[Any], str] = {Snapshot: "watching", CostEvent: "cost", ServiceChange: "service"}

"""cortexctl watch"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cortexd.cli.given.numbers import Whole
from cortexd.cli.given.tasks import task_option
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.holds import ended, question
from cortexd.cli.shown.terminal import is_terminal, one_line, print_json, print_text
from cortexd.cli.talking.questions import Questions, open_holds, questions_at_terminal
from cortexd.cli.talking.session import run
from cortexd.domain.money import format_dollars, format_usd

if TYPE_CHECKING:
    from cortexd.client import (
        AsyncClient,
        BudgetHeld,
        BudgetThreshold,
        CostEvent,
        PeriodStarted,
        ServiceChange,
        Snapshot,
    )


@click.command("watch")
@task_option("Only requests of this task type.")
@click.option("--provider", metavar="NAME", help="Only requests that this provider answered.")
@click.option("--count", type=Whole(1), metavar="N", help="End after N requests.")
@click.option(
    "--format",
    "panel",
    type=click.Choice(["waybar", "i3blocks", "polybar", "xmobar", "plain", "json"]),
    help="A line for a panel in place of the requests: what today costs, after each change.",
)
@json_option
@click.pass_obj
def command(
    settings: Settings, task: str | None, provider: str | None, count: int | None, panel: str | None, as_json: bool
) -> None:
    """Show the cost of each of your requests as it arises, until Ctrl-C.

    Also when your spending passes a threshold of a budget, and when a new day or month begins. What your own cap holds
    is asked at the terminal. With --json one document per line: event is "watching" first and after each return of
    cortexd, then "cost", "budget", "held", "hold_ended", "period" or "service".

    With --format it never starts cortexd, says so when cortexd is away, and ends with its pipe.
    """
    if panel is not None:
        if task or provider or count or as_json or settings.json:
            raise click.UsageError("--format goes with no other option.", click.get_current_context())
        from cortexd.cli.panels.printing import print_changes

        print_changes(settings, panel)
        return
    chosen = {key: value for key, value in (("task_type", task), ("provider", provider)) if value}
    run(settings, lambda client: _watch(client, chosen, count, settings.json or as_json))


async def _watch(client: AsyncClient, chosen: dict[str, str], count: int | None, as_json: bool) -> None:
    from cortexd.client import BudgetHeld

    left = count
    async with _shown(client, as_json) as show, client.subscribe(chosen) as costs:
        held = await open_holds(client)  # at once: later it could start a service that has been stopped
        show(costs.snapshot)
        for hold in held:
            show(BudgetHeld(hold))
        async for event in costs.events():
            show(event)
            if left is not None and type(event).__name__ == "CostEvent":
                left -= 1
                if left == 0:
                    return


@asynccontextmanager
async def _shown(client: AsyncClient, as_json: bool) -> AsyncIterator[Callable[[Any], None]]:
    """Where an event goes: to stdout, and what is held to the person at the terminal too, but for JSON."""
    if as_json:
        yield _print_event
        return
    async with questions_at_terminal(client, tells=not is_terminal(sys.stdout)) as questions:
        yield _print_line if questions is None else partial(_print_and_ask, questions)


def _print_and_ask(questions: Questions, event: Any) -> None:
    questions.make_room()
    _print_line(event)
    if type(event).__name__ not in _OF_HOLDS:
        questions.prompt()
    questions.heard(event)


def _print_line(event: Any) -> None:
    _name, in_words = _EVENTS[type(event).__name__]
    print_text(one_line(f"{time.strftime('%H:%M:%S')} {in_words(event)}"))


def _print_event(event: Any) -> None:
    name, _in_words = _EVENTS[type(event).__name__]
    fields = dict(event.hold.raw) if name == "held" else asdict(event)
    print_json({"event": name, "time": datetime.now(UTC).isoformat(), **fields}, indent=None)


def _snapshot(event: Snapshot) -> str:
    return f"watching; today {format_dollars(event.day_usd)}, this month {format_dollars(event.month_usd)}"


def _cost(event: CostEvent) -> str:
    cost = format_usd(event.cost_nano_usd)
    return (
        f"{cost if event.cost_known else f'at most {cost}'}, {event.task_type}, {event.provider} {event.model}, "
        f"today {format_dollars(event.day_usd)}, request {event.request_id}"
    )


def _threshold(event: BudgetThreshold) -> str:
    return (
        f"{event.fraction:.0%} of this {event.period}'s budget is spent: "
        f"{format_dollars(event.spent_usd)} of {format_dollars(event.limit_usd)}"
    )


def _period(event: PeriodStarted) -> str:
    return f"a new {event.period} has begun; its sums start from nothing"


def _held(event: BudgetHeld) -> str:
    return question(event.hold)


def _service(event: ServiceChange) -> str:
    return "cortexd is back" if event.running else "cortexd has left the bus; waiting for it to return"


# the client's class -> the event's name in JSON, and its words; by name, so that --help needs no client
_EVENTS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "Snapshot": ("watching", _snapshot),  # first, and after each return of the service
    "CostEvent": ("cost", _cost),
    "BudgetThreshold": ("budget", _threshold),
    "BudgetHeld": ("held", _held),
    "HoldEnded": ("hold_ended", ended),
    "PeriodStarted": ("period", _period),
    "ServiceChange": ("service", _service),
}
_OF_HOLDS = ("BudgetHeld", "HoldEnded")

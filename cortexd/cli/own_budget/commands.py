"""cortexctl budget pause, resume, allow, holds, answer: what a person does about the own cap."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cortexd.cli.given.numbers import Dollars
from cortexd.cli.given.spans import span_s
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.failures import local_time
from cortexd.cli.shown.holds import HOW_TO_ANSWER
from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import is_terminal, print_json, print_note, print_text
from cortexd.cli.talking.session import run
from cortexd.domain.money import format_dollars, format_usd
from cortexd.domain.own_cap import HoldAnswer
from cortexd.errors import RequestNotFound
from cortexd.validation.own_caps import LONGEST_PAUSE_S

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, Hold

_ANSWERS = [item.value for item in HoldAnswer]
_COLUMNS = (
    Column("hold"),
    Column("requests", right=True),
    Column("may cost", right=True),
    Column("first"),
    Column("left", right=True),
    Column("cap", right=True),
    Column("period"),
    Column("with today", right=True),
    Column("until"),
)


@click.command("pause")
@click.option(
    "--for",
    "pause_s",
    callback=span_s(LONGEST_PAUSE_S),
    default="1h",
    show_default=True,
    metavar="SPAN",
    help="As 30m, 1h or 2d, 31d at most.",
)
@click.pass_obj
def pause(settings: Settings, pause_s: int) -> None:
    """Let nothing of yours cost anything for a while.

    Free models answer, the rest is refused.
    """

    async def change(client: AsyncClient) -> None:
        await client.set_own_budget(pause_s=pause_s)

    run(settings, change)
    print_note("paused, also over restarts; cortexctl budget resume ends it")


@click.command("resume")
@click.pass_obj
def resume(settings: Settings) -> None:
    """End your pause."""

    async def change(client: AsyncClient) -> None:
        await client.set_own_budget(pause_s=0)

    run(settings, change)
    print_note("your requests may cost something again")


@click.command("allow")
@click.argument("usd", type=Dollars(some=True), metavar="USD")
@click.pass_obj
def allow(settings: Settings, usd: float) -> None:
    """Allow yourself so much more today.

    It counts from now on, whatever your own cap says of today. What is held tries again.
    """

    async def change(client: AsyncClient) -> None:
        await client.set_own_budget(more_usd=usd)

    run(settings, change)
    print_note(f"{format_dollars(usd)} more may be spent today, as far as the operator's limits have room")


@click.command("holds")
@json_option
@click.pass_obj
def holds(settings: Settings, as_json: bool) -> None:
    """Show which requests wait for your word.

    Your own cap has no room for them.
    """

    async def read(client: AsyncClient) -> list[Hold]:
        return await client.holds()

    rows = run(settings, read)
    if settings.json or as_json:
        print_json([dict(item.raw) for item in rows])
    elif rows or not is_terminal(sys.stdout):
        print_table(_COLUMNS, [_cells(item) for item in rows])
        print_note(HOW_TO_ANSWER)
    else:
        print_text("nothing is held")


def _cells(item: Hold) -> tuple[str, ...]:
    return (
        item.hold_id,
        str(item.requests),
        format_usd(item.may_cost_nano_usd),
        " ".join(part for part in (item.app, item.task_type, item.provider, item.model) if part),
        format_usd(item.left_nano_usd),
        format_usd(item.limit_nano_usd),
        item.period,
        f"+{format_usd(item.more_nano_usd)}",
        local_time(item.until),
    )


@click.command("answer")
@click.argument("words", nargs=-1, required=True, metavar="[HOLD] today|once|refuse")
@click.option("--more", type=Dollars(some=True), metavar="USD", help="With today: so much (default: as shown).")
@click.pass_obj
def answer(settings: Settings, words: tuple[str, ...], more: float | None) -> None:
    """Say what becomes of what is held.

    More is allowed today, only this once, or it is refused.

    HOLD is an id of cortexctl budget holds; it may be left out.
    """
    *given, said = words
    if len(given) > 1 or said not in _ANSWERS:
        raise click.UsageError(
            f"Expected one of {', '.join(_ANSWERS)}, after a HOLD at most.", click.get_current_context()
        )
    if more is not None and said != HoldAnswer.TODAY:
        raise click.UsageError("--more goes with today alone.", click.get_current_context())

    async def tell(client: AsyncClient) -> None:
        hold_id = given[0] if given else await _only(client)
        await client.answer_hold(hold_id, said, more_usd=more)

    run(settings, tell)


async def _only(client: AsyncClient) -> str:
    """The id of the one that is held. Raises RequestNotFound, and click.UsageError where there are several."""
    ids = [item.hold_id for item in await client.holds()]
    if not ids:
        raise RequestNotFound("Nothing of yours is held now.")
    if len(ids) > 1:
        raise click.UsageError(f"Which one? Give one of {', '.join(ids)}.")
    return ids[0]


COMMANDS = (pause, resume, allow, holds, answer)

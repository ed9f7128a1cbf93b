"""What outcomes decide, or would, for people: the words behind the keys, and the figures of each candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import one_line, print_text
from cortexd.domain.money import format_dollars

if TYPE_CHECKING:
    from cortexd.client import Candidate, Learning

_UNKNOWN = "—"
_COLUMNS = (
    Column("model"),
    Column("outcomes", right=True),
    Column("likely outcome", right=True),
    Column("give or take", right=True),
    Column("price", right=True),
    Column("time", right=True),
    Column("switch", right=True),
    Column("cache lost", right=True),
    Column("left", right=True),
    Column("best known"),
    Column("to be asked"),
)
MODES_IN_WORDS = {
    "apply": "outcomes decide",
    "observe": "outcomes are watched and decide nothing",
}
WHY_IN_WORDS = {
    "best": "the draw fell on the best as far as is known",
    "explored": "another one is asked to learn how well it serves",
    "spent": "all that may be tried for now has been tried",
    "pinned": "nothing is tried, for the request names its provider or model",
    "privileged": "nothing is tried in a privileged request",
    "local": "nothing is tried in a request that must stay local",
    "session": "nothing is tried in a conversation that has begun",
    "tools": "nothing is tried between a tool's call and its result",
    "budget": "nothing is tried where a budget or max_cost_usd has little room",
    "dry_run": "a dry run tries nothing; the next request like it may",
}


def print_learned(learned: Learning) -> None:
    mode = MODES_IN_WORDS.get(learned.mode, learned.mode)
    print_text(one_line(f"learning {learned.mode}: {mode}; without it {learned.baseline} leads"))
    asked = "is to be asked" if learned.mode == "apply" else "would be asked"
    why = WHY_IN_WORDS.get(learned.why, learned.why)
    print_text(one_line(f"best as far as is known: {learned.greedy}; {learned.chosen} {asked}: {why}"))
    print_text(one_line(f"left to try another: {_at_least(learned.looks_left)} requests, at the share of config.toml"))
    print_table(_COLUMNS, [_row(item) for item in learned.judged])


def _row(item: Candidate) -> tuple[str, ...]:
    return (
        f"{item.provider}/{item.model}",
        _UNKNOWN if item.outcomes is None else _at_least(item.outcomes),
        *map(_part, (item.outcome_mean, item.outcome_sigma)),
        *map(_part, (item.price_penalty, item.time_penalty, item.switch_penalty)),
        _UNKNOWN if item.switch_cost_usd is None else format_dollars(item.switch_cost_usd),
        _part(item.score),
        "yes" if item.greedy else "no",
        "yes" if item.chosen else "no",
    )


def _at_least(step: int) -> str:
    """The service counts in steps of 1, 2 and 5."""
    return str(step) if step < 2 else f"{step}+"


def _part(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.2f}"

"""One line for each kind of panel: what a mark and a colour say twice, and amounts.

waybar: its `return-type = "json"`. i3blocks: its `format=json`, also i3status-rust's. polybar and xmobar: their own
tags for colours.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from html import escape

from cortexd.cli.panels.spending import Left, Spending, State
from cortexd.domain.money import format_dollars

UNKNOWN = "—"
_SPANS = {"day": "today", "month": "this month"}
# a shape and a colour each, so that neither is needed alone; "": the panel's own colour
LOOKS = {
    State.LOADING: ("…", ""),
    State.OK: ("●", ""),
    State.WARN: ("▲", "#e5a50a"),
    State.OVER: ("■", "#e01b24"),
    State.HELD: ("◆", "#3584e4"),
    State.STALE: ("◌", "#9a9996"),
    State.UNCONFIGURED: ("○", "#9a9996"),
    State.ERROR: ("✕", "#e01b24"),
}

# by its scope, whose limit it is
_LIMITS = {"user": "your {limit}", "own": "the {limit} that you allow yourself"}


def text(spending: Spending) -> str:
    """The mark and today's amount."""
    return f"{LOOKS[spending.state][0]} {_usd(spending.day_usd)}"


def sentences(spending: Spending) -> list[str]:
    """What a tooltip has: amounts, and what to do."""
    lines = [f"Today {_usd(spending.day_usd)}, this month {_usd(spending.month_usd)}."]
    if spending.left is not None:
        left = spending.left
        lines.append(f"{_usd(left.usd)} left of {_whose(left)} {_SPANS.get(left.period, left.period)}.")
    return [*lines, spending.next_step] if spending.next_step else lines


def _whose(left: Left) -> str:
    limit = _usd(left.limit_usd)
    return _LIMITS.get(left.scope, "the {scope}'s {limit}").format(scope=left.scope, limit=limit)


def _plain(spending: Spending) -> str:
    return f"{text(spending)} {' '.join(sentences(spending))}"


def _json(spending: Spending) -> str:
    return _dumped({**asdict(spending), "text": text(spending), "tooltip": sentences(spending)})


def _waybar(spending: Spending) -> str:
    state = spending.state.value
    percentage = {} if spending.used is None else {"percentage": max(0, min(100, round(spending.used * 100)))}
    tooltip = escape("\n".join(sentences(spending)), quote=False)
    return _dumped({"text": text(spending), "tooltip": tooltip, "class": state, "alt": state, **percentage})


def _i3blocks(spending: Spending) -> str:
    colour = LOOKS[spending.state][1]
    urgent = {"urgent": True} if spending.state in (State.OVER, State.HELD) else {}
    shown = {"full_text": text(spending), "short_text": _usd(spending.day_usd), **urgent}
    return _dumped({**shown, "color": colour} if colour else shown)


def _polybar(spending: Spending) -> str:
    colour = LOOKS[spending.state][1]
    return f"%{{F{colour}}}{text(spending)}%{{F-}}" if colour else text(spending)


def _xmobar(spending: Spending) -> str:
    colour = LOOKS[spending.state][1]
    return f"<fc={colour}>{text(spending)}</fc>" if colour else text(spending)


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _usd(value: float | None) -> str:
    return UNKNOWN if value is None else format_dollars(value)


FORMATS: dict[str, Callable[[Spending], str]] = {
    "waybar": _waybar,
    "i3blocks": _i3blocks,
    "polybar": _polybar,
    "xmobar": _xmobar,
    "plain": _plain,
    "json": _json,
}

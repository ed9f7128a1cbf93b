"""Which notification a person gets, and when: each threshold once, a provider that is down for over a minute and its
return. Every applet keeps the same account of them, so that whoever speaks next repeats nothing."""

from __future__ import annotations

from dataclasses import dataclass

from cortex_llm_applet.logic.amounts import usd
from cortex_llm_applet.logic.figures import Provider
from cortex_llm_applet.logic.trouble import State
from cortex_llm_applet.texts import N_, _

DOWN_S = 60.0
# the router's words for a provider that it avoids, that answers, and that is not there; others end no outage
_DOWN, _UP, _GONE = "open", "ok", "unconfigured"
_NANO = 1_000_000_000
_MOST_TOLD = 64
_NORMAL, _CRITICAL = 1, 2
_PERIODS = {
    "day": N_("{share} of today's budget is used"),
    "month": N_("{share} of this month's budget is used"),
}


@dataclass(frozen=True, slots=True)
class Notice:
    """`replaces`: a later notice of the same word takes this one's place on the screen."""

    summary: str
    body: str
    icon: State
    urgency: int
    replaces: str


class Thresholds:
    """Those that were told already, by day and period."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str, float, float], None] = {}

    def crossed(self, period: str, fraction: float, spent_usd: float, limit_usd: float, day: str) -> Notice | None:
        """`day` is 2026-11-29. None where it was told before."""
        since = day if period == "day" else day[:7]
        key = (period, since, fraction, limit_usd)
        if key in self._told:
            return None
        self._told[key] = None
        while len(self._told) > _MOST_TOLD:
            del self._told[next(iter(self._told))]
        summary = _(_PERIODS.get(period, N_("{share} of a budget is used"))).format(share=f"{fraction:.0%}")
        spent, limit = usd(round(spent_usd * _NANO)), usd(round(limit_usd * _NANO))
        body = _("You have spent {spent} of {limit}.").format(spent=spent, limit=limit)
        full = fraction >= 1
        state, urgency = (State.OVER, _CRITICAL) if full else (State.WARN, _NORMAL)
        return Notice(summary, body, state, urgency, f"budget-{period}")


class Outages:
    """Providers that are down. Times are of one monotonic clock, in seconds."""

    def __init__(self, down_s: float = DOWN_S) -> None:
        self._down_s = down_s
        self._since: dict[str, float] = {}
        self._told: set[str] = set()

    def state(self, provider: str, state: str, now: float) -> Notice | None:
        """A provider's state; the notice of its return where it was told to be down."""
        if state == _DOWN:
            self._since.setdefault(provider, now)
            return None
        if state not in (_UP, _GONE):
            return None
        self._since.pop(provider, None)
        was_told = provider in self._told
        self._told.discard(provider)
        if not was_told or state == _GONE:
            return None
        summary = _("{provider} is back").format(provider=provider)
        return Notice(summary, _("Requests go to it again."), State.OK, _NORMAL, f"provider-{provider}")

    def states(self, providers: tuple[Provider, ...], now: float) -> list[Notice]:
        """All of them; what is not in it any more is forgotten."""
        names = {provider.name for provider in providers}
        self._since = {name: since for name, since in self._since.items() if name in names}
        self._told &= names
        notices = [self.state(provider.name, provider.state, now) for provider in providers]
        return [notice for notice in notices if notice]

    def router_away(self) -> None:
        """Nobody knows how providers are: the minute begins anew when the router is back."""
        self._since.clear()

    def due(self, now: float) -> list[Notice]:
        """The notices of those that have been down for long enough, each once."""
        found = [name for name, since in self._since.items() if name not in self._told and now - since >= self._down_s]
        self._told.update(found)
        return [self._notice(name) for name in found]

    def due_in(self, now: float) -> float | None:
        """Seconds until the next of due(); None where nothing is to come."""
        waits = [since + self._down_s - now for name, since in self._since.items() if name not in self._told]
        return max(0.0, min(waits)) if waits else None

    def _notice(self, name: str) -> Notice:
        summary = _("{provider} has been down for over a minute").format(provider=name)
        body = _("Others are asked first until it answers again. See: cortexctl providers")
        return Notice(summary, body, State.WARN, _NORMAL, f"provider-{name}")

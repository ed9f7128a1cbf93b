"""Who hears which signal: costs go to their own user's subscribers, totals to everybody, at most four a second."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cortexd.accounts import thresholds_crossed
from cortexd.accounts.holds import HoldEnd, HoldView
from cortexd.authority import Caller
from cortexd.bus import replies
from cortexd.bus.totals import PublicTotals
from cortexd.config import Config
from cortexd.connection import Connection, Message, Variant, signal, wire
from cortexd.domain.apps import APP
from cortexd.domain.money import to_usd
from cortexd.errors import InvalidArgument, RateLimited, RequestNotFound
from cortexd.ledger import BudgetChange, Period, Totals
from cortexd.requests.events import CostEvent

log = logging.getLogger("cortexd.watchers")

_FILTERS = ("task_type", "provider")
_MAX_WORD = 64  # a filter is kept as long as its connection
_INTERVAL_S = 0.25


@dataclass(slots=True)
class Subscription:
    connection: str
    uid: int
    filter: dict[str, str]
    sequence: int = 0

    def wants(self, event: CostEvent) -> bool:
        if event.uid != self.uid:
            return False
        found = {"task_type": event.task_type.value, "provider": event.provider}
        return all(found[key] == value for key, value in self.filter.items())


class Signals:
    """Subscriptions and the throttled broadcasts. At most limits.max_subscribers; one user may hold half of them."""

    def __init__(
        self,
        connection: Connection,
        config: Callable[[], Config],
        totals: PublicTotals,
        active: Callable[[], int],
    ) -> None:
        self.totals = totals
        self._connection = connection
        self._config = config
        self._active = active
        self._subscriptions: dict[int, Subscription] = {}
        self._next_id = 1
        self._published = totals.seen()
        self._published_active = 0
        self._sent_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._counting: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._subscriptions)

    def subscribe(self, caller: Caller, wanted: dict[str, Any]) -> int:
        """A new subscription's id. Raises InvalidArgument or RateLimited."""
        for key, value in wanted.items():
            if key not in _FILTERS:
                raise InvalidArgument(f"filter.{key}: unknown key; expected one of {', '.join(_FILTERS)}")
            if not isinstance(value, str) or len(value) > _MAX_WORD:
                raise InvalidArgument(f"filter.{key}: expected text of at most {_MAX_WORD} characters")
        limits = self._config().limits
        held = self._subscriptions.values()
        if (
            sum(item.connection == caller.connection for item in held) >= limits.max_subscriptions_per_connection
            or sum(item.uid == caller.uid for item in held) >= max(1, limits.max_subscribers // 2)
            or len(held) >= limits.max_subscribers
        ):
            raise RateLimited("There are too many subscriptions. End one with Unsubscribe.", retry_after_ms=1000)
        number, self._next_id = self._next_id, self._next_id % 0xFFFFFFFF + 1
        self._subscriptions[number] = Subscription(caller.connection, caller.uid, wanted)
        return number

    def unsubscribe(self, caller: Caller, number: int) -> None:
        found = self._subscriptions.get(number)
        if found is None or found.connection != caller.connection:
            raise RequestNotFound(f"no subscription {number} on this connection")
        del self._subscriptions[number]

    def forget(self, connection: str) -> None:
        """A connection left the bus."""
        for number in [key for key, item in self._subscriptions.items() if item.connection == connection]:
            del self._subscriptions[number]

    def cost_incurred(self, event: CostEvent) -> None:
        self.totals.spent(event.uid, event.settled.cost_nano)
        for number, item in self._subscriptions.items():
            if item.wants(event):
                item.sequence += 1
                self._connection.send(_cost_signal(number, item, event))
        for change in event.settled.budgets:
            self._budget_changed(event.uid, change)

    def hold(self, told: HoldView | HoldEnd) -> None:
        """A question to a user about his own cap, or its end: to his own subscribers."""
        if isinstance(told, HoldView):
            details = wire.dictionary(replies.hold(told))
            name, signature = "BudgetHeld", "sda{sv}"
            body: list[Any] = [told.hold_id, to_usd(told.nano), details]
        else:
            name, signature, body = "HoldEnded", "ss", [told.hold_id, told.answer]
        for connection in self._connections_of(told.uid):
            self._connection.send(_signal(wire.INTERFACE, name, signature, body, connection))

    def period_started(self, period: Period) -> None:
        """A new day or month has begun on this machine."""
        self._connection.send(_signal(wire.INTERFACE, "PeriodStarted", "s", [period.value]))

    def provider_state(self, provider: str, state: str, last_failure: str) -> None:
        details = wire.dictionary({"last_failure": last_failure or None})
        body = [wire.string(provider), state, details]
        self._connection.send(_signal(wire.INTERFACE, "ProviderStateChanged", "ssa{sv}", body))

    def configuration_changed(self) -> None:
        """A reload: the totals may be shown in another form, the list of providers may be another one."""
        self.close()
        self._count()
        self._properties_changed({"Providers": Variant("as", list(self._config().providers))})

    def activity(self) -> None:
        """A request began or ended: publish what changed, soon; what it cost, where that is due later, then."""
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._timer = loop.call_later(max(0.0, self._sent_at + _INTERVAL_S - time.monotonic()), self._publish)
        if self._counting is None and (due_s := self.totals.due_s) is not None:
            self._counting = loop.call_later(due_s, self._count)

    def close(self) -> None:
        for timer in (self._timer, self._counting):
            if timer is not None:
                timer.cancel()
        self._timer = self._counting = None

    def _budget_changed(self, uid: int, change: BudgetChange) -> None:
        """Tell each threshold that was crossed: to the user's own subscribers; in the log where it is others' too."""
        limit = change.limit
        for fraction in thresholds_crossed(change, self._config().budgets.thresholds):
            if limit.scope == APP:  # the signal has no word for a part of what its user may spend
                whose = f"uid {uid}'s {limit.name}"
                log.info("%g %% of the budget of %s for this %s is used", fraction * 100, whose, limit.period)
                continue
            if not limit.personal:
                whose = f"{limit.scope} {limit.name}".strip()
                log.warning("%g %% of the %s's budget for this %s is used", fraction * 100, whose, limit.period)
                continue
            body = [limit.period.value, fraction, to_usd(change.after_nano), to_usd(limit.nano)]
            for connection in self._connections_of(uid):
                self._connection.send(_signal(wire.INTERFACE, "BudgetThreshold", "sddd", body, connection))

    def _connections_of(self, uid: int) -> set[str]:
        """Of a user's subscribers."""
        return {item.connection for item in self._subscriptions.values() if item.uid == uid}

    def _count(self) -> None:
        self._counting = None
        self.totals.count()
        self._publish()

    def _publish(self) -> None:
        self._timer = None
        self._sent_at = time.monotonic()
        totals = self.totals.seen()
        changed: dict[str, Variant] = {}
        if totals != self._published:
            self._published = totals
            changed = self._totals_changed(totals)
        active = self._active()
        if active != self._published_active:
            self._published_active = active
            changed["ActiveRequests"] = Variant("u", active)
        if changed:
            self._properties_changed(changed)

    def _properties_changed(self, changed: dict[str, Variant]) -> None:
        body = [wire.INTERFACE, changed, []]
        self._connection.send(_signal("org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as", body))

    def _totals_changed(self, totals: Totals) -> dict[str, Variant]:
        usd, requests = to_usd(totals.total_cost_nano), wire.unsigned(totals.total_requests)
        details = wire.dictionary({"total_cost_nano_usd": totals.total_cost_nano} if self.totals.exact else {})
        self._connection.send(_signal(wire.INTERFACE, "TotalsChanged", "tda{sv}", [requests, usd, details]))
        return {"TotalRequests": Variant("t", requests), "TotalCostUsd": Variant("d", usd)}


def _signal(interface: str, member: str, signature: str, body: list[Any], destination: str | None = None) -> Message:
    return signal(wire.OBJECT_PATH, interface, member, signature, body, destination)


def _cost_signal(number: int, item: Subscription, event: CostEvent) -> Message:
    body = [
        event.request_id,
        event.task_type.value,
        wire.string(event.provider),
        wire.string(event.model),
        to_usd(event.settled.cost_nano),
        wire.dictionary(replies.cost_details(event.settled, number, item.sequence)),
    ]
    return _signal(wire.INTERFACE, "CostIncurred", "ssssda{sv}", body, item.connection)

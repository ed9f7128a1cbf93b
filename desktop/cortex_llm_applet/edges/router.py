"""The router: followed by the owner of its name, never started. Calls go to that owner's unique name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from gi.repository import Gio, GLib

from cortex_llm_applet import wire_facts as wire
from cortex_llm_applet.edges.calls import PROPERTIES, Watches, call
from cortex_llm_applet.edges.timers import Timer
from cortex_llm_applet.logic.clock import is_wrong, later_days
from cortex_llm_applet.logic.failures import Failure
from cortex_llm_applet.logic.model import Model

_LATER_S = 0.5
_DENIED = frozenset(
    {
        "org.freedesktop.DBus.Error.AccessDenied",
        "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
    }
)


class Router:
    """Puts what the router on `bus` says into `model`; `changed` hears of it, `came` and `left` of its owner.

    `made_at`: when this software was made.
    """

    def __init__(
        self,
        bus: Gio.DBusConnection,
        model: Model,
        changed: Callable[[], None],
        came: Callable[[], None],
        left: Callable[[], None],
        made_at: datetime,
    ) -> None:
        self._bus, self._model, self._made_at = bus, model, made_at
        self._changed, self._came, self._left = changed, came, left
        self._watches = Watches(bus)
        self._owner = ""
        self._subscription = 0
        self._subscribing = False
        self._early: list[tuple[Any, ...]] = []
        self._asking = 0
        self._ask_again = False
        self._asked: list[Callable[[], None]] = []
        self._later = Timer(self.refresh)
        self._asked_later: set[str] = set()
        self._watching = Gio.bus_watch_name_on_connection(
            bus, wire.BUS_NAME, Gio.BusNameWatcherFlags.NONE, self._appeared, self._vanished
        )

    def close(self) -> None:
        self._later.set(None)
        Gio.bus_unwatch_name(self._watching)
        self._watches.end()
        self._owner = ""

    def call(
        self,
        method: str,
        arguments: tuple[Any, ...],
        done: Callable[..., None],
        failed: Callable[[Failure], None] = lambda _failure: None,
    ) -> None:
        """What the owner of now answers; the answer of one that has left meanwhile is nobody's."""
        owner = self._owner
        interface, signature = wire.METHODS[method]
        call(
            self._bus,
            (owner, wire.OBJECT_PATH, interface),
            method,
            GLib.Variant(signature, arguments),
            lambda *values: done(*values) if owner == self._owner else None,
            lambda error: failed(error) if owner == self._owner else None,
        )

    def read(self, name: str, done: Callable[[Any], None], failed: Callable[[Failure], None]) -> None:
        """A property of wire.INTERFACE; as call()."""
        owner = self._owner
        call(
            self._bus,
            (owner, wire.OBJECT_PATH, PROPERTIES),
            "Get",
            GLib.Variant("(ss)", (wire.INTERFACE, name)),
            lambda value: done(value) if owner == self._owner else None,
            lambda error: failed(error) if owner == self._owner else None,
        )

    def refresh(self, then: Callable[[], None] | None = None) -> None:
        """Ask how budgets, running requests and ledger stand; `then` is called when that is known, or is not to be had.

        While one round is under way the next waits for its end.
        """
        if then:
            self._asked.append(then)
        if not self._owner:
            self._asked_all()
        elif self._asking:
            self._ask_again = True
        else:
            self._ask("GetBudget", self._model.budgets)
            self._ask("GetStats", self._model.stats)
            self._ask("ListRequests", self._listed)

    def _appeared(self, _bus: Any, _name: str, owner: str) -> None:
        self._watches.end()
        self._owner, self._asking, self._ask_again, self._subscription = owner, 0, False, 0
        self._listen()
        self._model.router_there()
        self._came()
        self._subscribe()
        self._ask_providers()
        self._check_clock()
        self.refresh()
        self._changed()

    def _vanished(self, _bus: Any, _name: str) -> None:
        self._later.set(None)
        self._watches.end()
        self._owner, self._asking, self._ask_again = "", 0, False
        self._asked_all()
        self._model.router_away()
        self._left()
        self._changed()

    def _listen(self) -> None:
        ours = (self._owner, wire.OBJECT_PATH, wire.INTERFACE)
        self._watches.add(ours, "CostIncurred", self._cost, unicast=True)
        self._watches.add(ours, "BudgetThreshold", self._threshold, unicast=True)
        self._watches.add(ours, "ProviderStateChanged", self._provider_state)
        self._watches.add(ours, "PeriodStarted", self._period)
        properties = (self._owner, wire.OBJECT_PATH, PROPERTIES)
        self._watches.add(properties, "PropertiesChanged", self._properties, arg0=wire.INTERFACE)

    def _subscribe(self) -> None:
        """Subscribe, and let go of an earlier subscription: the snapshot says where the sums are now.

        Costs of the new subscription may come before its number does; they count after the snapshot.
        """
        before, self._subscribing, self._early = self._subscription, True, []

        def subscribed(number: int, snapshot: dict[str, Any]) -> None:
            self._subscription, self._subscribing = number, False
            self._model.snapshot(snapshot)
            for early in self._early:
                self._cost(*early)
            self._early = []
            self._changed()
            if before:
                self.call("Unsubscribe", (before,), lambda: None)

        self.call("Subscribe", ({},), subscribed, self._refused)

    def _refused(self, error: str) -> None:
        if error in _DENIED:
            self._model.refused()
            self._changed()

    def _cost(self, request_id: str, task: str, provider: str, model: str, usd: float, details: dict[str, Any]) -> None:
        number = details.get("subscription")
        if self._subscribing and number != self._subscription:
            self._early.append((request_id, task, provider, model, usd, details))
        elif number == self._subscription:
            self._model.cost(request_id, task, provider, model, details)
            self._changed()
            self.refresh()

    def _threshold(self, period: str, fraction: float, spent_usd: float, limit_usd: float) -> None:
        self._model.threshold(period, fraction, spent_usd, limit_usd)
        self._changed()

    def _provider_state(self, name: str, state: str, details: dict[str, Any]) -> None:
        self._model.provider_state(name, state, str(details.get("last_failure", "")))
        self._changed()
        if state == "unconfigured":
            self._ask_providers()

    def _period(self, _period: str) -> None:
        self._subscribe()
        self._check_clock()
        self.refresh()

    def _properties(self, _interface: str, changed: dict[str, Any], _invalidated: list[str]) -> None:
        if "Providers" in changed:
            self._ask_providers()
        if "ActiveRequests" in changed:
            self.refresh()

    def _ask_providers(self) -> None:
        def listed(rows: list[dict[str, Any]]) -> None:
            self._model.providers(rows)
            self._changed()

        self.call("ListProviders", (), listed)

    def _listed(self, rows: list[dict[str, Any]]) -> None:
        """No signal says whom a request that begins is going to: it is asked once more, a moment later."""
        self._model.running(rows)
        nameless = {request.request_id for request in self._model.view.running if not request.provider}
        if nameless - self._asked_later:
            self._later.set(_LATER_S)
        self._asked_later = nameless

    def _check_clock(self) -> None:
        now = datetime.now().astimezone()
        since, until = later_days(now.date())

        def summed(rows: list[dict[str, Any]]) -> None:
            later = any(row.get("requests", 0) for row in rows)
            self._model.clock(is_wrong(now, self._made_at, later))
            self._changed()

        self.call("GetUsage", ({"since": GLib.Variant("s", since), "until": GLib.Variant("s", until)},), summed)

    def _ask(self, method: str, learnt: Callable[..., None]) -> None:
        self._asking += 1

        def answered(*values: Any) -> None:
            learnt(*values)
            self._one_answered()

        self.call(method, (), answered, lambda _error: self._one_answered())

    def _one_answered(self) -> None:
        self._asking -= 1
        if self._asking:
            return
        self._changed()
        if self._ask_again:
            self._ask_again = False
            self.refresh()
        else:
            self._asked_all()

    def _asked_all(self) -> None:
        waiting, self._asked = self._asked, []
        for then in waiting:
            then()

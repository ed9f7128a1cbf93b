"""What the router and its machine say, live: the model that panel and window show. It polls nothing, starts nobody, and
follows the router and its bus as they go and come back."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from gi.repository import Gio, GLib

from cortex_llm_applet.edges.machine import Permission, Unit, on_wake_up
from cortex_llm_applet.edges.router import Router
from cortex_llm_applet.edges.timers import Timer
from cortex_llm_applet.logic.clock import seconds_to_midnight
from cortex_llm_applet.logic.failures import Failure
from cortex_llm_applet.logic.model import Model
from cortex_llm_applet.logic.notices import Notice
from cortex_llm_applet.logic.view import Absence, Service, View

log = logging.getLogger("cortex-llm-applet")
_BUSES = {"system": Gio.BusType.SYSTEM, "session": Gio.BusType.SESSION}
_FIRST_RETRY_S, _LONGEST_RETRY_S = 1.0, 60.0
_FLAGS = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION


class Machine:
    """All that stands on one connection to the router's bus."""

    def __init__(self, bus: Gio.DBusConnection, live: Live, made_at: datetime) -> None:
        self._unit = Unit(bus, live.on_absence)
        self._permission = Permission(bus, live.on_permission)
        self._wake_up = on_wake_up(bus, live.on_midnight)
        self.router = Router(bus, live.model, live.changed, self._came, self._left, made_at)
        self._live = live

    def close(self) -> None:
        self.router.close()
        self._unit.rest()
        self._permission.close()
        self._wake_up.end()

    def _came(self) -> None:
        self._unit.rest()
        self._permission.ask()
        self._live.on_came()

    def _left(self) -> None:
        self._unit.watch()
        self._live.on_left()


class Live:
    """`router_bus`: system, session or a D-Bus address. `made_at`: when this software was made. `changed` hears that
    `view` may be another one, `tell` of each notice."""

    def __init__(
        self,
        router_bus: str,
        made_at: datetime,
        changed: Callable[[], None],
        tell: Callable[[Notice], None] = lambda _notice: None,
    ) -> None:
        self._router_bus, self._made_at = router_bus, made_at
        self.changed = changed
        self._machine: Machine | None = None
        self._retry_s = _FIRST_RETRY_S
        self._midnight = Timer(self.on_midnight)
        self._reconnect = Timer(self.start)
        self.model = Model(time.monotonic, date.today, tell)

    @property
    def view(self) -> View:
        return self.model.view

    def start(self) -> None:
        address = self._router_bus
        try:
            if address in _BUSES:
                address = Gio.dbus_address_get_for_bus_sync(_BUSES[address], None)
        except GLib.Error as error:
            self._not_connected(error)
            return
        Gio.DBusConnection.new_for_address(address, _FLAGS, None, None, self._connected)

    def cancel(self, request_id: str) -> None:
        self.ask("Cancel", (request_id,))

    def refresh(self, then: Callable[[], None]) -> None:
        """`then` is called when budgets, running requests and ledger are known anew, or are not to be had."""
        if self._machine:
            self._machine.router.refresh(then)
        else:
            then()

    def ask(
        self,
        method: str,
        arguments: tuple[Any, ...],
        done: Callable[..., None] = lambda *_values: None,
        failed: Callable[[Failure], None] = lambda _failure: None,
    ) -> None:
        """Call a method of the router, by its name in wire_facts; dictionaries hold GLib.Variants.

        `done` gets the reply's values, `failed` the error, which has no name where no router is there to say.
        """
        if self._machine and self.view.service is Service.THERE:
            self._machine.router.call(method, arguments, done, failed)
        else:
            failed(Failure())

    def read(self, name: str, done: Callable[[Any], None], failed: Callable[[Failure], None]) -> None:
        """A property of the router's first interface."""
        if self._machine and self.view.service is Service.THERE:
            self._machine.router.read(name, done, failed)
        else:
            failed(Failure())

    def on_absence(self, absence: Absence) -> None:
        self.model.absence(absence)
        self.changed()

    def on_permission(self, allowed: bool | None) -> None:
        self.model.allowed(allowed)
        self.changed()

    def on_came(self) -> None:
        self._midnight.set(None)

    def on_left(self) -> None:
        """Only while the router is away does anybody have to look at the clock: else it says when a day begins."""
        self._midnight.set(seconds_to_midnight(datetime.now()))

    def on_midnight(self) -> None:
        if self.model.day_over():
            self.changed()
        if self.view.service is not Service.THERE:
            self.on_left()

    def _connected(self, _source: Any, result: Gio.AsyncResult) -> None:
        try:
            bus = Gio.DBusConnection.new_for_address_finish(result)
        except GLib.Error as error:
            self._not_connected(error)
            return
        self._retry_s = _FIRST_RETRY_S
        bus.connect("closed", self._bus_closed)
        self._machine = Machine(bus, self, self._made_at)

    def _not_connected(self, error: GLib.Error) -> None:
        log.debug("the router's bus: %s", error.message)
        self._lose_bus()

    def _bus_closed(self, _bus: Any, _vanished: bool, _error: Any) -> None:
        self._lose_bus()

    def _lose_bus(self) -> None:
        """Without a bus no signal can say that it is back: it is tried again, less and less often."""
        if self._machine:
            self._machine.close()
            self._machine = None
        self.model.router_away(Service.NO_BUS)
        self._reconnect.set(self._retry_s)
        self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)
        self.changed()

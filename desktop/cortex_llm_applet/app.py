"""The applet: the router's events go into the model, the model's picture goes to the panel."""

from __future__ import annotations

import contextlib
import logging
import signal
import time
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from gi.repository import Gio, GLib

from cortex_llm_applet.edges.item import Item
from cortex_llm_applet.edges.machine import Permission, Unit, on_wake_up
from cortex_llm_applet.edges.menu import Menu
from cortex_llm_applet.edges.notifier import Notifier
from cortex_llm_applet.edges.orders import arguments_of
from cortex_llm_applet.edges.router import Router
from cortex_llm_applet.logic.clock import seconds_to_midnight
from cortex_llm_applet.logic.menu import QUIT
from cortex_llm_applet.logic.model import Model
from cortex_llm_applet.logic.orders import Order
from cortex_llm_applet.logic.pacing import Pacer
from cortex_llm_applet.logic.view import Absence, Service

log = logging.getLogger("cortex-llm-applet")
_BUSES = {"system": Gio.BusType.SYSTEM, "session": Gio.BusType.SESSION}
_FIRST_RETRY_S, _LONGEST_RETRY_S = 1.0, 60.0
_FLAGS = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION


class Timer:
    """One call after a while, or none."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._source = 0

    def set(self, seconds: float | None) -> None:
        """None: not at all."""
        if self._source:
            GLib.source_remove(self._source)
            self._source = 0
        if seconds is not None:
            self._source = GLib.timeout_add(round(seconds * 1000), self._rang)

    def _rang(self) -> bool:
        self._source = 0
        self._ring()
        return bool(GLib.SOURCE_REMOVE)


class Surface:
    """Something that is drawn at its own pace; `draw` says whether it told anybody of a change."""

    def __init__(self, draw: Callable[[], bool]) -> None:
        self._draw = draw
        self._pacer = Pacer()
        self._timer = Timer(self.draw)

    def changed(self) -> None:
        delay_s = self._pacer.wanted(time.monotonic())
        if delay_s is not None:
            self._timer.set(delay_s)

    def draw(self) -> None:
        told = self._draw()
        self._pacer.drew(time.monotonic(), told=told)


class Machine:
    """All that stands on one connection to the router's bus."""

    def __init__(self, bus: Gio.DBusConnection, applet: Applet, made_at: datetime) -> None:
        self._unit = Unit(bus, applet.on_absence)
        self._permission = Permission(bus, applet.on_permission)
        self._wake_up = on_wake_up(bus, applet.on_midnight)
        self.router = Router(bus, applet.model, applet.changed, self._came, self._left, made_at)
        self._applet = applet

    def close(self) -> None:
        self.router.close()
        self._unit.rest()
        self._permission.close()
        self._wake_up.end()

    def _came(self) -> None:
        self._unit.rest()
        self._permission.ask()
        self._applet.on_came()

    def _left(self) -> None:
        self._unit.watch()
        self._applet.on_left()


class Applet:
    """`router_bus`: system, session or a D-Bus address. `icons`: as Item's. Raises GLib.Error without a session bus."""

    def __init__(self, router_bus: str, icons: str, made_at: datetime, *, symbolic: bool) -> None:
        self._router_bus, self._made_at = router_bus, made_at
        self._loop = GLib.MainLoop()
        self._machine: Machine | None = None
        self._retry_s = _FIRST_RETRY_S
        self._session = session = Gio.bus_get_sync(Gio.BusType.SESSION, None)  # ends the process when the session does
        self._notifier = Notifier(session, icons, self._pressed)
        self.model = Model(time.monotonic, date.today, self._notifier.tell)
        # each for itself: a request that begins changes the menu, and shall not hold up the label when it has ended
        self._surfaces = (Surface(self._draw_item), Surface(self._draw_menu))
        self._outage = Timer(self._outage_due)
        self._pause = Timer(self._pause_over)
        self._midnight = Timer(self.on_midnight)
        self._reconnect = Timer(self._connect)
        picture = self.model.picture()
        self._menu = Menu(session, picture.menu, self._clicked, self._menu_opened, self._about_to_show)
        self._item = Item(session, picture, icons, symbolic=symbolic)

    def run(self) -> None:
        """Until Quit, SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self._loop.quit())  # which wakes the loop in PyGObject
        self._connect()
        self._loop.run()
        self._notifier.standing.close()
        with contextlib.suppress(GLib.Error):  # the session may have gone first
            self._session.flush_sync(None)  # or the click on Quit would have no answer

    def changed(self) -> None:
        """Draw soon. A provider that went down, or came back, changes when a notice is due; so does a pause its end."""
        self._outage.set(self.model.outages.due_in(time.monotonic()))
        for surface in self._surfaces:
            surface.changed()
        self._pause.set(self.model.pause_left_s(datetime.now().astimezone()))
        self._notifier.ask(self.model.question())

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
        if self.model.view.service is not Service.THERE:
            self.on_left()

    def _connect(self) -> None:
        address = self._router_bus
        try:
            if address in _BUSES:
                address = Gio.dbus_address_get_for_bus_sync(_BUSES[address], None)
        except GLib.Error as error:
            self._not_connected(error)
            return
        Gio.DBusConnection.new_for_address(address, _FLAGS, None, None, self._connected)

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

    def _draw_item(self) -> bool:
        return self._item.show(self.model.picture())

    def _draw_menu(self) -> bool:
        return self._menu.show(self.model.picture().menu)

    def _outage_due(self) -> None:
        self.model.outages_due()
        self.changed()

    def _clicked(self, id: int) -> None:
        if id == QUIT:
            self._loop.quit()
            return
        if order := self.model.order_of(id):
            self._give(order)

    def _pressed(self, order: Order) -> None:
        self._give(order, lambda _error: self._notifier.standing.again())

    def _give(self, order: Order, failed: Callable[[str], None] = lambda _error: None) -> None:
        """What it changes shows once it is done."""
        if self._machine and self.model.view.service is Service.THERE:
            router = self._machine.router
            router.call(order.method, arguments_of(order), lambda *_values: router.refresh(), failed)

    def _pause_over(self) -> None:
        self.model.pause_over()
        self.changed()
        self._about_to_show(lambda: None)

    def _menu_opened(self, is_open: bool) -> None:
        self.model.menu(open=is_open)
        self.changed()

    def _about_to_show(self, then: Callable[[], None]) -> None:
        """A panel shows the menu when it has the answer."""

        def fresh() -> None:
            self._draw_menu()
            then()

        if self._machine:
            self._machine.router.refresh(fresh)
        else:
            fresh()

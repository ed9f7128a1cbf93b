"""The applet: the router's events go into the model, the model's picture goes to the panel."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from datetime import datetime

from gi.repository import Gio, GLib

from cortex_llm_applet.edges.item import Item
from cortex_llm_applet.edges.live import Live
from cortex_llm_applet.edges.menu import Menu
from cortex_llm_applet.edges.notifier import Notifier
from cortex_llm_applet.edges.orders import arguments_of
from cortex_llm_applet.edges.timers import Surface, Timer
from cortex_llm_applet.edges.window import can_open, open_window
from cortex_llm_applet.installed import WINDOW
from cortex_llm_applet.logic.failures import Failure
from cortex_llm_applet.logic.menu import OPEN, QUIT
from cortex_llm_applet.logic.orders import Order


class Applet:
    """`router_bus` and `made_at`: as Live's. `icons`: as Item's. Raises GLib.Error without a session bus."""

    def __init__(self, router_bus: str, icons: str, made_at: datetime, *, symbolic: bool) -> None:
        self._loop = GLib.MainLoop()
        self._router_bus = router_bus
        self._session = session = Gio.bus_get_sync(Gio.BusType.SESSION, None)  # ends the process when the session does
        self._notifier = Notifier(session, icons, self._pressed)
        self._live = Live(router_bus, made_at, self.changed, self._notifier.tell)
        self._model = self._live.model
        self._model.has_window(can_open(WINDOW))
        # each for itself: a request that begins changes the menu, and shall not hold up the label when it has ended
        self._surfaces = (Surface(self._draw_item), Surface(self._draw_menu))
        self._outage = Timer(self._outage_due)
        self._pause = Timer(self._pause_over)
        picture = self._model.picture()
        self._menu = Menu(session, picture.menu, self._clicked, self._menu_opened, self._about_to_show)
        self._item = Item(session, picture, icons, symbolic=symbolic)

    def run(self) -> None:
        """Until Quit, SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self._loop.quit())  # which wakes the loop in PyGObject
        self._live.start()
        self._loop.run()
        self._notifier.standing.close()
        with contextlib.suppress(GLib.Error):  # the session may have gone first
            self._session.flush_sync(None)  # or the click on Quit would have no answer

    def changed(self) -> None:
        """Draw soon. A provider that went down, or came back, changes when a notice is due; so does a pause its end."""
        self._outage.set(self._model.outages.due_in(time.monotonic()))
        for surface in self._surfaces:
            surface.changed()
        self._pause.set(self._model.pause_left_s(datetime.now().astimezone()))
        self._notifier.ask(self._model.question())

    def _draw_item(self) -> bool:
        return self._item.show(self._model.picture())

    def _draw_menu(self) -> bool:
        return self._menu.show(self._model.picture().menu)

    def _outage_due(self) -> None:
        self._model.outages_due()
        self.changed()

    def _clicked(self, id: int) -> None:
        if id == QUIT:
            self._loop.quit()
            return
        if id == OPEN:
            open_window(WINDOW, self._router_bus)
            return
        if order := self._model.order_of(id):
            self._give(order)

    def _pressed(self, order: Order) -> None:
        self._give(order, lambda _failure: self._notifier.standing.again())

    def _give(self, order: Order, failed: Callable[[Failure], None] = lambda _failure: None) -> None:
        """What it changes shows once it is done."""
        self._live.ask(order.method, arguments_of(order), lambda *_values: self._about_to_show(lambda: None), failed)

    def _pause_over(self) -> None:
        self._model.pause_over()
        self.changed()
        self._about_to_show(lambda: None)

    def _menu_opened(self, is_open: bool) -> None:
        self._model.menu(open=is_open)
        self.changed()

    def _about_to_show(self, then: Callable[[], None]) -> None:
        """A panel shows the menu when it has the answer."""

        def fresh() -> None:
            self._draw_menu()
            then()

        self._live.refresh(fresh)

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
from cortex_llm_applet.edges.timers import Surface, Timer
from cortex_llm_applet.edges.window import can_open, open_window
from cortex_llm_applet.installed import WINDOW
from cortex_llm_applet.logic.menu import OPEN, QUIT, slot_of


class Applet:
    """`router_bus` and `made_at`: as Live's. `icons`: as Item's. Raises GLib.Error without a session bus."""

    def __init__(self, router_bus: str, icons: str, made_at: datetime, *, symbolic: bool) -> None:
        self._loop = GLib.MainLoop()
        self._router_bus = router_bus
        self._session = session = Gio.bus_get_sync(Gio.BusType.SESSION, None)  # ends the process when the session does
        self._notifier = Notifier(session, icons)
        self._live = Live(router_bus, made_at, self.changed, self._notifier.tell)
        self._model = self._live.model
        self._model.has_window(can_open(WINDOW))
        # each for itself: a request that begins changes the menu, and shall not hold up the label when it has ended
        self._surfaces = (Surface(self._draw_item), Surface(self._draw_menu))
        self._outage = Timer(self._outage_due)
        picture = self._model.picture()
        self._menu = Menu(session, picture.menu, self._clicked, self._menu_opened, self._about_to_show)
        self._item = Item(session, picture, icons, symbolic=symbolic)

    def run(self) -> None:
        """Until Quit, SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self._loop.quit())  # which wakes the loop in PyGObject
        self._live.start()
        self._loop.run()
        with contextlib.suppress(GLib.Error):  # the session may have gone first
            self._session.flush_sync(None)  # or the click on Quit would have no answer

    def changed(self) -> None:
        """Draw soon. A provider that went down, or came back, changes when a notice is due."""
        self._outage.set(self._model.outages.due_in(time.monotonic()))
        for surface in self._surfaces:
            surface.changed()

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
        slot = slot_of(id)
        request = None if slot is None else self._model.request_in(slot)
        if request:
            self._live.cancel(request)

    def _menu_opened(self, is_open: bool) -> None:
        self._model.menu(open=is_open)
        self.changed()

    def _about_to_show(self, then: Callable[[], None]) -> None:
        """A panel shows the menu when it has the answer."""

        def fresh() -> None:
            self._draw_menu()
            then()

        self._live.refresh(fresh)

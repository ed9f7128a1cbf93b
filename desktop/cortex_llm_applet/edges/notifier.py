"""Notifications. Of several applets in one session only that speaks which owns a name on the session bus; when it
leaves, the next in the queue does."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from gi.repository import Gio, GLib

from cortex_llm_applet.edges.calls import call
from cortex_llm_applet.edges.standing import APPLICATION, SERVER, Standing
from cortex_llm_applet.logic.holds import Question
from cortex_llm_applet.logic.notices import Notice
from cortex_llm_applet.logic.orders import Order
from cortex_llm_applet.logic.picture import icon_name
from cortex_llm_applet.logic.portal import FLATPAK, icon_of, is_sandboxed, texts_of
from cortex_llm_applet.logic.trouble import State

SPEAKER = "org.cortexlinux.LLMApplet.Notifier"
_PORTAL = (
    "org.freedesktop.portal.Desktop",
    "/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.Notification",
)
_SERVERS_OWN_TIME = -1
_MOST_REMEMBERED = 64


class Notifier:
    """`icons`: as Item's. `pressed` gets the order of a button."""

    def __init__(self, session: Gio.DBusConnection, icons: str, pressed: Callable[[Order], None]) -> None:
        self._session, self._icons = session, icons
        sandboxed = is_sandboxed(os.environ, flatpak=os.path.exists(FLATPAK))
        self._tell = self._ask_portal if sandboxed else self._ask_server
        self._speaks = False
        self._shown: dict[str, int] = {}
        self._question: Question | None = None
        self.standing = Standing(session, self._icon(State.OVER), pressed)
        Gio.bus_own_name_on_connection(session, SPEAKER, Gio.BusNameOwnerFlags.NONE, self._acquired, self._lost)

    def tell(self, notice: Notice) -> None:
        """The server may be started for it: that one is the session's, and without it nobody would see the notice."""
        if self._speaks:
            self._tell(notice)

    def _ask_portal(self, notice: Notice) -> None:
        """It replaces an earlier one of the same id by itself."""
        kind, names = icon_of(notice)
        values = {key: GLib.Variant("s", text) for key, text in texts_of(notice).items()}
        values["icon"] = GLib.Variant("(sv)", (kind, GLib.Variant("as", names)))
        arguments = GLib.Variant("(sa{sv})", (notice.replaces, values))
        call(self._session, _PORTAL, "AddNotification", arguments, lambda: None, may_start=True)

    def _ask_server(self, notice: Notice) -> None:
        hints = {"urgency": GLib.Variant("y", notice.urgency), "desktop-entry": GLib.Variant("s", APPLICATION)}
        replaced, icon = self._shown.get(notice.replaces, 0), self._icon(notice.icon)
        arguments: tuple[Any, ...] = (
            "cortexd",
            replaced,
            icon,
            notice.summary,
            notice.body,
            [],
            hints,
            _SERVERS_OWN_TIME,
        )
        call(
            self._session, SERVER, "Notify", GLib.Variant("(susssasa{sv}i)", arguments),
            lambda number: self._remember(notice.replaces, number), may_start=True,
        )  # fmt: skip

    def ask(self, question: Question | None) -> None:
        """What is to be asked now, as often as one likes."""
        self._question = question
        self.standing.show(question if self._speaks else None)

    def _icon(self, state: State) -> str:
        name = icon_name(state)
        return f"{self._icons}/hicolor/scalable/status/{name}.svg" if self._icons else name

    def _remember(self, word: str, number: int) -> None:
        self._shown[word] = number
        while len(self._shown) > _MOST_REMEMBERED:
            del self._shown[next(iter(self._shown))]

    def _acquired(self, _session: Any, _name: str) -> None:
        self._speaks = True
        self.ask(self._question)

    def _lost(self, _session: Any, _name: str) -> None:
        self._speaks = False
        self.ask(self._question)

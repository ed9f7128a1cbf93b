"""The item in the panel: org.kde.StatusNotifierItem, registered with each watcher that comes."""

from __future__ import annotations

import os
from typing import Any

from gi.repository import Gio, GLib

from cortex_llm_applet.edges.calls import call, export
from cortex_llm_applet.edges.interfaces import ITEM, ITEM_XML
from cortex_llm_applet.edges.markup import escaped
from cortex_llm_applet.edges.menu import MENU_PATH
from cortex_llm_applet.logic.picture import Picture

PATH = "/StatusNotifierItem"
ID = "cortex-llm-applet"
_WATCHER = "org.kde.StatusNotifierWatcher"
_WATCHER_OBJECT = (_WATCHER, "/StatusNotifierWatcher", _WATCHER)
_WIDEST = "$00.0000"


class Item:
    """Shows a Picture. `icons`: the directory of our icons where the icon theme has none of them, else ""."""

    def __init__(self, session: Gio.DBusConnection, picture: Picture, icons: str, *, symbolic: bool) -> None:
        self._session, self._picture, self._icons, self._symbolic = session, picture, icons, symbolic
        self.name = f"{ITEM}-{os.getpid()}-1"
        export(session, PATH, ITEM_XML, self._called, self._property)
        self._owned = Gio.bus_own_name_on_connection(session, self.name, Gio.BusNameOwnerFlags.NONE, None, None)
        self._watching = Gio.bus_watch_name_on_connection(
            session, _WATCHER, Gio.BusNameWatcherFlags.NONE, self._watcher_came, None
        )

    def show(self, picture: Picture) -> bool:
        """Whether something changed. One signal for what is written and one for the icon: some panels read everything
        anew after each."""
        before, self._picture = self._picture, picture
        if before.state != picture.state:
            self._signal("NewIcon")
        if before.label != picture.label:
            self._signal("XAyatanaNewLabel", GLib.Variant("(ss)", (picture.label, _WIDEST)))
        if before.written != picture.written:
            self._signal("NewToolTip")
        return before.seen != picture.seen

    def _watcher_came(self, _session: Any, _name: str, _owner: str) -> None:
        arguments = GLib.Variant("(s)", (self.name,))
        call(self._session, _WATCHER_OBJECT, "RegisterStatusNotifierItem", arguments, lambda: None)

    def _signal(self, member: str, body: GLib.Variant | None = None) -> None:
        self._session.emit_signal(None, PATH, ITEM, member, body)

    def _property(self, _session: Any, _sender: str, _path: str, _interface: str, name: str) -> GLib.Variant:
        signature, value = self._properties()[name]
        return GLib.Variant(signature, value)

    def _properties(self) -> dict[str, tuple[str, Any]]:
        picture = self._picture
        icon = picture.icon(symbolic=self._symbolic)
        return {
            "Category": ("s", "SystemServices"),
            "Id": ("s", ID),
            "Title": ("s", picture.title),
            "Status": ("s", "Active"),
            "WindowId": ("i", 0),
            "IconThemePath": ("s", self._icons),
            "IconName": ("s", icon),
            "IconAccessibleDesc": ("s", picture.icon_words),
            "IconPixmap": ("a(iiay)", []),
            "OverlayIconName": ("s", ""),
            "OverlayIconPixmap": ("a(iiay)", []),
            "AttentionIconName": ("s", icon),
            "AttentionIconPixmap": ("a(iiay)", []),
            "AttentionMovieName": ("s", ""),
            "ToolTip": ("(sa(iiay)ss)", (icon, [], picture.title, escaped(picture.tooltip))),
            "ItemIsMenu": ("b", True),
            "Menu": ("o", MENU_PATH),
            "XAyatanaLabel": ("s", picture.label),
            "XAyatanaLabelGuide": ("s", _WIDEST),
        }

    def _called(
        self, _session: Any, _sender: str, _path: str, _interface: str, _method: str, _arguments: Any, invocation: Any
    ) -> None:
        """The panel shows the menu by itself, ItemIsMenu tells it to."""
        invocation.return_value(None)

"""The menu for the panel: com.canonical.dbusmenu over a flat table of entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gi.repository import Gio, GLib

from cortex_llm_applet.edges.calls import export
from cortex_llm_applet.edges.interfaces import MENU, MENU_XML
from cortex_llm_applet.logic.menu import Entry
from cortex_llm_applet.logic.picture import changed
from cortex_llm_applet.texts import direction

MENU_PATH = "/MenuBar"
_ROOT = 0
_REVISION = 1  # the layout never changes


class Menu:
    """`clicked` gets the id of an entry, `opened` whether the menu is open, `about_to_show` something to call once the
    entries are fresh."""

    def __init__(
        self,
        session: Gio.DBusConnection,
        entries: tuple[Entry, ...],
        clicked: Callable[[int], None],
        opened: Callable[[bool], None],
        about_to_show: Callable[[Callable[[], None]], None],
    ) -> None:
        self._session, self._entries = session, entries
        self._clicked, self._opened, self._about_to_show = clicked, opened, about_to_show
        self._methods: dict[str, Callable[..., GLib.Variant | None]] = {
            "GetLayout": self._layout,
            "GetGroupProperties": self._group,
            "GetProperty": self._one,
            "Event": self._event,
            "EventGroup": self._events,
        }
        export(session, MENU_PATH, MENU_XML, self._called, self._property)

    def show(self, entries: tuple[Entry, ...]) -> bool:
        """Tell what changed, in one signal, and whether anything did."""
        news = [(entry.id, _properties(entry)) for entry in changed(self._entries, entries)]
        self._entries = entries
        if news:
            body = GLib.Variant("(a(ia{sv})a(ias))", (news, []))
            self._session.emit_signal(None, MENU_PATH, MENU, "ItemsPropertiesUpdated", body)
        return bool(news)

    def _called(
        self, _session: Any, _sender: str, _path: str, _interface: str, method: str, arguments: Any, invocation: Any
    ) -> None:
        if method == "AboutToShow":
            self._about_to_show(lambda: invocation.return_value(GLib.Variant("(b)", (False,))))
        elif method == "AboutToShowGroup":
            self._about_to_show(lambda: invocation.return_value(GLib.Variant("(aiai)", ([], []))))
        else:
            invocation.return_value(self._methods[method](*arguments.unpack()))

    def _property(self, _session: Any, _sender: str, _path: str, _interface: str, name: str) -> GLib.Variant:
        return {
            "Version": GLib.Variant("u", 3),
            "TextDirection": GLib.Variant("s", direction()),
            "Status": GLib.Variant("s", "normal"),
            "IconThemePath": GLib.Variant("as", []),
        }[name]

    def _layout(self, parent: int, depth: int, names: list[str]) -> GLib.Variant:
        """Entries have no children, so any other parent has an empty layout."""
        of_root = parent == _ROOT and depth != 0
        children = [
            GLib.Variant("(ia{sv}av)", (entry.id, _properties(entry, names), [])) for entry in self._entries if of_root
        ]
        root = {"children-display": GLib.Variant("s", "submenu")} if parent == _ROOT else {}
        return GLib.Variant("(u(ia{sv}av))", (_REVISION, (parent, root, children)))

    def _group(self, ids: list[int], names: list[str]) -> GLib.Variant:
        """No ids: all."""
        wanted = [entry for entry in self._entries if not ids or entry.id in ids]
        return GLib.Variant("(a(ia{sv}))", ([(entry.id, _properties(entry, names)) for entry in wanted],))

    def _one(self, id: int, name: str) -> GLib.Variant:
        found = next((_properties(entry) for entry in self._entries if entry.id == id), {})
        return GLib.Variant("(v)", (found.get(name, GLib.Variant("s", "")),))

    def _event(self, id: int, kind: str, _data: object, _time: int) -> None:
        if id == _ROOT and kind in ("opened", "closed"):
            self._opened(kind == "opened")
        elif kind == "clicked" and any(entry.id == id and entry.enabled for entry in self._entries):
            self._clicked(id)

    def _events(self, events: list[tuple[int, str, object, int]]) -> GLib.Variant:
        for event in events:
            self._event(*event)
        known = {_ROOT, *(entry.id for entry in self._entries)}
        return GLib.Variant("(ai)", ([id for id, *_ in events if id not in known],))


def _properties(entry: Entry, names: Iterable[str] = ()) -> dict[str, GLib.Variant]:
    """An underscore in a label would mark a key to press."""
    every = {
        "type": GLib.Variant("s", "separator" if entry.separator else "standard"),
        "label": GLib.Variant("s", entry.label.replace("_", "__")),
        "enabled": GLib.Variant("b", entry.enabled),
        "visible": GLib.Variant("b", entry.visible),
    }
    wanted = set(names) or every.keys()
    return {name: value for name, value in every.items() if name in wanted}

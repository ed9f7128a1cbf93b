"""The application: one instance in a session, which a second start brings to the front."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from gi.repository import Gio, GLib

import cortex_llm_applet
from cortex_llm_applet.edges.live import Live
from cortex_llm_applet.texts import _, direction
from cortex_llm_applet.window import style
from cortex_llm_applet.window.main_window import MainWindow
from cortex_llm_applet.window.pages import PAGES
from cortex_llm_applet.window.shortcuts import shortcuts_window
from cortex_llm_applet.window.toolkit import Adw, Gdk, Gtk

ID = "org.cortexlinux.LLMWindow"
_ICON = "org.cortexlinux.LLMApplet"
_DIRECTIONS = {"ltr": Gtk.TextDirection.LTR, "rtl": Gtk.TextDirection.RTL}


class Application(Adw.Application):
    """`router_bus` and `made_at`: as Live's. `icons`: a directory of icons beside the theme's, or ""."""

    def __init__(self, router_bus: str, icons: str, made_at: datetime) -> None:
        super().__init__(application_id=ID)
        self._icons = icons
        self._live = Live(router_bus, made_at, self._changed)
        self._window: MainWindow | None = None

    def do_startup(self) -> None:
        Adw.Application.do_startup(self)
        Gtk.Widget.set_default_direction(_DIRECTIONS[direction()])
        if self._icons:
            Gtk.IconTheme.get_for_display(Gdk.Display.get_default()).add_search_path(self._icons)
        style.use(Gdk.Display.get_default())
        Gtk.Window.set_default_icon_name(_ICON)
        self._actions()
        self.connect_live(self._live)

    def connect_live(self, live: Live) -> None:
        live.start()

    def do_activate(self) -> None:
        self._shown().present()

    def _changed(self) -> None:
        if self._window:
            self._window.changed()

    def _shown(self) -> MainWindow:
        if self._window is None:
            self._window = MainWindow(self, self._live, PAGES)
        return self._window

    def _actions(self) -> None:
        self._action("quit", lambda _value: self.quit(), "<Control>q", "<Control>w")
        self._action("shortcuts", lambda _value: self._over(shortcuts_window(PAGES)), "<Control>question")
        self._action("about", lambda _value: self._over(_about()))
        page = Gio.SimpleAction.new("page", GLib.VariantType.new("s"))
        page.connect("activate", lambda _action, name: self._shown().show_page(name.unpack()))
        self.add_action(page)
        for number, kind in enumerate(PAGES, start=1):
            self.set_accels_for_action(f"app.page::{kind.name}", [f"<Alt>{number}"])

    def _action(self, name: str, do: Callable[[Any], None], *keys: str) -> None:
        action = Gio.SimpleAction.new(name, None)
        action.connect("activate", lambda _action, value: do(value))
        self.add_action(action)
        self.set_accels_for_action(f"app.{name}", list(keys))

    def _over(self, dialog: Gtk.Window) -> None:
        dialog.set_transient_for(self._shown())
        dialog.present()


def _about() -> Adw.AboutWindow:
    return Adw.AboutWindow(
        application_name=_("Language Models"),
        application_icon=_ICON,
        version=cortex_llm_applet.__version__,
        developer_name=_("The cortexd authors"),
        license_type=Gtk.License.MIT_X11,
    )

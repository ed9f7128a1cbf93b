"""The window itself: a header that switches between the pages, at the bottom where it is narrow."""

from __future__ import annotations

from collections.abc import Sequence

from gi.repository import Gio, GObject

from cortex_llm_applet.edges.live import Live
from cortex_llm_applet.edges.timers import Surface
from cortex_llm_applet.logic.view import View
from cortex_llm_applet.texts import _
from cortex_llm_applet.window.pages.page import Page
from cortex_llm_applet.window.toolkit import Adw, Gtk, say

_WIDTH, _HEIGHT = 760, 640
_LEAST_WIDTH, _LEAST_HEIGHT = 360, 300


class MainWindow(Adw.ApplicationWindow):
    """Draws the page that a person sees, whenever the live view has changed or another page is chosen."""

    def __init__(self, application: Adw.Application, live: Live, kinds: Sequence[type[Page]]) -> None:
        super().__init__(application=application, title=_("Language Models"))
        self.set_default_size(_WIDTH, _HEIGHT)
        self.set_size_request(_LEAST_WIDTH, _LEAST_HEIGHT)
        self._live = live
        self._drawn: tuple[View, str] | None = None
        self._surface = Surface(self._draw)
        self._pages = {kind.name: kind(live) for kind in kinds}
        self._stack = Adw.ViewStack(vexpand=True)
        for name, page in self._pages.items():
            self._stack.add_titled(page.widget, name, _(page.title)).set_icon_name(page.icon)
        self._stack.connect("notify::visible-child-name", lambda *_changed: self._draw())
        self.set_content(self._whole())
        self.show_page(kinds[0].name)

    def changed(self) -> None:
        """Draw soon."""
        self._surface.changed()

    def show_page(self, name: str) -> None:
        if name in self._pages:
            self._stack.set_visible_child_name(name)
        self._draw()

    def _draw(self) -> bool:
        shown = (self._live.view, self._stack.get_visible_child_name() or "")
        if shown == self._drawn:
            return False
        self._drawn = shown
        self._pages[shown[1]].show(shown[0])
        return True

    def _whole(self) -> Gtk.Widget:
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL)
        title = Adw.ViewSwitcherTitle(stack=self._stack, title=_("Language Models"))
        header = Adw.HeaderBar(title_widget=title, centering_policy=Adw.CenteringPolicy.STRICT)
        header.pack_end(_menu_button())
        bar = Adw.ViewSwitcherBar(stack=self._stack)
        title.bind_property("title-visible", bar, "reveal", GObject.BindingFlags.SYNC_CREATE)
        for part in (header, self._stack, bar):
            box.append(part)
        return box


def _menu_button() -> Gtk.MenuButton:
    menu = Gio.Menu()
    menu.append(_("Keyboard Shortcuts"), "app.shortcuts")
    menu.append(_("About"), "app.about")
    menu.append(_("Close"), "app.quit")
    button = Gtk.MenuButton(icon_name="open-menu-symbolic", menu_model=menu, primary=True)
    button.set_tooltip_text(_("Main menu"))
    say(button, _("Main menu"))
    return button

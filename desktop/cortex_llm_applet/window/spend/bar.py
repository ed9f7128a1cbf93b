"""One stacked bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cortex_llm_applet.logic import spend
from cortex_llm_applet.window.spend.palette import fill, look_of
from cortex_llm_applet.window.toolkit import Gtk, say

_WIDEST = 40.0
_FILLED = 0.72  # of its place
_THINNEST = 2.0  # what cost anything can be seen


class Bar(Gtk.Widget):
    """Says all that it shows to a screen reader. `pointed` hears when it is looked at, and when no longer."""

    def __init__(self, pointed: Callable[[Bar, bool], None]) -> None:
        super().__init__(accessible_role=Gtk.AccessibleRole.IMG, hexpand=True, vexpand=True)
        self.add_css_class("spend-bar")
        self.words = ""
        self._parts: list[tuple[int | None, float]] = []
        self._watch(pointed)

    def show_bar(self, bar: spend.Bar, series: Sequence[spend.Series], top_nano: int) -> None:
        self._parts = [(item.number, part / top_nano) for item, part in zip(series, bar.parts, strict=True) if part]
        self.words = bar.words(series)
        say(self, self.words)
        self.queue_draw()

    def do_snapshot(self, snapshot: Gtk.Snapshot) -> None:
        width, height = self.get_width(), self.get_height()
        thick = min(_WIDEST, width * _FILLED)
        bottom = float(height)
        for number, share in self._parts:
            tall = max(_THINNEST, share * height)
            bottom -= tall
            fill(snapshot, self, look_of(number), ((width - thick) / 2, bottom, thick, tall))

    def _watch(self, pointed: Callable[[Bar, bool], None]) -> None:
        pointer, focus, click = Gtk.EventControllerMotion(), Gtk.EventControllerFocus(), Gtk.GestureClick()
        pointer.connect("enter", lambda *_event: pointed(self, True))
        pointer.connect("leave", lambda *_event: pointed(self, False))
        focus.connect("enter", lambda *_event: pointed(self, True))
        focus.connect("leave", lambda *_event: pointed(self, False))
        click.connect("pressed", lambda *_event: (self.set_focusable(True), self.grab_focus()))
        for controller in (pointer, focus, click):
            self.add_controller(controller)

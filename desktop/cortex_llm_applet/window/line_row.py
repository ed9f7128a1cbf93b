"""One line of a list: icon, title, subtitle, value and a button, each where the line has it."""

from __future__ import annotations

from collections.abc import Callable

from cortex_llm_applet.logic.lines import Line
from cortex_llm_applet.logic.picture import IN_WORDS, icon_name
from cortex_llm_applet.logic.trouble import State
from cortex_llm_applet.texts import _
from cortex_llm_applet.window.toolkit import Adw, Gtk, describe, say

_ICON_PIXELS = 22


class LineRow(Adw.ActionRow):
    """`act` gets the line's key when its button is pressed."""

    def __init__(self, line: Line, act: Callable[[str], None]) -> None:
        super().__init__(use_markup=False, title_lines=0, subtitle_lines=0, selectable=False)
        self._icon = Gtk.Image(pixel_size=_ICON_PIXELS)
        self._value = Gtk.Label(css_classes=["numeric"])
        self._button = Gtk.Button(valign=Gtk.Align.CENTER)
        self._button.connect("clicked", lambda _button: act(line.key))
        self.add_suffix(self._value)
        self.add_suffix(self._button)
        self.show_line(line)

    def show_line(self, line: Line) -> None:
        self.set_title(line.title)
        self.set_subtitle(line.subtitle)
        self._show_state(line.state)
        self._value.set_text(line.value)
        self._value.set_visible(bool(line.value))
        self._button.set_label(line.action)
        self._button.set_visible(bool(line.action))
        say(self._button, line.action_spoken or line.action)
        describe(self, line.spoken)

    def _show_state(self, state: State | None) -> None:
        """A hidden icon would still keep its place."""
        if state is None:
            return
        if self._icon.get_parent() is None:
            self.add_prefix(self._icon)
        self._icon.set_from_icon_name(icon_name(state))
        say(self._icon, _(IN_WORDS[state]))

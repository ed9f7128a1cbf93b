"""A group of lines below a heading. A line that stays keeps its row, and with it the keyboard's focus."""

from __future__ import annotations

from collections.abc import Callable

from cortex_llm_applet.logic.lines import Line, Lines
from cortex_llm_applet.window.line_row import LineRow
from cortex_llm_applet.window.toolkit import Adw, Gtk, say


class LineList(Adw.PreferencesGroup):
    """`act` gets the key of the line whose button is pressed."""

    def __init__(self, title: str, act: Callable[[str], None] = lambda _key: None) -> None:
        super().__init__(title=title, visible=False)
        self._act = act
        self._lines: Lines = ()
        self._rows: dict[str, LineRow] = {}
        self._list = Gtk.ListBox(selection_mode=Gtk.SelectionMode.NONE, css_classes=["boxed-list"])
        say(self._list, title)
        self.add(self._list)

    def show_lines(self, lines: Lines) -> None:
        """Nothing at all where there is no line."""
        if lines == self._lines:
            return
        self._lines = lines
        self.set_visible(bool(lines))
        focused = self._focused()
        self._drop({line.key for line in lines})
        for number, line in enumerate(lines):
            self._place(number, line)
        if focused is not None and self._focused() is None and lines:
            self._list.get_row_at_index(min(focused, len(lines) - 1)).grab_focus()

    def _drop(self, kept: set[str]) -> None:
        for key in [key for key in self._rows if key not in kept]:
            self._list.remove(self._rows.pop(key))

    def _place(self, number: int, line: Line) -> None:
        row = self._rows.get(line.key)
        if row is None:
            row = self._rows[line.key] = LineRow(line, self._act)
            self._list.insert(row, number)
            return
        row.show_line(line)
        if row.get_index() != number:
            self._list.remove(row)
            self._list.insert(row, number)

    def _focused(self) -> int | None:
        """The number of the row that has the keyboard."""
        found = (row.get_index() for row in self._rows.values() if row.get_state_flags() & Gtk.StateFlags.FOCUS_WITHIN)
        return next(found, None)

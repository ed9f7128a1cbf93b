"""Which time is shown, and what it is told apart by."""

from __future__ import annotations

from collections.abc import Callable

from cortex_llm_applet.logic.spans import GROUPINGS, SPANS
from cortex_llm_applet.texts import _
from cortex_llm_applet.window.toolkit import Gtk, say_chosen

_FIRST_SPAN = 1


class Choosing(Gtk.Box):
    """`span` and `grouping`: places in SPANS and GROUPINGS. `chosen` hears of another one."""

    def __init__(self, chosen: Callable[[], None]) -> None:
        super().__init__(spacing=12)
        self.span = _FIRST_SPAN
        self._chosen = chosen
        self._by = Gtk.DropDown.new_from_strings([_(item.title) for item in GROUPINGS])
        say_chosen(self._by, _("Told apart by"))
        self._by.set_tooltip_text(_("Told apart by"))
        self._by.connect("notify::selected", lambda *_changed: chosen())
        self.append(self._spans())
        self.append(Gtk.Box(hexpand=True))
        self.append(self._by)

    @property
    def grouping(self) -> int:
        return int(self._by.get_selected())

    def _spans(self) -> Gtk.Widget:
        linked = Gtk.Box(css_classes=["linked"], accessible_role=Gtk.AccessibleRole.GROUP)
        first: Gtk.ToggleButton | None = None
        for number, span in enumerate(SPANS):
            button = Gtk.ToggleButton(label=_(span.title), group=first, active=number == self.span)
            button.connect("toggled", self._toggled, number)
            first = first or button
            linked.append(button)
        return linked

    def _toggled(self, button: Gtk.ToggleButton, number: int) -> None:
        if button.get_active():
            self.span = number
            self._chosen()

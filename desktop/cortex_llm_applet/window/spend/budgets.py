"""The budgets that bind this user, one card each; without any, what the month will have cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from cortex_llm_applet.logic.rings import METHOD, Ring, month_lines
from cortex_llm_applet.texts import _
from cortex_llm_applet.window.spend.budget_card import BudgetCard, Figures
from cortex_llm_applet.window.toolkit import Gtk


class Budgets(Gtk.Box):
    def __init__(self) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=12)
        self._cards: list[BudgetCard] = []
        self._place = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=12)
        self._month = Figures()
        self._unlimited = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=12, css_classes=["card", "spend-card"])
        self._heading = Gtk.Label(xalign=0, wrap=True, css_classes=["heading"])
        self._unlimited.append(self._heading)
        self._unlimited.append(self._month)
        self.append(Gtk.Label(label=_("Budgets"), xalign=0, css_classes=["title-4"]))
        self.append(self._place)
        self.append(self._unlimited)
        self.append(Gtk.Label(label=_(METHOD), xalign=0, wrap=True, css_classes=["caption", "dim-label"]))

    def show_rings(
        self, rings: Sequence[Ring], month_nano: int | None, days: Mapping[str, int] | None, today: date
    ) -> None:
        while len(self._cards) < len(rings):
            self._cards.append(BudgetCard())
            self._place.append(self._cards[-1])
        while len(self._cards) > len(rings):
            self._place.remove(self._cards.pop())
        for card, ring in zip(self._cards, rings, strict=True):
            card.show_ring(ring)
        self._unlimited.set_visible(not rings)
        known = month_nano is not None
        self._heading.set_text(_("No budget is set for you") if known else _("Your budgets are not known"))
        self._month.show_lines(month_lines(month_nano, days, today))

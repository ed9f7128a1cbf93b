"""What each colour and pattern stands for, with its amount: the chart's values as a list."""

from __future__ import annotations

from cortex_llm_applet.logic.spend import Chart, Series
from cortex_llm_applet.texts import _
from cortex_llm_applet.window.spend.palette import Look, fill, look_of
from cortex_llm_applet.window.toolkit import Adw, Gtk, say

_SIDE = 24


class Swatch(Gtk.Widget):
    """A sample of a series."""

    def __init__(self) -> None:
        super().__init__(accessible_role=Gtk.AccessibleRole.PRESENTATION, valign=Gtk.Align.CENTER)
        self.set_size_request(_SIDE, _SIDE)
        self._look: Look | None = None

    def show_look(self, look: Look) -> None:
        self._look = look
        self.queue_draw()

    def do_snapshot(self, snapshot: Gtk.Snapshot) -> None:
        if self._look:
            fill(snapshot, self, self._look, (0, 0, self.get_width(), self.get_height()))


class LegendRow(Adw.ActionRow):
    """A series with its requests, its amount and its share."""

    def __init__(self) -> None:
        super().__init__(use_markup=False)
        self._swatch = Swatch()
        self._amount = Gtk.Label(css_classes=["numeric"])
        self.add_prefix(self._swatch)
        self.add_suffix(self._amount)

    def show_series(self, series: Series, share: float) -> None:
        self._swatch.show_look(look_of(series.number))
        self.set_title(series.name)
        self.set_subtitle(
            _("Requests: {count}, {share} of the cost").format(count=series.requests, share=f"{share:.0%}")
        )
        self._amount.set_text(series.amount)


class Legend(Gtk.ListBox):
    """Rows stay the same widgets, so that a keyboard's place is kept."""

    def __init__(self) -> None:
        super().__init__(selection_mode=Gtk.SelectionMode.NONE, css_classes=["boxed-list"])
        say(self, _("What each colour and pattern stands for"))
        self._rows: list[LegendRow] = []

    @property
    def filled(self) -> bool:
        return bool(self._rows)

    def show_chart(self, chart: Chart) -> None:
        while len(self._rows) < len(chart.series):
            self._rows.append(LegendRow())
            self.append(self._rows[-1])
        while len(self._rows) > len(chart.series):
            self.remove(self._rows.pop())
        for row, series in zip(self._rows, chart.series, strict=True):
            row.show_series(series, chart.share(series))

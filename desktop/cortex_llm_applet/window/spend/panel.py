"""The chart with its sum and legend, or what is to be said where there is none."""

from __future__ import annotations

from gi.repository import GLib

from cortex_llm_applet.logic.amounts import MISSING
from cortex_llm_applet.logic.spans import Span
from cortex_llm_applet.logic.spend import Chart
from cortex_llm_applet.logic.trouble import Trouble
from cortex_llm_applet.texts import _
from cortex_llm_applet.window.spend.legend import Legend
from cortex_llm_applet.window.spend.plot import Plot
from cortex_llm_applet.window.toolkit import Adw, Gtk
from cortex_llm_applet.window.trouble_status import TroubleStatus

_PALE = 0.5


class ChartPanel(Gtk.Box):
    """Shows a Chart, that it is awaited, or why there is none."""

    def __init__(self) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=12)
        self._sum = Gtk.Label(xalign=0, css_classes=["title-1", "numeric"])
        self._of = Gtk.Label(xalign=0, wrap=True, css_classes=["dim-label"])
        self._plot, self._legend = Plot(), Legend()
        self._empty = Adw.StatusPage(css_classes=["compact"])
        self._trouble = TroubleStatus()
        self._spinner = Gtk.Spinner(height_request=48, margin_top=48, margin_bottom=48)
        self._places = Gtk.Stack(vhomogeneous=False, hhomogeneous=False)
        self._places.add_named(self._drawn(), "chart")
        self._places.add_named(self._empty, "words")
        self._places.add_named(self._trouble, "trouble")
        self._places.add_named(self._spinner, "loading")
        for part in (self._sum, self._of, self._places):
            self.append(part)

    def show_chart(self, chart: Chart, span: Span) -> None:
        self._say_sum(chart.amount, _(span.spent))
        if chart.empty:
            self._say(_("Nothing was asked in this time"), _("Ask something: cortexctl ask hello"))
            return
        self._plot.show_chart(chart, span)
        self._legend.show_chart(chart)
        self._turn_to("chart")

    def show_loading(self) -> None:
        """A chart stays, pale, until its follower is there, so that nothing jumps."""
        self._say_sum(MISSING, _("The ledger is being read"))
        if self._places.get_visible_child_name() == "chart" and self._legend.filled:
            self._places.set_opacity(_PALE)
        else:
            self._turn_to("loading")

    def show_trouble(self, trouble: Trouble) -> None:
        self._say_sum(MISSING, _("What was spent is not known"))
        self._trouble.show_trouble(trouble)
        self._turn_to("trouble")

    def show_words(self, why: str, step: str) -> None:
        """Why there is no chart, and what to do."""
        self._say_sum(MISSING, _("What was spent is not known"))
        self._say(why or _("cortexd does not answer"), step)

    def _say_sum(self, amount: str, words: str) -> None:
        self._sum.set_text(amount)
        self._of.set_text(words)

    def _say(self, title: str, step: str) -> None:
        self._empty.set_title(GLib.markup_escape_text(title))
        self._empty.set_description(GLib.markup_escape_text(step))
        self._turn_to("words")

    def _turn_to(self, name: str) -> None:
        self._spinner.set_spinning(name == "loading")
        self._places.set_opacity(1)
        self._places.set_visible_child_name(name)

    def _drawn(self) -> Gtk.Widget:
        card = Gtk.Box(css_classes=["card", "spend-card"])
        self._plot.set_hexpand(True)
        card.append(self._plot)
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=18)
        box.append(card)
        box.append(self._legend)
        return box

"""All bars with their axes. The Tab key stops at one bar; arrows, Home and End go from there."""

from __future__ import annotations

from gi.repository import Graphene

from cortex_llm_applet.logic.amounts import usd
from cortex_llm_applet.logic.spans import Span
from cortex_llm_applet.logic.spend import Chart
from cortex_llm_applet.texts import _
from cortex_llm_applet.window.spend.bar import Bar
from cortex_llm_applet.window.spend.palette import faint
from cortex_llm_applet.window.toolkit import Gdk, Gtk

_HEIGHT = 180
_LINES = (0.0, 0.5, 1.0)
_LINE_ALPHA = 0.2
_STEPS = {Gdk.KEY_Left: -1, Gdk.KEY_KP_Left: -1, Gdk.KEY_Right: 1, Gdk.KEY_KP_Right: 1}
_ENDS = {Gdk.KEY_Home: 0, Gdk.KEY_KP_Home: 0, Gdk.KEY_End: -1, Gdk.KEY_KP_End: -1}


class Lines(Gtk.Widget):
    """At nothing, at half and at the upper edge."""

    def __init__(self) -> None:
        super().__init__(accessible_role=Gtk.AccessibleRole.PRESENTATION)

    def do_snapshot(self, snapshot: Gtk.Snapshot) -> None:
        rgba = faint(self.get_style_context().get_color(), _LINE_ALPHA)
        for part in _LINES:
            y = round(part * (self.get_height() - 1))
            snapshot.append_color(rgba, Graphene.Rect().init(0, y, self.get_width(), 1))


class Plot(Gtk.Box):
    """Shows a Chart; below it stands what the bar that is pointed at has."""

    def __init__(self) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=6)
        self._bars: list[Bar] = []
        self._place = Gtk.Box(homogeneous=True)
        self._values = [Gtk.Label(xalign=0, valign=align, css_classes=["caption", "dim-label", "numeric"]) for align in
                        (Gtk.Align.START, Gtk.Align.CENTER, Gtk.Align.END)]  # fmt: skip
        self._axis = Gtk.Grid(column_homogeneous=True)
        self._detail = Gtk.Label(wrap=True, xalign=0, css_classes=["caption"])
        self._lay_out()
        keys = Gtk.EventControllerKey()
        keys.connect("key-pressed", self._key)
        self._place.add_controller(keys)
        self._point(None)

    def show_chart(self, chart: Chart, span: Span) -> None:
        if len(self._bars) != len(chart.bars):
            self._make(len(chart.bars))
        for bar, shown in zip(self._bars, chart.bars, strict=True):
            bar.show_bar(shown, chart.series, chart.top_nano)
        for label, nano in zip(self._values, (chart.top_nano, chart.top_nano // 2, 0), strict=True):
            label.set_text(usd(nano) if chart.nano or not nano else "")
        self._name([bucket.bucket.axis for bucket in chart.bars], span.marked)
        self._point(self._focused())

    def _lay_out(self) -> None:
        overlay = Gtk.Overlay(child=Lines(), hexpand=True, height_request=_HEIGHT)
        overlay.add_overlay(self._place)
        values = Gtk.CenterBox(orientation=Gtk.Orientation.VERTICAL)
        values.set_start_widget(self._values[0])
        values.set_center_widget(self._values[1])
        values.set_end_widget(self._values[2])
        grid = Gtk.Grid(column_spacing=6, row_spacing=3)
        grid.attach(overlay, 0, 0, 1, 1)
        grid.attach(values, 1, 0, 1, 1)
        grid.attach(self._axis, 0, 1, 1, 1)
        self.append(grid)
        self.append(self._detail)

    def _make(self, count: int) -> None:
        for bar in self._bars:
            self._place.remove(bar)
        self._bars = [Bar(self._pointed) for _number in range(count)]
        for bar in self._bars:
            self._place.append(bar)
        self._bars[-1].set_focusable(True)

    def _name(self, names: list[str], every: int) -> None:
        while (child := self._axis.get_first_child()) is not None:
            self._axis.remove(child)
        for start in range(0, len(names), every):
            label = Gtk.Label(label=names[start], css_classes=["caption", "dim-label"])
            label.set_xalign(0.5 if every == 1 else 0)
            self._axis.attach(label, start, 0, every, 1)

    def _key(self, _keys: Gtk.EventControllerKey, key: int, _code: int, _state: Gdk.ModifierType) -> bool:
        now = self._focused()
        if now is None or key not in (_STEPS | _ENDS):
            return False
        towards = -1 if self.get_direction() == Gtk.TextDirection.RTL else 1
        last = len(self._bars) - 1
        there = _ENDS[key] % (last + 1) if key in _ENDS else self._bars.index(now) + towards * _STEPS[key]
        bar = self._bars[min(max(0, there), last)]
        bar.set_focusable(True)
        bar.grab_focus()
        return True

    def _focused(self) -> Bar | None:
        return next((bar for bar in self._bars if bar.has_focus()), None)

    def _pointed(self, bar: Bar, is_pointed: bool) -> None:
        if is_pointed and bar.has_focus():
            for other in self._bars:
                other.set_focusable(other is bar)
        self._point(bar if is_pointed else self._focused())

    def _point(self, bar: Bar | None) -> None:
        self._detail.set_text(bar.words if bar else _("Point at a bar, or go from bar to bar with the arrow keys."))

"""A budget: its ring, and beside it what the ring shows in figures."""

from __future__ import annotations

from collections.abc import Sequence

from cortex_llm_applet.logic.rings import Ring
from cortex_llm_applet.texts import _
from cortex_llm_applet.window.spend.ring_face import RingFace
from cortex_llm_applet.window.toolkit import Gtk

_AROUND = 40  # pixels between the words in the ring and its outer edge


class Figures(Gtk.Grid):
    """Names and values in two columns."""

    def __init__(self) -> None:
        super().__init__(column_spacing=12, row_spacing=3, valign=Gtk.Align.CENTER, hexpand=True)
        self._shown: tuple[tuple[str, str], ...] = ()

    def show_lines(self, lines: Sequence[tuple[str, str]]) -> None:
        if tuple(lines) == self._shown:
            return
        self._shown = tuple(lines)
        while (child := self.get_first_child()) is not None:
            self.remove(child)
        for row, (name, value) in enumerate(lines):
            self.attach(
                Gtk.Label(label=name, xalign=0, wrap=True, hexpand=True, css_classes=["dim-label"]), 0, row, 1, 1
            )
            self.attach(Gtk.Label(label=value, xalign=1, css_classes=["numeric"]), 1, row, 1, 1)


class BudgetCard(Gtk.Box):
    """Shows a Ring."""

    def __init__(self) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=12, css_classes=["card", "spend-card"])
        self._title = Gtk.Label(xalign=0, wrap=True, css_classes=["heading"])
        self._face = RingFace()
        self._middle = Gtk.Label(css_classes=["title-2", "numeric"])
        self._figures = Figures()
        body = Gtk.Box(spacing=18)
        body.append(self._centre())
        body.append(self._figures)
        self.append(self._title)
        self.append(body)

    def show_ring(self, ring: Ring) -> None:
        self._title.set_text(ring.title)
        self._face.show_ring(ring)
        self._middle.set_text(ring.middle)
        self._figures.show_lines(ring.lines)

    def _centre(self) -> Gtk.Widget:
        """The ring grows with large text."""
        words = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, valign=Gtk.Align.CENTER, halign=Gtk.Align.CENTER)
        for side in ("top", "bottom", "start", "end"):
            words.set_property(f"margin-{side}", _AROUND)
        words.append(self._middle)
        words.append(Gtk.Label(label=_("left"), css_classes=["caption", "dim-label"]))
        overlay = Gtk.Overlay(child=self._face, valign=Gtk.Align.CENTER)
        overlay.add_overlay(words)
        overlay.set_measure_overlay(words, True)
        return overlay

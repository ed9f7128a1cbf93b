"""A budget's ring of marks: long ones are spent, half ones reserved, short ones left."""

from __future__ import annotations

from gi.repository import Graphene

from cortex_llm_applet.logic.rings import Ring
from cortex_llm_applet.window.spend.palette import SERIES, SEVERITIES, colour, faint
from cortex_llm_applet.window.toolkit import Gtk, say

_MARKS = 60
_SIDE = 132
_THICK, _LONG, _HALF, _SHORT = 4.0, 18.0, 11.0, 5.0
_LEFT_ALPHA = 0.35


class RingFace(Gtk.Widget):
    """Says the whole budget to a screen reader."""

    def __init__(self) -> None:
        super().__init__(accessible_role=Gtk.AccessibleRole.IMG)
        self.set_size_request(_SIDE, _SIDE)
        self._ring: Ring | None = None

    def show_ring(self, ring: Ring) -> None:
        self._ring = ring
        say(self, ring.words)
        self.queue_draw()

    def do_snapshot(self, snapshot: Gtk.Snapshot) -> None:
        if self._ring is None:
            return
        side = min(self.get_width(), self.get_height())
        spent, held = marks(self._ring)
        turn = (-1 if self.get_direction() == Gtk.TextDirection.RTL else 1) * 360 / _MARKS
        used = colour(self, SEVERITIES.get(self._ring.severity, SERIES[0]))
        left = faint(self.get_style_context().get_color(), _LEFT_ALPHA)
        snapshot.translate(Graphene.Point().init(self.get_width() / 2, self.get_height() / 2))
        for number in range(_MARKS):
            length = _LONG if number < spent else _HALF if number < spent + held else _SHORT
            snapshot.save()
            snapshot.rotate(turn * number)
            mark = Graphene.Rect().init(-_THICK / 2, -side / 2, _THICK, length)
            snapshot.append_color(used if number < spent + held else left, mark)
            snapshot.restore()


def marks(ring: Ring) -> tuple[int, int]:
    """How many are spent and reserved: at least one of what there is any of."""
    spent = _count(ring.spent or 0)
    return spent, min(_count(ring.reserved), _MARKS - spent)


def _count(share: float) -> int:
    return max(1, round(share * _MARKS)) if share > 0 else 0

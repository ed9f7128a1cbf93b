"""Colours of libadwaita's palette, and the pattern that tells a series apart without them."""

from __future__ import annotations

from dataclasses import dataclass

from gi.repository import Graphene

from cortex_llm_applet.window.toolkit import Adw, Gdk, Gtk

_GAP, _LINE = 6, 2
_LINES_ALPHA = 0.75


@dataclass(frozen=True, slots=True)
class Look:
    """Named colours for light and dark, and the angles of the lines over them."""

    light: str
    dark: str
    angles: tuple[int, ...] = ()


SERIES = (
    Look("blue_4", "blue_2"),
    Look("orange_4", "orange_2", (0,)),
    Look("green_5", "green_3", (45,)),
    Look("purple_3", "purple_1", (90,)),
    Look("brown_4", "brown_1", (135,)),
    Look("red_4", "red_1", (0, 90)),
    Look("blue_5", "blue_1", (45, 135)),
)
OTHERS = Look("dark_1", "light_5", (0, 45, 90, 135))
SEVERITIES = {"warning": Look("orange_4", "orange_2"), "exceeded": Look("red_4", "red_1")}


def look_of(number: int | None) -> Look:
    """Of a series; None: the others together."""
    return OTHERS if number is None else SERIES[number % len(SERIES)]


def colour(widget: Gtk.Widget, look: Look) -> Gdk.RGBA:
    return named(widget, look.dark if Adw.StyleManager.get_default().get_dark() else look.light)


def named(widget: Gtk.Widget, name: str) -> Gdk.RGBA:
    """One that the theme does not have is the text's."""
    context = widget.get_style_context()
    found, rgba = context.lookup_color(name)
    return rgba if found else context.get_color()


def faint(rgba: Gdk.RGBA, alpha: float) -> Gdk.RGBA:
    pale = rgba.copy()
    pale.alpha = alpha * rgba.alpha
    return pale


def fill(snapshot: Gtk.Snapshot, widget: Gtk.Widget, look: Look, area: tuple[float, float, float, float]) -> None:
    """Paint x, y, width, height."""
    rect = Graphene.Rect().init(*area)
    snapshot.push_clip(rect)
    snapshot.append_color(colour(widget, look), rect)
    lines = faint(named(widget, "view_bg_color"), _LINES_ALPHA)
    for angle in look.angles:
        _hatch(snapshot, lines, area, angle)
    snapshot.pop()


def _hatch(snapshot: Gtk.Snapshot, rgba: Gdk.RGBA, area: tuple[float, float, float, float], angle: int) -> None:
    """Lines from the lower right corner on, so that neighbours in a stack go on in each other."""
    x, y, width, height = area
    reach = width + height
    snapshot.save()
    snapshot.translate(Graphene.Point().init(x + width / 2, y + height))
    snapshot.rotate(angle)
    for number in range(-int(reach / _GAP) - 1, int(reach / _GAP) + 2):
        snapshot.append_color(rgba, Graphene.Rect().init(-reach, number * _GAP, 2 * reach, _LINE))
    snapshot.restore()

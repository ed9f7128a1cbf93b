"""GTK and libadwaita in the versions that this window is written for, and what widgets need beside them."""

from __future__ import annotations

import gi

gi.require_version("Gtk", "4.0")
gi.require_version("Adw", "1")

from gi.repository import Adw, Gdk, Gtk  # noqa: E402 - the versions come first

__all__ = ["Adw", "Gdk", "Gtk", "describe", "say"]


def say(widget: Gtk.Widget, label: str) -> None:
    """What a screen reader says of a widget without a text of its own."""
    widget.update_property([Gtk.AccessibleProperty.LABEL], [label])


def describe(widget: Gtk.Widget, description: str) -> None:
    """What a screen reader says after a widget's name."""
    widget.update_property([Gtk.AccessibleProperty.DESCRIPTION], [description])

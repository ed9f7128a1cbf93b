"""GTK and libadwaita in the versions that this window is written for, and what widgets need beside them."""

from __future__ import annotations

import gi

gi.require_version("Gtk", "4.0")
gi.require_version("Adw", "1")

from gi.repository import Adw, Gdk, Gtk  # noqa: E402 - the versions come first

__all__ = ["Adw", "Gdk", "Gtk", "describe", "say", "say_chosen"]


def say(widget: Gtk.Widget, label: str) -> None:
    """What a screen reader says of a widget without a text of its own."""
    widget.update_property([Gtk.AccessibleProperty.LABEL], [label])


def describe(widget: Gtk.Widget, description: str) -> None:
    """What a screen reader says after a widget's name."""
    widget.update_property([Gtk.AccessibleProperty.DESCRIPTION], [description])


def say_chosen(drop_down: Gtk.DropDown, label: str) -> None:
    """What a drop-down is for and has, said of the button within, which takes the focus."""

    def changed(*_changed: object) -> None:
        item = drop_down.get_selected_item()
        say(drop_down.get_first_child(), f"{label}: {item.get_string()}" if item else label)

    say(drop_down, label)
    drop_down.connect("notify::selected-item", changed)
    changed()

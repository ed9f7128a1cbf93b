"""The keys of the window, for people to read."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from cortex_llm_applet.texts import _
from cortex_llm_applet.window.pages.page import Page
from cortex_llm_applet.window.toolkit import Gtk

_WHOLE = """<interface><object class="GtkShortcutsWindow" id="window"><property name="modal">1</property>
<child><object class="GtkShortcutsSection"><property name="section-name">all</property>
<child><object class="GtkShortcutsGroup">{rows}</object></child></object></child></object></interface>"""
_ROW = """<child><object class="GtkShortcutsShortcut"><property name="title">{title}</property>
<property name="accelerator">{keys}</property></object></child>"""


def shortcuts_window(kinds: Sequence[type[Page]]) -> Gtk.ShortcutsWindow:
    """GTK makes one of a description only."""
    pages = [(_(kind.title), f"<Alt>{number}") for number, kind in enumerate(kinds, start=1)]
    rows = [*pages, (_("Main menu"), "F10"), (_("Close"), "<Control>w <Control>q")]
    text = "".join(_ROW.format(title=escape(title), keys=escape(keys)) for title, keys in rows)
    return Gtk.Builder.new_from_string(_WHOLE.format(rows=text), -1).get_object("window")

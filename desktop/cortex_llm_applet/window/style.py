"""What the theme does not say of our own widgets."""

from __future__ import annotations

from cortex_llm_applet.window.toolkit import Gdk, Gtk

_CSS = b"""
.spend-page { padding: 18px 12px; }
.spend-card { padding: 12px; }
.spend-bar { border-radius: 4px; }
.spend-bar:focus-visible { outline: 2px solid alpha(@accent_color, 0.7); }
"""


def use(display: Gdk.Display) -> None:
    provider = Gtk.CssProvider()
    provider.load_from_data(_CSS)
    Gtk.StyleContext.add_provider_for_display(display, provider, Gtk.STYLE_PROVIDER_PRIORITY_APPLICATION)

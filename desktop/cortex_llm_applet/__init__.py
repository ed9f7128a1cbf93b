"""The desktop applet of cortexd: today's spend in the panel, live by D-Bus signals alone.

`logic/` is pure: what is known, how it looks, when a person is told. `edges/` is Gio's D-Bus. `app` puts them together.
"""

__version__ = "0.1.0"

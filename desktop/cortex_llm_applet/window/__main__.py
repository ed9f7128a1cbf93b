"""cortex-llm-window: what this computer's language models do and cost, in a window."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from gi.repository import GLib

import cortex_llm_applet
from cortex_llm_applet.installed import ICONS, LOCALES, made_at
from cortex_llm_applet.texts import speak

_MISSING = "cortex-llm-window: it needs GTK 4 and libadwaita: install gir1.2-gtk-4.0 and gir1.2-adw-1"


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.WARNING, format="%(name)s: %(message)s")
    speak(LOCALES)
    GLib.set_prgname("cortex-llm-window")
    try:
        from cortex_llm_applet.window.application import Application
    except (ImportError, ValueError):  # as gi says that a typelib is not there
        print(_MISSING, file=sys.stderr)
        return 1
    application = Application(options.bus, ICONS, made_at())
    if not application.register(None):
        return 1
    if options.page:
        application.activate_action("page", GLib.Variant("s", options.page))
    return int(application.run([]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cortex-llm-window", description="What this computer's language models do and cost, in a window."
    )
    parser.add_argument(
        "--bus", default="system", metavar="BUS", help="the router's bus: system, session or an address"
    )
    parser.add_argument("--page", metavar="NAME", help="the page to begin with")
    parser.add_argument("--verbose", action="store_true", help="say what fails, on stderr")
    parser.add_argument("--version", action="version", version=cortex_llm_applet.__version__)
    return parser


if __name__ == "__main__":
    sys.exit(main())

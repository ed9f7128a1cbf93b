"""cortex-llm-window: what this computer's language models do and cost, in a window."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from gi.repository import GLib

from cortex_llm_applet.command_line import options_of
from cortex_llm_applet.installed import ICONS, made_at

_PROGRAM = "cortex-llm-window"
_DESCRIPTION = "What this computer's language models do and cost, in a window."
_MISSING = "cortex-llm-window: it needs GTK 4 and libadwaita: install gir1.2-gtk-4.0 and gir1.2-adw-1"


def main(argv: Sequence[str] | None = None) -> int:
    options = options_of(_PROGRAM, _DESCRIPTION, _add_options, argv)
    GLib.set_prgname(_PROGRAM)
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


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--page", metavar="NAME", help="the page to begin with")


if __name__ == "__main__":
    sys.exit(main())

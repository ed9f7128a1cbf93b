"""cortex-llm-applet: today's spend on language models in the panel."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence

from gi.repository import GLib

from cortex_llm_applet.app import Applet
from cortex_llm_applet.command_line import options_of
from cortex_llm_applet.installed import ICONS, made_at

_PROGRAM = "cortex-llm-applet"
_DESCRIPTION = "Today's spend on language models, in the panel."


def main(argv: Sequence[str] | None = None) -> int:
    options = options_of(_PROGRAM, _DESCRIPTION, _add_options, argv)
    try:
        applet = Applet(options.bus, ICONS, made_at(), symbolic=options.symbolic)
    except GLib.Error as error:
        print(f"{_PROGRAM}: there is no session bus: {error.message}", file=sys.stderr)
        return 1
    gc.freeze()
    applet.run()
    return 0


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--symbolic", action="store_true", help="icons in the panel's own colour")


if __name__ == "__main__":
    sys.exit(main())

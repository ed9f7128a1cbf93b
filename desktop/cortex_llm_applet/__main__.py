"""cortex-llm-applet: today's spend on language models in the panel."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
from collections.abc import Sequence

from gi.repository import GLib

import cortex_llm_applet
from cortex_llm_applet.app import Applet
from cortex_llm_applet.installed import ICONS, LOCALES, made_at
from cortex_llm_applet.texts import speak


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.WARNING, format="%(name)s: %(message)s")
    speak(LOCALES)
    try:
        applet = Applet(options.bus, ICONS, made_at(), symbolic=options.symbolic)
    except GLib.Error as error:
        print(f"cortex-llm-applet: there is no session bus: {error.message}", file=sys.stderr)
        return 1
    gc.freeze()
    applet.run()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cortex-llm-applet", description="Today's spend on language models, in the panel."
    )
    parser.add_argument(
        "--bus", default="system", metavar="BUS", help="the router's bus: system, session or an address"
    )
    parser.add_argument("--symbolic", action="store_true", help="icons in the panel's own colour")
    parser.add_argument("--verbose", action="store_true", help="say what fails, on stderr")
    parser.add_argument("--version", action="version", version=cortex_llm_applet.__version__)
    return parser


if __name__ == "__main__":
    sys.exit(main())

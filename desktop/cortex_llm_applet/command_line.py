"""What the command lines of our programs have in common."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence

import cortex_llm_applet
from cortex_llm_applet.installed import LOCALES
from cortex_llm_applet.texts import speak


def options_of(
    program: str, description: str, add: Callable[[argparse.ArgumentParser], object], argv: Sequence[str] | None
) -> argparse.Namespace:
    """The parsed options, of which `add` gives the program's own; logging and the person's language are set up then."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument(
        "--bus", default="system", metavar="BUS", help="the router's bus: system, session or an address"
    )
    add(parser)
    parser.add_argument("--verbose", action="store_true", help="say what fails, on stderr")
    parser.add_argument("--version", action="version", version=cortex_llm_applet.__version__)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.WARNING, format="%(name)s: %(message)s")
    speak(LOCALES)
    return options

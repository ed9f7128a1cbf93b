"""Texts in the person's language. `_` translates now; `N_` only marks a text for the catalogue."""

from __future__ import annotations

import gettext
import os
from pathlib import Path

DOMAIN = "cortex-llm-applet"
_RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})

_catalogue: gettext.NullTranslations = gettext.NullTranslations()


def speak(locale_directory: Path, languages: list[str] | None = None) -> None:
    """Use the catalogue in `locale_directory` for `languages`, by default those of the environment."""
    global _catalogue
    _catalogue = gettext.translation(DOMAIN, str(locale_directory), languages, fallback=True)


def _(text: str) -> str:
    return _catalogue.gettext(text)


def N_(text: str) -> str:
    return text


def direction() -> str:
    """`rtl` or `ltr`, as the environment's first language is written."""
    wanted = next(
        (os.environ[name] for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), ""
    )
    return "rtl" if wanted.partition(":")[0].partition("_")[0].partition(".")[0] in _RIGHT_TO_LEFT else "ltr"

"""An error that a bus gave instead of an answer."""

from __future__ import annotations

import re

from cortex_llm_applet.logic.trouble import TROUBLES
from cortex_llm_applet.texts import N_, _

_PREFIX = "org.cortexlinux.LLMRouter.Error."
_DETAILS = re.compile(r"\s*\[((?:[a-z_]+=\S*\s?)+)\]$")
_STEPS = {
    _PREFIX + "InvalidArgument": N_("Choose something else."),
    _PREFIX + "UnknownProvider": N_("Choose another provider: cortexctl providers lists them."),
    _PREFIX + "TooLarge": N_("Choose less."),
    _PREFIX + "RateLimited": N_("Wait a little, and try again."),
    _PREFIX + "ShuttingDown": N_("Try again in a moment."),
    "org.freedesktop.DBus.Error.AccessDenied": N_("Choose another model, or ask an administrator."),
}
_TROUBLES = {_PREFIX + "LedgerUnavailable": "ledger_full", "": "stopped"}
_OTHER = "failed"


class Failure(str):
    """The D-Bus name of an error, "" where nobody was there to answer. `words`: the service's, for a person, without
    the machine-readable values at their end, which are `details`."""

    __slots__ = ("details", "words")

    def __new__(cls, name: str = "", text: str = "") -> Failure:
        made = super().__new__(cls, name)
        found = _DETAILS.search(text)
        pairs = (pair.partition("=") for pair in found[1].split()) if found else ()
        made.words = text[: found.start()] if found else text
        made.details = {key: value for key, _equals, value in pairs}
        return made

    words: str
    details: dict[str, str]

    @property
    def next_step(self) -> str:
        """In the person's language."""
        if self in _STEPS:
            return _(_STEPS[self])
        name = _TROUBLES.get(self, _OTHER)
        return next(trouble.next_step for trouble in TROUBLES if trouble.name == name)

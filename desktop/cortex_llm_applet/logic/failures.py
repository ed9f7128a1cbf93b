"""An error that a bus gave instead of an answer."""

from __future__ import annotations

import re

from cortex_llm_applet.texts import N_, _

_PREFIX = "org.cortexlinux.LLMRouter.Error."
_LOG = "journalctl -b -u cortex-llm-router"
_DETAILS = re.compile(r"\s*\[((?:[a-z_]+=\S*\s?)+)\]$")
# name -> the next step, and the command that it names
_STEPS = {
    _PREFIX + "InvalidArgument": (N_("Choose something else."), ""),
    _PREFIX + "UnknownProvider": (N_("Choose another provider: {command} lists them."), "cortexctl providers"),
    _PREFIX + "LedgerUnavailable": (N_("Make room on the disk; {command} says more."), _LOG),
    _PREFIX + "TooLarge": (N_("Choose less."), ""),
    _PREFIX + "RateLimited": (N_("Wait a little, and try again."), ""),
    _PREFIX + "ShuttingDown": (N_("Try again in a moment."), ""),
    "org.freedesktop.DBus.Error.AccessDenied": (N_("Choose another model, or ask an administrator."), ""),
    "": (N_("Your next request starts it, or: {command}"), "sudo systemctl start cortex-llm-router"),
}
_ANY = (N_("See why: {command}"), _LOG)


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
    def step(self) -> str:
        """What to do next, in the person's language."""
        text, command = _STEPS.get(self, _ANY)
        return _(text).format(command=command)

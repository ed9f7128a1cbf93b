"""Errors for a person at a shell: one line on stderr, and an exit status for the script around it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from cortexd import errors
from cortexd.domain.money import format_usd
from cortexd.errors import CortexError, Detail

OK, OTHER, USAGE, DENIED, NO_DAEMON, PROVIDER_FAILED, LIMIT, TIMEOUT, PARTLY = range(9)
INTERRUPTED = 130

# docs and `cortexctl --help` show this table
MEANINGS = {
    OK: "done",
    OTHER: "another error",
    USAGE: "wrong use: an option, a task type or a value is not accepted",
    DENIED: "not allowed, or not authenticated",
    NO_DAEMON: "cortexd is not there, or is leaving",
    PROVIDER_FAILED: "no provider could answer",
    LIMIT: "a limit: rate, budget or size",
    TIMEOUT: "no answer in time",
    PARTLY: "some lines of a batch failed",
    INTERRUPTED: "interrupted",
}
_STATUS: dict[type[CortexError], int] = {
    errors.InvalidArgument: USAGE,
    errors.AccessDenied: DENIED,
    errors.ServiceUnavailable: NO_DAEMON,
    errors.ShuttingDown: NO_DAEMON,
    errors.ProviderFailed: PROVIDER_FAILED,
    errors.NoProviderAvailable: PROVIDER_FAILED,
    errors.ProviderNotConfigured: PROVIDER_FAILED,
    errors.RateLimited: LIMIT,
    errors.BudgetExceeded: LIMIT,
    errors.TooLarge: LIMIT,
    errors.Timeout: TIMEOUT,
}
_ALLOW_MORE = "To allow more today: cortexctl budget allow USD."
# what a person is told of a detail beside the sentence; None: the sentence says it, the detail is for programs
DETAILS_IN_WORDS: dict[str, Callable[[int], str] | None] = {
    "retry_after_ms": lambda value: f"try again in {duration(value)}",
    "cost_nano_usd": lambda value: f"it cost {format_usd(value)}",
    "period": None,
    "limit_usd": None,
    "resets_at": None,
    "provider": None,
    "tried": None,
    "left_out": None,
    "action": None,
    "cause": None,
    "app": None,
    "answer": None,
}
# by the details `cause` and `answer`: the command that is the next step
_NEXT_STEPS = {
    ("own_cap", ""): _ALLOW_MORE,
    ("own_cap", "refuse"): _ALLOW_MORE,
    ("own_cap", "none"): f"{_ALLOW_MORE} To be asked at a terminal: cortexctl watch.",
    ("no_cap", ""): "To set one: cortexctl budget set --mine --day USD.",
    ("paused", ""): "That is: cortexctl budget resume.",
}


def exit_status(error: CortexError) -> int:
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), OTHER)


def told(error: CortexError, bus: str) -> str:
    """The error's words; of a service that is not on the system bus the unit's own say more."""
    if bus == "system" and error.details.get("cause") == "absent":
        from cortexd.cli.machine.unit import why_away

        if why := why_away():
            return f"cortexd is not running. {why}"
    return in_words(error)


def in_words(error: CortexError) -> str:
    """The error's text, with what its details say beside it as a last sentence, or in brackets behind half a one; then
    the command to go on with, where there is one."""
    details = error.details
    step = _NEXT_STEPS.get((str(details.get("cause", "")), str(details.get("answer", ""))))
    said = _with_details(error)
    if not step:
        return said
    return f"{said} {step}" if said.endswith(".") else f"{said}. {step}"


def _with_details(error: CortexError) -> str:
    details = ", ".join(words for key, value in error.details.items() if (words := _in_words(key, value)))
    if not details:
        return error.message
    if error.message[-1:] == ".":  # whole sentences
        return f"{error.message} {details[0].upper()}{details[1:]}."
    return f"{error.message} ({details})"


def _in_words(key: str, value: Detail) -> str:
    if key not in DETAILS_IN_WORDS:  # of a daemon that is newer than this
        return f"{key.replace('_', ' ')} {value}"
    words = DETAILS_IN_WORDS[key]
    return words(int(value)) if words else ""


def local_time(text: str) -> str:
    """An ISO 8601 time as this machine's clocks show it; what is none stays as it is."""
    try:
        return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return text


def duration(ms: int) -> str:
    """Milliseconds for a person: 350 ms, 1.2 s, 2 min 5 s."""
    if ms < 1000:
        return f"{ms} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s".replace(".0 s", " s")
    return f"{ms // 60_000} min {ms % 60_000 // 1000} s"

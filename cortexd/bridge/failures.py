"""The service's errors over HTTP: in words for whoever sits at a program, whether an SDK may try again, and when."""

from __future__ import annotations

from cortexd.errors import AccessDenied, BudgetExceeded, CortexError, Denial, ServiceUnavailable
from cortexd.formats.failures import UNAVAILABLE, status

_TRY_AGAIN = (429, UNAVAILABLE)  # the service has tried what there is for all others
_OWN = "This needs a password, which a program cannot be asked for. Let an administrator put you into the group cortex."
_ADMINISTRATOR = (
    "This task needs an administrator's password, which a program cannot be asked for. "
    "Ask for it at a terminal: cortexctl ask --task TYPE"
)
_NEXT_STEPS = {
    "own_cap": " To allow more today: cortexctl budget allow USD.",
    "paused": " That is: cortexctl budget resume.",
}
_COMPLETE = "org.cortexlinux.LLMRouter.complete"


def in_words(error: CortexError) -> CortexError:
    """As a program's user can act on it: how to be asked for a password is a D-Bus client's to know."""
    cause = str(error.details.get("cause", ""))
    if step := _NEXT_STEPS.get(cause):
        return type(error)(f"{error.message}{step}", **error.details)
    if cause != Denial.NOT_ASKED:
        return error
    words = _OWN if error.details.get("action") == _COMPLETE else _ADMINISTRATOR
    return AccessDenied(words, **error.details)


def headers(error: CortexError) -> dict[str, str]:
    """Both vendors' SDKs obey x-should-retry; a wait is told in whole seconds and, for those that read it, exactly."""
    again = status(error) in _TRY_AGAIN and not isinstance(error, BudgetExceeded) and not _perhaps_paid(error)
    told = {"x-should-retry": "true" if again else "false"}
    wait_ms = error.details.get("retry_after_ms")
    if isinstance(wait_ms, int):
        told |= {"retry-after": str(-(-wait_ms // 1000)), "retry-after-ms": str(wait_ms)}
    return told


def _perhaps_paid(error: CortexError) -> bool:
    """The service was lost with the request in it. Where nobody could start it there is a cause."""
    return isinstance(error, ServiceUnavailable) and "cause" not in error.details

"""The service's errors over HTTP: in words for those behind it, whether an SDK may try again by itself, and when."""

from __future__ import annotations

from cortexd.bridge.headers import plain
from cortexd.errors import BudgetExceeded, CortexError, InteractiveAuthorizationRequired, ServiceUnavailable
from cortexd.formats.failures import UNAVAILABLE, status

_TRY_AGAIN = (429, UNAVAILABLE)  # the service has tried what there is for all others
_NOT_ASKED = (
    "polkit wants a password for this, and the bridge cannot ask for one. "
    "Ask with cortexctl in a terminal. Members of the group cortex need none for ordinary requests."
)
_NEXT_STEPS = {
    "own_cap": " To allow more today: cortexctl budget allow USD.",
    "paused": " That is: cortexctl budget resume.",
}


def in_words(error: CortexError) -> CortexError:
    """As a program's user can act on it: flags of D-Bus calls are out of reach."""
    if isinstance(error, InteractiveAuthorizationRequired):
        return InteractiveAuthorizationRequired(_NOT_ASKED, **error.details)
    step = _NEXT_STEPS.get(str(error.details.get("cause", "")))
    return type(error)(f"{error.message}{step}", **error.details) if step else error


def headers(error: CortexError) -> dict[str, str]:
    """Both vendors' SDKs obey x-should-retry; a wait is told in whole seconds and, for those that read it, exactly. The
    kind and its details are for programs, and stand in no sentence."""
    again = status(error) in _TRY_AGAIN and not isinstance(error, BudgetExceeded) and not _perhaps_paid(error)
    known = " ".join((type(error).__name__, *(f"{key}={value}" for key, value in error.details.items())))
    told = {"x-should-retry": "true" if again else "false", "x-cortex-error": plain(known)[:1000]}
    wait_ms = error.details.get("retry_after_ms")
    if isinstance(wait_ms, int):
        told |= {"retry-after": str(-(-wait_ms // 1000)), "retry-after-ms": str(wait_ms)}
    return told


def _perhaps_paid(error: CortexError) -> bool:
    """The service was lost with the request in it. Where nobody could start it there is a cause."""
    return isinstance(error, ServiceUnavailable) and "cause" not in error.details

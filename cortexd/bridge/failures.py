"""The service's errors as HTTP: one status per kind, and whether an SDK may try again by itself."""

from __future__ import annotations

from cortexd.errors import (
    AccessDenied,
    AnswerExpired,
    BudgetExceeded,
    Cancelled,
    CortexError,
    InteractiveAuthorizationRequired,
    Internal,
    InvalidArgument,
    ProviderFailed,
    RateLimited,
    RequestIdReused,
    RequestNotFound,
    ServiceUnavailable,
    Timeout,
    TooLarge,
    UnknownProvider,
    UnknownTaskType,
)

UNAVAILABLE = 503
STATUS: dict[type[CortexError], int] = {
    InvalidArgument: 400,
    UnknownTaskType: 404,
    UnknownProvider: 404,
    AccessDenied: 403,
    InteractiveAuthorizationRequired: 403,
    RequestNotFound: 404,
    BudgetExceeded: 429,
    RateLimited: 429,
    TooLarge: 413,
    RequestIdReused: 409,
    AnswerExpired: 409,
    Cancelled: 499,
    Timeout: 504,
    ProviderFailed: 502,
    Internal: 500,
}
_TRY_AGAIN = (429, UNAVAILABLE)  # the service has tried what there is for all others


def cut_short() -> ProviderFailed:
    """Another provider begins the answer anew, after the program was told something that cannot be taken back."""
    return ProviderFailed("the provider failed in the middle of its answer")


def status(error: CortexError) -> int:
    return STATUS.get(type(error), UNAVAILABLE)


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

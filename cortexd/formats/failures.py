"""The service's errors as HTTP statuses, one per kind."""

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


def status(error: CortexError) -> int:
    return STATUS.get(type(error), UNAVAILABLE)

"""The service's errors as HTTP statuses, one per kind."""

from __future__ import annotations

from cortexd.errors import (
    OF_THE_REQUEST,
    UNSUITED,
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
    tried_of,
)

BAD_REQUEST, UNAVAILABLE = 400, 503
STATUS: dict[type[CortexError], int] = {
    InvalidArgument: BAD_REQUEST,
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
    """What everybody refused, or nobody could take, is the request's own fault, and asked again in vain."""
    tried = tried_of(error).values()
    refused = bool(tried) and OF_THE_REQUEST.issuperset(tried)
    if refused or error.details.get("cause") == UNSUITED:
        return BAD_REQUEST
    return STATUS.get(type(error), UNAVAILABLE)

"""The daemon's errors as the library's own.

What LLMRouter raises in process for the same situation it raises here. Where there is no such (AccessDenied,
BudgetExceeded, RateLimited, ServiceUnavailable, Timeout and so on) the error is that of cortexd.errors and an
LLMRouterError both, so that a program's `except` clauses go on to hold. `__cause__` is the daemon's error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from cortexd.errors import (
    CortexError,
    InvalidArgument,
    NoProviderAvailable,
    ProviderFailed,
    ProviderNotConfigured,
    TooLarge,
)
from cortexd.library.errors import (
    NOBODY,
    InvalidRequestError,
    LLMRouterError,
    ProviderFailedError,
    ProviderNotConfiguredError,
    ProvidersFailedError,
)
from cortexd.library.over_bus.asking import Ask
from cortexd.library.types import LABELS, LLMProvider

_NOBODY_ANSWERED = "no provider answered. "
_NAMES = "|".join(provider.value for provider in LLMProvider)
# "claude (its model): why", and "qwen: why" for one that was not tried; what follows is the failure's text
_ATTEMPT = re.compile(rf"(?:^|; )({_NAMES})(?: (\([^()]*\))(?: failed)?)?: ")

_BOTH: dict[type[CortexError], type[LLMRouterError]] = {}


@contextmanager
def as_ours(ask: Ask | None = None) -> Iterator[None]:
    """Raise the library's errors for the daemon's."""
    try:
        yield
    except CortexError as error:
        raise ours(error, fallback=ask is not None and ask.fallback) from error


def ours(error: CortexError, *, fallback: bool) -> LLMRouterError:
    """The library's error. `fallback`: whether others were allowed to answer."""
    if isinstance(error, InvalidArgument | TooLarge):
        return InvalidRequestError(str(error))
    if isinstance(error, ProviderNotConfigured):
        return _not_configured(error)
    if isinstance(error, ProviderFailed | NoProviderAvailable):
        return _failed(error, fallback)
    return _of_both(type(error))(error.message, **error.details)


def _not_configured(error: CortexError) -> LLMRouterError:
    name = error.message.partition(":")[0]
    label = LABELS[LLMProvider(name)] if name in LABELS else name
    return ProviderNotConfiguredError(f"{label} API not configured and no fallback available: {error}")


def _failed(error: CortexError, fallback: bool) -> LLMRouterError:
    words = error.message.removeprefix(_NOBODY_ANSWERED)
    if isinstance(error, NoProviderAvailable) and words == error.message:  # nobody was asked
        return LLMRouterError(str(error))
    if not fallback:
        return ProviderFailedError(str(error))
    return ProvidersFailedError(f"{NOBODY} {words}", _errors_in(words))


def _errors_in(words: str) -> dict[LLMProvider, Exception]:
    """What each provider that was tried is reported to have said."""
    found = list(_ATTEMPT.finditer(words))
    ends = [*(match.start() for match in found[1:]), len(words)]
    return {
        LLMProvider(match[1]): ProviderFailedError(words[match.start() : end].removeprefix("; "))
        for match, end in zip(found, ends, strict=True)
        if match[2]
    }


def _of_both(kind: type[CortexError]) -> type[LLMRouterError]:
    """The class of errors that are a `kind` and the library's, under the name of `kind`."""
    if kind not in _BOTH:
        _BOTH[kind] = type(kind.__name__, (kind, LLMRouterError), {})
    return _BOTH[kind]

"""The daemon's errors as the library's own.

What LLMRouter raises in process for the same situation it raises here. Where there is no such (AccessDenied,
BudgetExceeded, RateLimited, ServiceUnavailable, Timeout and so on) the error is that of cortexd.errors and an
LLMRouterError both, so that a program's `except` clauses go on to hold. `__cause__` is the daemon's error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cortexd.errors import (
    IN_WORDS,
    CortexError,
    InvalidArgument,
    NoProviderAvailable,
    ProviderFailed,
    ProviderNotConfigured,
    TooLarge,
    tried_of,
)
from cortexd.library.errors import (
    NOBODY,
    InvalidRequestError,
    LLMRouterError,
    ProviderFailedError,
    ProviderNotConfiguredError,
    ProvidersFailedError,
)
from cortexd.library.over_bus.answers import provider_named
from cortexd.library.over_bus.asking import Ask
from cortexd.library.types import LABELS, LLMProvider

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
    provider = provider_named(str(error.details.get("provider", "")))
    label = LABELS.get(provider, provider.value)
    return ProviderNotConfiguredError(f"{label} API not configured and no fallback available: {error.message}")


def _failed(error: CortexError, fallback: bool) -> LLMRouterError:
    tried = _tried(error)
    if isinstance(error, NoProviderAvailable) and not tried:  # nobody was asked
        return LLMRouterError(error.message)
    if not fallback:
        return ProviderFailedError(error.message)
    return ProvidersFailedError(f"{NOBODY} {error.message}", tried)


def _tried(error: CortexError) -> dict[LLMProvider, Exception]:
    """How each provider that was asked failed; the error's own sentence has what it said."""
    words = ((name, IN_WORDS.get(why, "failed")) for name, why in tried_of(error).items())
    return {provider_named(name): ProviderFailedError(f"{name} {how}") for name, how in words}


def _of_both(kind: type[CortexError]) -> type[LLMRouterError]:
    """The class of errors that are a `kind` and the library's, under the name of `kind`."""
    if kind not in _BOTH:
        _BOTH[kind] = type(kind.__name__, (kind, LLMRouterError), {})
    return _BOTH[kind]

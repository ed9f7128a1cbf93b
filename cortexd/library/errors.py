"""What LLMRouter raises. With fallback off, and for a forced provider, the SDK's own error comes through instead.

LLMRouterError (RuntimeError)
├── InvalidRequestError (ValueError too)   an argument is missing, malformed or out of range
├── ProviderNotConfiguredError             no key for the provider, and nobody else may answer
├── ProviderFailedError                    a provider sent what is no answer
└── ProvidersFailedError                   everybody was tried once; `errors` has each one's own error
"""

from __future__ import annotations

from collections.abc import Mapping

from cortexd.library.types import LLMProvider

NOBODY = "No AI providers are available. Check your API keys."


class LLMRouterError(RuntimeError):
    """Base of all of them."""


class InvalidRequestError(LLMRouterError, ValueError):
    pass


class ProviderNotConfiguredError(LLMRouterError):
    pass


class ProviderFailedError(LLMRouterError):
    pass


class ProvidersFailedError(LLMRouterError):
    """`errors`: provider -> what its SDK (or the reading of its answer) raised, in the order of the attempts."""

    def __init__(self, message: str, errors: Mapping[LLMProvider, Exception]) -> None:
        super().__init__(message)
        self.errors = dict(errors)

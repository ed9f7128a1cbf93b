"""Every error that cortexd gives to a caller.

    CortexError
    ├── InvalidArgument            a field is missing, malformed or out of range
    │   ├── UnknownTaskType
    │   └── UnknownProvider
    ├── AccessDenied               polkit said no, or asking was in vain
    │   └── InteractiveAuthorizationRequired   asking could have helped
    ├── ProviderNotConfigured      the key or endpoint to set is in the text
    ├── NoProviderAvailable        every candidate was tried or left out
    ├── ProviderFailed             one provider was asked for, and failed
    ├── RateLimited                details: retry_after_ms
    ├── BudgetExceeded
    ├── TooLarge
    ├── Timeout
    ├── Cancelled
    ├── RequestNotFound
    ├── RequestIdReused            the id belongs to a request with other content
    ├── AnswerExpired              details: cost_nano_usd of the answer no longer held
    ├── LedgerUnavailable
    ├── ShuttingDown
    ├── ServiceUnavailable         client side: no daemon, or the bus connection ended
    └── Internal                   text is an id to look up in the log, nothing else

    ConfigError                    the configuration cannot be used; for the operator
    ProviderError                  one attempt failed; never leaves the service

The class name is the last part of the D-Bus error name (wire.py holds the table).
`details` ends the text as `[key=value …]`, which `cortexd.client` parses back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

Detail = int | str
_DETAILS = re.compile(r"\s*\[((?:[a-z_]+=[^\s\]]+ ?)+)\]$")


class CortexError(Exception):
    """Base of everything a caller may see. `message` is one clear sentence; `details` are machine-readable."""

    def __init__(self, message: str, /, **details: Detail) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Detail] = details

    def __str__(self) -> str:
        if not self.details:
            return self.message
        pairs = " ".join(f"{key}={value}" for key, value in self.details.items())
        return f"{self.message} [{pairs}]"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Rebuild an error from the text that `str(error)` gave."""
        found = _DETAILS.search(text)
        if found is None:
            return cls(text)
        details: dict[str, Detail] = {}
        for pair in found.group(1).split():
            key, _, value = pair.partition("=")
            details[key] = int(value) if re.fullmatch(r"-?\d+", value) else value
        return cls(text[: found.start()], **details)


class InvalidArgument(CortexError):
    pass


class UnknownTaskType(InvalidArgument):
    pass


class UnknownProvider(InvalidArgument):
    pass


class AccessDenied(CortexError):
    pass


class InteractiveAuthorizationRequired(AccessDenied):
    pass


class ProviderNotConfigured(CortexError):
    pass


class NoProviderAvailable(CortexError):
    pass


class ProviderFailed(CortexError):
    pass


class RateLimited(CortexError):
    pass


class BudgetExceeded(CortexError):
    pass


class TooLarge(CortexError):
    pass


class Timeout(CortexError):
    pass


class Cancelled(CortexError):
    pass


class RequestNotFound(CortexError):
    pass


class RequestIdReused(CortexError):
    pass


class AnswerExpired(CortexError):
    pass


class LedgerUnavailable(CortexError):
    pass


class ShuttingDown(CortexError):
    pass


class ServiceUnavailable(CortexError):
    pass


class Internal(CortexError):
    pass


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of the configuration: the file, the setting in it (either may be ""), and what is wrong with it."""

    file: str
    key: str
    reason: str

    def __str__(self) -> str:
        places = [name if name.isprintable() else repr(name) for name in (self.file, self.key) if name]
        return ": ".join((*places, self.reason))


class ConfigError(Exception):
    """The configuration cannot be used; the text names file, key and reason of every one of the `problems`."""

    def __init__(self, *problems: Problem | str) -> None:
        super().__init__(*problems)
        self.problems = tuple(item if isinstance(item, Problem) else Problem("", "", item) for item in problems)

    def __str__(self) -> str:
        return "; ".join(map(str, self.problems))


class Failure(StrEnum):
    """Why one attempt failed, in the words that errors, logs and the ledger use."""

    AUTHENTICATION = "authentication"  # 401, 403: the key is wrong or may not use the model
    RATE_LIMITED = "rate_limited"  # 429
    OVERLOADED = "overloaded"  # 529, 503
    SERVER = "server_error"  # other 5xx
    REFUSED = "refused_request"  # other 4xx: the provider does not accept this request
    TIMEOUT = "timeout"
    CONNECTION = "connection"  # not reached, or cut off
    MALFORMED = "malformed_answer"  # not what the vendor's API promises


@dataclass(slots=True, eq=False)
class ProviderError(Exception):
    """One attempt at one provider failed.

    `message` is scrubbed of keys and bounded. `may_have_billed` is true where the provider may have
    charged although we know no usage (cut off mid-answer, timed out, unreadable answer).
    """

    failure: Failure
    message: str
    status: int | None = None
    retry_after_ms: int | None = None
    may_have_billed: bool = False

    def __str__(self) -> str:
        return f"{self.failure}: {self.message}" if self.message else str(self.failure)

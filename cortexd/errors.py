"""Every error that cortexd gives to a caller.

    CortexError
    ├── InvalidArgument            a field is missing, malformed or out of range
    │   ├── UnknownTaskType
    │   └── UnknownProvider
    ├── AccessDenied               polkit said no, or asking was in vain; details: action, cause (a Denial)
    │   └── InteractiveAuthorizationRequired   asking could have helped
    ├── ProviderNotConfigured      the key or endpoint to set is in the text; details: provider
    ├── NoProviderAvailable        every candidate was tried or left out; details: tried, left_out, cause (UNSUITED)
    ├── ProviderFailed             one provider was asked for, and failed; details: tried
    ├── RateLimited                details: retry_after_ms
    ├── BudgetExceeded             details: period, limit_usd, resets_at
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
`details` ends the text as `[key=value …]`, which `cortexd.client` parses back. They, and never the words before them,
are what one part of cortexd reads of another's error. docs/errors.md has each key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

Detail = int | str
_PAIR = r"[a-z_]+=[^\s\]]+"
_DETAILS = re.compile(rf"({_PAIR}(?: {_PAIR})*)\]")
_NUMBER = re.compile(r"-?[0-9]{1,19}")


class CortexError(Exception):
    """Base of everything a caller may see. `message` is one clear sentence; `details` are machine-readable."""

    def __init__(self, message: str, /, **details: Detail) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Detail] = details

    def __str__(self) -> str:
        return f"{self.message}{self.brackets}"

    @property
    def brackets(self) -> str:
        """The end of the text that holds the details."""
        pairs = " ".join(f"{key}={value}" for key, value in self.details.items())
        return f" [{pairs}]" if pairs else ""

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Rebuild an error from the text that `str(error)` gave."""
        message, _, end = text.rpartition(" [")  # no detail holds a blank
        found = _DETAILS.fullmatch(end)
        if found is None:
            return cls(text)
        details: dict[str, Detail] = {}
        for pair in found.group(1).split():
            key, _, value = pair.partition("=")
            details[key] = int(value) if _NUMBER.fullmatch(value) else value
        return cls(message, **details)


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
    """One fault of the configuration: the file, the setting in it (either may be ""), and what is wrong with it.

    `forbidden`: only that whoever asks may not read it.
    """

    file: str
    key: str
    reason: str
    forbidden: bool = False

    def __str__(self) -> str:
        places = [name if name.isprintable() else repr(name) for name in (self.file, self.key) if name]
        return ": ".join((*places, self.reason))


class Denial(StrEnum):
    """Why the answer was a no: the detail `cause` of AccessDenied."""

    REFUSED = "refused"  # polkit's rules say no, and a password would not help
    NOT_ASKED = "not_asked"  # a password would help, and the call did not allow to ask for one
    NO_AGENT = "no_agent"  # nor is there anything that could ask
    DISMISSED = "dismissed"
    NOT_AUTHENTICATED = "not_authenticated"  # a wrong password
    UNANSWERED = "unanswered"  # nobody answered the prompt in time
    POLKIT_SILENT = "polkit_silent"
    POLKIT_ABSENT = "polkit_absent"
    POLKIT_FAILED = "polkit_failed"
    UNKNOWN_CALLER = "unknown_caller"
    NOT_ALLOWED = "not_allowed"  # the operator lets this user have other models
    OTHER_USER = "other_user"  # a private bus serves its own user alone


class ConfigError(Exception):
    """The configuration cannot be used; the text names file, key and reason of every one of the `problems`."""

    def __init__(self, *problems: Problem | str) -> None:
        super().__init__(*problems)
        self.problems = tuple(item if isinstance(item, Problem) else Problem("", "", item) for item in problems)

    def __str__(self) -> str:
        return "; ".join(map(str, self.problems))


class Failure(StrEnum):
    """Why one attempt failed, in the words that errors, logs and the ledger use."""

    AUTHENTICATION = "authentication"  # 401, 403: the key is wrong or may not do this
    QUOTA = "quota"  # 402: the account has no money left, or has used up what it may
    RATE_LIMITED = "rate_limited"  # 429
    OVERLOADED = "overloaded"  # 529, 503
    SERVER = "server_error"  # other 5xx
    REFUSED = "refused_request"  # other 4xx: the provider does not accept this request
    CONTEXT = "context_overflow"  # the prompt is longer than what the model takes
    CONTENT = "content_refused"  # the provider does not answer such a text
    TIMEOUT = "timeout"
    SILENT = "first_token_timeout"  # connected, and no word in time
    CONNECTION = "connection"  # not reached, or cut off
    MALFORMED = "malformed_answer"  # not what the vendor's API promises
    FULL = "at_capacity"  # all places of its endpoints are taken: nothing was sent


IN_WORDS: Mapping[str, str] = {  # of a Failure, as they follow the name of whoever failed
    Failure.AUTHENTICATION: "refuses the key",
    Failure.QUOTA: "says that the account is used up",
    Failure.RATE_LIMITED: "takes no more requests for now",
    Failure.OVERLOADED: "is overloaded",
    Failure.SERVER: "had an error of its own",
    Failure.REFUSED: "refused the request",
    Failure.CONTEXT: "takes no prompt of this length",
    Failure.CONTENT: "refused the content",
    Failure.TIMEOUT: "did not answer in time",
    Failure.SILENT: "said no first word in time",
    Failure.CONNECTION: "broke off",
    Failure.MALFORMED: "sent what is no answer",
    Failure.FULL: "has no place free",
}
_NEVER_REACHED = "could not be reached"

UNSUITED = "unsuited"  # the detail `cause` of NoProviderAvailable where no provider could take such a request, ever
OF_THE_REQUEST = frozenset({Failure.REFUSED, Failure.CONTEXT, Failure.CONTENT})  # asked again it fails again
# what speaks of the request alone, or of nobody: it marks no provider and no endpoint
MARKS_NOBODY = OF_THE_REQUEST | {Failure.FULL}
# whose text, the provider's, may hold some of the request
MAY_QUOTE = frozenset({Failure.REFUSED, Failure.CONTEXT, Failure.CONTENT, Failure.SERVER})


def tried_detail(attempts: Iterable[tuple[str, Failure]]) -> str:
    """The detail `tried`: `claude:server_error,kimi_k2:timeout`, in the order of the attempts."""
    return ",".join(f"{provider}:{failure}" for provider, failure in attempts)


def tried_of(error: CortexError) -> dict[str, str]:
    """The detail `tried` of `error`: provider -> Failure, or a newer service's word; empty where nobody was tried."""
    pairs = (pair.partition(":") for pair in str(error.details.get("tried", "")).split(",") if pair)
    return {provider: failure for provider, _, failure in pairs}


@dataclass(slots=True, eq=False)
class ProviderError(Exception):
    """One attempt at one provider failed.

    `message` is scrubbed of keys and bounded. `may_have_billed` is true where the provider may have
    charged although we know no usage (cut off mid-answer, timed out, unreadable answer).
    `again`: the endpoint that failed, where another one of the provider's would answer at once; "" for none.
    """

    failure: Failure
    message: str
    status: int | None = None
    retry_after_ms: int | None = None
    may_have_billed: bool = False
    again: str = ""

    @property
    def never_sent(self) -> bool:
        """Whether there was no connection: that depends on no request."""
        return self.failure is Failure.CONNECTION and not self.may_have_billed

    @property
    def in_words(self) -> str:
        """As it follows the name of whoever failed."""
        words = _NEVER_REACHED if self.never_sent else IN_WORDS[self.failure]
        return f"{words}: {self.message}" if self.message else words

    def __str__(self) -> str:
        return f"{self.failure}: {self.message}" if self.message else str(self.failure)

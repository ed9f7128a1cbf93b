"""What both vendors' request bodies share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from cortexd.errors import Failure, ProviderError


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A request as JSON bytes, and the names of the options that were left out of it."""

    content: bytes
    dropped_options: tuple[str, ...] = ()
    streamed: bool = False


def encode(value: dict[str, Any]) -> bytes:
    """`value` as JSON bytes. Raises ProviderError (refused request) for text that is not valid Unicode."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        raise ProviderError(Failure.REFUSED, "the request holds text that is not valid Unicode") from None


def as_is(json_text: str) -> msgspec.Raw:
    """JSON text to be put into a body unchanged: no number loses a digit, no key its place."""
    return msgspec.Raw(json_text.encode())

"""A provider's JSON, read with tolerance where that is harmless; everything else is a malformed answer.

Structures here are as loose as the vendors' servers are: a field whose wrong type does no harm is `Any`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from cortexd.domain.safe_values import bounded_text, safe_text
from cortexd.providers.failures import malformed

_MAX_NAME = 256
# The standard library takes what msgspec refuses (NaN, lone surrogates), but holds the loop for 10 ms per megabyte.
MAX_TOLERATED = 1024 * 1024

T = TypeVar("T")


Unreadable = (ValueError, RecursionError)
"""What a msgspec decoder raises."""


def json_decoder(shape: type[T]) -> Callable[[bytes], T]:
    """A function from a JSON body to `shape`. It raises ProviderError (malformed answer) and nothing else."""
    strict = msgspec.json.Decoder(shape)

    def decode(body: bytes) -> T:
        try:
            return strict.decode(body)
        except msgspec.ValidationError as error:
            raise malformed(f"the answer has another shape than promised ({error})") from None
        except (ValueError, RecursionError):
            return _tolerant(body, shape)

    return decode


def _tolerant(body: bytes, shape: type[T]) -> T:
    if len(body) > MAX_TOLERATED:
        raise malformed("the answer is not JSON")
    try:
        return msgspec.convert(json.loads(body.decode("utf-8", "replace")), shape)
    except msgspec.ValidationError as error:
        raise malformed(f"the answer has another shape than promised ({error})") from None
    except (ValueError, RecursionError):
        raise malformed(_what_instead(body)) from None


def _what_instead(body: bytes) -> str:
    start = body[:64].lstrip()
    if not start:
        return "the answer is empty"
    return "the answer is HTML, not JSON" if start.startswith(b"<") else "the answer is not JSON"


def json_text(value: object) -> str:
    """A decoded JSON value as text again, safe. Raises ProviderError where it is none (NaN, nested without end)."""
    try:
        return safe_text(json.dumps(value, ensure_ascii=False, allow_nan=False))
    except (ValueError, RecursionError):
        raise malformed("a tool call's arguments are not JSON") from None


def dig(value: object, *names: str) -> Any:
    """The value under a path of names; None where a step is missing or no object."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def model_of(claimed: object, asked: str) -> str:
    return bounded_text(claimed, _MAX_NAME) if isinstance(claimed, str) and claimed else asked

"""Whatever an SDK, or a fake in its place, raises, in cortexd's words for health and for messages; never with a key."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from cortexd.errors import Failure, ProviderError
from cortexd.providers.decoding import dig
from cortexd.providers.failures import error_object, malformed, scrub, status_error


def failure_of(error: Exception, secrets: Collection[str]) -> ProviderError:
    """The failure behind `error`, its text scrubbed of `secrets` and bounded."""
    found = _failure_of(error)
    found.message = scrub(found.message, secrets)
    return found


def _failure_of(error: Exception) -> ProviderError:
    if isinstance(error, ProviderError):
        return ProviderError(error.failure, error.message, error.status, error.retry_after_ms, error.may_have_billed)
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status >= 400:
        return _of_status(status, getattr(error, "response", None), error)
    if isinstance(status, int):  # an error in the middle of a stream, which had begun as 200
        body = getattr(error, "body", None)
        return error_object(dig(body, "error") or {"message": _text(error)}, may_have_billed=True)
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return ProviderError(Failure.TIMEOUT, _text(error), may_have_billed=True)
    if isinstance(error, ValueError):  # the SDKs let the JSON decoder's through
        return malformed(_text(error))
    return ProviderError(Failure.CONNECTION, _text(error), may_have_billed=True)


def _of_status(status: int, response: Any, error: Exception) -> ProviderError:
    headers, body = getattr(response, "headers", None), getattr(response, "content", None)
    found = status_error(
        status, headers if isinstance(headers, Mapping) else {}, body if isinstance(body, bytes) else b""
    )
    return found if isinstance(body, bytes) else ProviderError(found.failure, _text(error), status)


def _text(error: BaseException) -> str:
    """Its type and words; with those of its cause, as the SDKs' own say little ("Connection error.")."""
    text = f"{type(error).__name__}, {error}" if str(error) else type(error).__name__
    return text if error.__cause__ is None else f"{text} ({error.__cause__})"

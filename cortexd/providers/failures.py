"""Other people's failures in our words: HTTP status, error objects, Retry-After, and texts without keys."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

from cortexd.domain.safe_values import bounded_text
from cortexd.errors import Failure, ProviderError

MAX_MESSAGE = 500
MAX_RETRY_AFTER_MS = 24 * 3600 * 1000
HIDDEN = "•••"

_STATUS = {
    401: Failure.AUTHENTICATION,
    402: Failure.QUOTA,
    403: Failure.AUTHENTICATION,
    407: Failure.CONNECTION,
    408: Failure.TIMEOUT,
    429: Failure.RATE_LIMITED,
    503: Failure.OVERLOADED,
    529: Failure.OVERLOADED,
}
# `error.code`, `error.type` and `error.status`, where no HTTP status says it: an error on a 200 or in a stream; what a
# 400 is about.
# Small letters alone, without a last "error" or "exception": RateLimitError is rate_limit_error.
_ERROR_WORD = {
    "authentication": Failure.AUTHENTICATION,
    "permission": Failure.AUTHENTICATION,
    "permissiondenied": Failure.AUTHENTICATION,  # Google's status, LiteLLM
    "unauthenticated": Failure.AUTHENTICATION,
    "unauthorized": Failure.AUTHENTICATION,
    "forbidden": Failure.AUTHENTICATION,
    "accessdenied": Failure.AUTHENTICATION,  # DashScope, AWS
    "invalidapikey": Failure.AUTHENTICATION,
    "invalidauthentication": Failure.AUTHENTICATION,
    "apikeyinvalid": Failure.AUTHENTICATION,  # Google's reason
    "nodbconnection": Failure.AUTHENTICATION,  # LiteLLM without a database: the key is not its master key
    "ratelimit": Failure.RATE_LIMITED,
    "ratelimitexceeded": Failure.RATE_LIMITED,
    "ratelimitreached": Failure.RATE_LIMITED,
    "toomanyrequests": Failure.RATE_LIMITED,
    "throttling": Failure.RATE_LIMITED,  # DashScope, AWS, LiteLLM
    "throttlingratequota": Failure.RATE_LIMITED,
    "resourceexhausted": Failure.RATE_LIMITED,  # Google's status
    "insufficientquota": Failure.QUOTA,
    "exceededcurrentquota": Failure.QUOTA,  # Moonshot
    "insufficientbalance": Failure.QUOTA,  # DeepSeek, Z.AI
    "billing": Failure.QUOTA,
    "billinghardlimitreached": Failure.QUOTA,
    "billingnotactive": Failure.QUOTA,
    "budgetexceeded": Failure.QUOTA,  # LiteLLM
    "overloaded": Failure.OVERLOADED,
    "engineoverloaded": Failure.OVERLOADED,
    "serveroverloaded": Failure.OVERLOADED,
    "serviceunavailable": Failure.OVERLOADED,
    "unavailable": Failure.OVERLOADED,
    "invalidrequest": Failure.REFUSED,
    "badrequest": Failure.REFUSED,
    "invalidargument": Failure.REFUSED,  # Google's status
    "invalidparameter": Failure.REFUSED,  # DashScope
    "unprocessableentity": Failure.REFUSED,
    "notfound": Failure.REFUSED,
    "modelnotfound": Failure.REFUSED,
    "requesttoolarge": Failure.REFUSED,
    "contextlengthexceeded": Failure.CONTEXT,
    "contextwindowexceeded": Failure.CONTEXT,  # LiteLLM
    "exceedcontextsize": Failure.CONTEXT,  # llama.cpp
    "contentfilter": Failure.CONTENT,  # Azure
    "contentpolicyviolation": Failure.CONTENT,
    "datainspectionfailed": Failure.CONTENT,  # DashScope
    # of a response that failed (openai 3.54, types/responses/response_error.py)
    "invalidprompt": Failure.CONTENT,
    "biopolicy": Failure.CONTENT,
    "misalignmentpolicyviolation": Failure.CONTENT,
    "imagecontentpolicyviolation": Failure.CONTENT,
    "invalidimage": Failure.REFUSED,
    "invalidimageformat": Failure.REFUSED,
    "invalidbaseimage": Failure.REFUSED,  # base64
    "invalidimageurl": Failure.REFUSED,
    "invalidimagemode": Failure.REFUSED,
    "imagetoolarge": Failure.REFUSED,
    "imagetoosmall": Failure.REFUSED,
    "imageparse": Failure.REFUSED,
    "imagefiletoolarge": Failure.REFUSED,
    "unsupportedimagemediatype": Failure.REFUSED,
    "emptyimagefile": Failure.REFUSED,
    "timeout": Failure.TIMEOUT,
    "requesttimeout": Failure.TIMEOUT,
    "deadlineexceeded": Failure.TIMEOUT,  # Google's status
}
_LETTERS = re.compile(r"[^a-z]")
_LAST_WORD = re.compile(r"(?:error|exception)$")
_WORD_STATUS = {"permission": 403, "permissiondenied": 403, "forbidden": 403, "notfound": 404, "modelnotfound": 404}
# What only the text of a refused request says. It may quote the prompt, but speaks of nobody but who sent that.
_TOO_LONG = re.compile(
    r"prompt is too long: \d+ tokens > \d+"  # Anthropic
    r"|maximum context length (?:is|of) \d+"  # OpenAI, vLLM, SGLang
    r"|input token count .{0,40}exceeds the maximum"  # Gemini
    r"|\bContextWindowExceededError\b"  # LiteLLM
    r"|longer than the model's context length"  # SGLang
    r"|exceeds? the (?:available )?context (?:size|window|length)",  # llama.cpp, and others
    re.IGNORECASE,
)
_OF_REQUEST = frozenset({400, 413, 422})
_TELLING = frozenset({Failure.QUOTA, Failure.CONTEXT, Failure.CONTENT})  # what words tell better than a status
# Anthropic's 400s, which no word tells from a bad request, by the beginning of their text
_SAID_IN_FULL = {
    "Your credit balance is too low": Failure.QUOTA,
    "Output blocked by content filtering policy": Failure.CONTENT,
}
_KEY_LIKE = re.compile(r"\b(?:g?sk|key)[-_][\w*.•…-]{6,}|\bBearer\s+\S+", re.IGNORECASE)

# What a provider's text says of the account behind the key, which belongs to the operator and not to the caller.
_ACCOUNT = re.compile(
    r"""
    \b(?:org|proj|acct|team|wrkspc|workspace|user|usr|account)[-_](?=[A-Za-z0-9_-]*\d)[A-Za-z0-9_-]{4,}
    | \b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b
    | [\w.+-]+@[\w-]+\.[\w.-]*\w
    | (?:\b(?:USD|CNY|RMB|EUR)\s?|[$€£¥])-?\d[\d.,]*\d?
    | \b\d[\d.,]*\s?(?:USD|CNY|RMB|EUR|yuan|dollars|credits)\b
    | (?<=\bbalance)\D{1,20}-?\d[\d.,]*
    | (?<=\bending\ in)\s\S+ | (?<=\bending\ with)\s\S+
    | [\w-]*(?:\*{3,}|•{3,}|…|\.{3,})[\w*-]*[\w*]
    | (?<=\borganization)[\s:=]+["'`“][^"'`”]+["'`”] | (?<=\bproject)[\s:=]+["'`“][^"'`”]+["'`”]
    """,
    re.IGNORECASE | re.VERBOSE,
)
_ADDRESS_LIKE = re.compile(r"(?<!\w)[0-9a-f]*[:.][0-9a-f:.]*[0-9a-f](?!\w)", re.IGNORECASE)
_PORT = re.compile(rf"{HIDDEN}(?:'(?:, \d+)+|:\d+)")

Errors = Mapping[type[Exception], Callable[[Any], ProviderError]]


class map_exceptions:  # and no generator, which would take twice as long
    """Raise theirs as ours: the first row whose type fits makes the error. The original never shows in a traceback.

    Where `unless` says so, the exception is nobody's but the caller's own, and left as it is.
    """

    __slots__ = ("_table", "_unless")

    def __init__(self, table: Errors, unless: Callable[[], bool] = lambda: False) -> None:
        self._table, self._unless = table, unless

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, tuple(self._table)) or self._unless():
            return
        make = next(ours for theirs, ours in self._table.items() if isinstance(error, theirs))
        raise make(error) from None


def malformed(problem: str) -> ProviderError:
    """A 200 that is not what the vendor's API promises: the work was perhaps done, and billed."""
    return ProviderError(Failure.MALFORMED, problem, may_have_billed=True)


def failure_of_status(status: int) -> Failure:
    return _STATUS.get(status, Failure.SERVER if status >= 500 else Failure.REFUSED)


def status_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """The failure that an HTTP status other than 2xx says. `body` is its first part."""
    text = upstream_text(body) or _phrase(status)
    message = f"HTTP {status}, {text}" if text else f"HTTP {status}"
    failure = _says(status, body) or failure_of_status(status)
    if failure is Failure.REFUSED and status in _OF_REQUEST and _TOO_LONG.search(text):
        failure = Failure.CONTEXT
    return ProviderError(failure, message, status, retry_after_ms(headers))


def _says(status: int, body: bytes) -> Failure | None:
    """What an error's words, not its text, which may quote a prompt, say better than its status: of the account, of the
    request's text or, with a 400, of the key."""
    row = _error_row(body)
    if row is None:
        return None
    text = str(row.get("message") or "")
    if in_full := next((failure for words, failure in _SAID_IN_FULL.items() if text.startswith(words)), None):
        return in_full
    details = row.get("details")
    rows = details if isinstance(details, list) else []
    reasons = [detail.get("reason") for detail in rows if isinstance(detail, dict)]
    words = (row.get("code"), row.get("type"), *reasons)
    found = [_ERROR_WORD.get(_plain(word)) for word in words if isinstance(word, str)]
    telling = next((failure for failure in found if failure in _TELLING), None)
    if telling is not None:
        return telling
    return Failure.AUTHENTICATION if status == HTTPStatus.BAD_REQUEST and Failure.AUTHENTICATION in found else None


def _error_row(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and len(value) == 1:  # Gemini's OpenAI endpoint
        value = value[0]
    row = value.get("error", value) if isinstance(value, dict) else None
    return row if isinstance(row, dict) else None


def error_object(error: object, *, may_have_billed: bool) -> ProviderError:
    """The failure that an error object says where the HTTP status was 200."""
    row = error if isinstance(error, dict) else {"message": error}
    words = [word for name in ("code", "type", "status") if isinstance(word := row.get(name), str | int)]
    said = [found for word in words if (found := _failure_of_word(word))]
    failure = next((found for found in said if found in _TELLING), said[0] if said else Failure.SERVER)
    text = row.get("message") or (words[-1] if words else "an error without a text")
    status = next((code for word in words if (code := _status_of_word(word))), None)
    if failure in (Failure.REFUSED, Failure.SERVER) and _TOO_LONG.search(str(text)[: 4 * MAX_MESSAGE]):
        failure = Failure.CONTEXT
    return ProviderError(failure, str(text)[: 4 * MAX_MESSAGE], status, may_have_billed=may_have_billed)


def _status_of_word(word: str | int) -> int | None:
    if isinstance(word, str):
        return _WORD_STATUS.get(_plain(word))
    return word if 400 <= word <= 599 else None


def _plain(word: str) -> str:
    return _LAST_WORD.sub("", _LETTERS.sub("", word[:MAX_MESSAGE].lower()))


def _failure_of_word(word: str | int) -> Failure | None:
    if isinstance(word, str) and not word.isdecimal():
        return _ERROR_WORD.get(_plain(word))
    number = int(word) if isinstance(word, int) or len(word) == len("429") else 0
    return failure_of_status(number) if 400 <= number <= 599 else None


def upstream_text(body: bytes) -> str:
    """What an error body says for people: its message where it is JSON, its text where it is plain, else nothing."""
    text = body.decode("utf-8", "replace").strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return "" if text.startswith(("<", "{")) or "\ufffd" in text else text
    if isinstance(value, list) and len(value) == 1:  # Gemini's OpenAI endpoint
        value = value[0]
    for name in ("error", "message", "detail"):
        if isinstance(value, dict) and value.get(name):
            value = value[name]
    return value if isinstance(value, str) else ""


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""


def retry_after_ms(headers: Mapping[str, str], now: datetime | None = None) -> int | None:
    """`retry-after-ms`, or `retry-after` in seconds or as an HTTP date, in 0 .. one day; None where unreadable.

    A date is counted from the answer's own `date`: the server's clock need not agree with this machine's.
    """
    wait = _number(headers.get("retry-after-ms"))
    if wait is None:
        text = headers.get("retry-after")
        seconds = _number(text)
        wait = (
            _until(text, _date(headers.get("date")) or now or datetime.now(UTC)) if seconds is None else seconds * 1000
        )
    return None if wait is None else int(min(max(wait, 0), MAX_RETRY_AFTER_MS))


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _until(text: str | None, now: datetime) -> float | None:
    then = _date(text)
    return None if then is None else (then - now).total_seconds() * 1000


def _date(text: str | None) -> datetime | None:
    from email.utils import parsedate_to_datetime  # a megabyte that few answers need

    try:
        then = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return then if then.tzinfo else then.replace(tzinfo=UTC)


def scrub(message: str, secrets: Collection[str]) -> str:
    """`message` without the secrets and without anything that looks like a key, safe and at most MAX_MESSAGE long."""
    for secret in secrets:
        message = _without_start_of(secret, message.replace(secret, HIDDEN))
    return bounded_text(_KEY_LIKE.sub(HIDDEN, message), MAX_MESSAGE)


def _without_start_of(secret: str, message: str) -> str:
    """`message` without a secret that was cut off with it at its end."""
    cut = next((n for n in range(len(secret) - 1, 3, -1) if message.endswith(secret[:n])), 0)
    return message[:-cut] + HIDDEN if cut else message


def without_account(message: str, hosts: Collection[str]) -> str:
    """A scrubbed message for callers: nothing of the key's account, no address of an endpoint or proxy (`hosts`)."""
    for host in hosts:
        name = re.escape(host)
        message = re.sub(rf"\b\w+://[^\s/]*{name}[^\s'\")]*|(?<![\w.-]){name}\b", HIDDEN, message, flags=re.IGNORECASE)
    message = _PORT.sub(HIDDEN, _ADDRESS_LIKE.sub(_hide_address, message))
    return bounded_text(_ACCOUNT.sub(HIDDEN, message), MAX_MESSAGE)


def _hide_address(match: re.Match[str]) -> str:
    text = match.group()
    return HIDDEN if _is_address(text) or _is_address(text.rpartition(":")[0]) else text


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True

"""One request at the very address that a program was given."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

from cortexd.cli.connecting.bridge import Address
from cortexd.cli.connecting.obstacles import Obstacle, refusal
from cortexd.errors import CortexError

_LIST_S, _ANSWER_S = 30.0, 600.0
_LONGEST = 16_000_000
_QUESTION = [{"role": "user", "content": "Say hello in five words or fewer."}]
_ASKING = {
    "openai": ("/v1/chat/completions", {"max_completion_tokens": 64}),
    "anthropic": ("/v1/messages", {"max_tokens": 64}),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer of the bridge: who gave it and what it cost in US dollars, as its headers say."""

    text: str
    provider: str
    model: str
    cost_usd: str


def models(address: Address) -> list[str]:
    """The names that may be asked for. Raises CortexError."""
    answer, _ = _asked(address, "GET", "/v1/models", None, _LIST_S)
    return [str(item["id"]) for item in answer["data"]]


def why_unknown(url: str, token: str, model: str) -> str:
    """What the bridge says, with the nearest names, of a name that nobody answers to; "" for others. Other troubles are
    the program's to tell. Costs nothing."""
    body = {"model": model, "messages": _QUESTION}
    try:
        status, document, _ = _sent(url, token, "POST", "/v1/messages/count_tokens", body, _LIST_S)
    except CortexError:
        return ""
    return _reason(document).removeprefix("model: ") if status == http.HTTPStatus.NOT_FOUND else ""


def chat(address: Address, api: str, model: str) -> Seen:
    """The smallest question, answered; it costs what it costs. Raises CortexError."""
    path, bound = _ASKING[api]
    answer, headers = _asked(address, "POST", path, {"model": model, "messages": _QUESTION, **bound}, _ANSWER_S)
    text = answer["content"][0]["text"] if api == "anthropic" else answer["choices"][0]["message"]["content"]
    provider, named, cost = (headers.get(f"x-cortex-{name}", "") for name in ("provider", "model", "cost-usd"))
    return Seen(str(text), provider, named, cost)


def _asked(
    address: Address, method: str, path: str, body: Mapping[str, Any] | None, timeout_s: float
) -> tuple[Any, Message]:
    status, document, headers = _sent(address.url, address.token, method, path, body, timeout_s)
    if status == http.HTTPStatus.NOT_FOUND:
        raise refusal(Obstacle.UNKNOWN, reason=_reason(document))
    if status != http.HTTPStatus.OK:
        raise refusal(Obstacle.NOT_SERVED, status=status, reason=_reason(document))
    return document, headers


def _sent(
    url: str, token: str, method: str, path: str, body: Mapping[str, Any] | None, timeout_s: float
) -> tuple[int, Any, Message]:
    """The answer's status, document and headers. Raises CortexError where there is none."""
    place = urlsplit(url)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=timeout_s)
    try:
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        data = response.read(_LONGEST)
    except (OSError, http.client.HTTPException) as error:
        raise refusal(Obstacle.NO_ANSWER, url=url, reason=getattr(error, "strerror", None) or error) from None
    finally:
        connection.close()
    try:
        document = json.loads(data)
    except ValueError:
        document = {}
    return response.status, document, response.headers


def _reason(document: Any) -> str:
    try:
        return str(document["error"]["message"])
    except (KeyError, TypeError):
        return "no reason was given"

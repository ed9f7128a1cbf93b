"""What stands in HTTP headers: what a program says of its request there, and what it is told of the answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from cortexd.client import Completion, HeadEvent
from cortexd.validation.checks import REQUEST_ID

TASK = "x-cortex-task"
_SESSIONS = ("x-session-id", "session_id", "x-claude-code-session-id")  # the last two: codex, Claude Code
_PASSED = ("anthropic-beta", "anthropic-version", "openai-beta")


def said(headers: Mapping[str, str], session: str) -> dict[str, Any]:
    """Options that are said in headers, or that name a conversation; `session`: what the body calls it."""
    session = next((headers[name] for name in _SESSIONS if headers.get(name)), session)
    given = {"request_id": headers.get("Idempotency-Key"), "session": session}
    return {key: _word(value) for key, value in given.items() if value}


def passed(headers: Mapping[str, str]) -> dict[str, str]:
    """Those that go on to the vendor with the body."""
    return {name: plain(headers[name]) for name in _PASSED if headers.get(name)}


def told(completion: Completion) -> dict[str, str]:
    """Of an answer. The cost is exact, in dollars."""
    whole, rest = divmod(completion.cost_nano_usd, 10**9)
    get = completion.metadata.get
    return {
        "x-cortex-cost-usd": f"{whole}.{rest:09d}",
        **_facts(
            completion.request_id, completion.provider, completion.model, completion.route_reason, get("lane", "")
        ),
        **_lost(get("lost", ())),
    }


def told_ahead(request_id: str, head: HeadEvent) -> dict[str, str]:
    """Of one that begins: what it costs is not known yet."""
    return _facts(request_id, head.provider, head.model, head.reason, head.lane) | _lost(head.lost)


def _facts(request_id: str, provider: str, model: str, reason: str, lane: str) -> dict[str, str]:
    facts = {
        "x-request-id": request_id,
        "x-cortex-provider": provider,
        "x-cortex-model": model,
        "x-cortex-reason": reason,
        "x-cortex-lane": lane,
    }
    return {name: plain(value) for name, value in facts.items() if value}


def _lost(names: Iterable[str]) -> dict[str, str]:
    """What of the body did not reach the model."""
    listed = ", ".join(names)
    return {"x-cortex-lost": plain(listed)[:1000]} if listed else {}


def _word(value: str) -> str:
    """As the bus takes it; what it does not take as a fingerprint."""
    return value if REQUEST_ID.fullmatch(value) else hashlib.sha256(value.encode(errors="replace")).hexdigest()


def plain(value: str) -> str:
    """As any header may say it."""
    if value.isascii() and value.isprintable():
        return value
    return "".join(letter if " " <= letter <= "~" else "?" for letter in value)

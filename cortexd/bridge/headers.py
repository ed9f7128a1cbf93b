"""What stands in HTTP headers: what a program says of its request there, and what it is told of the answer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from cortexd.client import Completion
from cortexd.formats import Asked
from cortexd.validation.checks import REQUEST_ID

TASK = "x-cortex-task"
_SESSIONS = ("x-session-id", "session_id", "x-claude-code-session-id")  # the last two: codex, Claude Code


def said(headers: Mapping[str, str], asked: Asked) -> dict[str, Any]:
    """Options that are said in headers, or that name a conversation."""
    session = next((headers[name] for name in _SESSIONS if headers.get(name)), asked.session)
    given = {"request_id": headers.get("Idempotency-Key"), "session": session}
    return {key: _word(value) for key, value in given.items() if value}


def told(completion: Completion) -> dict[str, str]:
    """Of an answer. The cost is exact, in dollars."""
    whole, rest = divmod(completion.cost_nano_usd, 10**9)
    facts = {
        "x-request-id": completion.request_id,
        "x-cortex-cost-usd": f"{whole}.{rest:09d}",
        "x-cortex-provider": completion.provider,
        "x-cortex-model": completion.model,
        "x-cortex-reason": completion.route_reason,
    }
    return {name: _plain(value) for name, value in facts.items() if value}


def told_lost(asked: Asked, dropped: tuple[str, ...] = ()) -> dict[str, str]:
    """What of the body did not reach the model."""
    names = (*asked.lost, *dropped)
    return {"x-cortex-lost": _plain(", ".join(names))[:1000]} if names else {}


def _word(value: str) -> str:
    """As the bus takes it; what it does not take as a fingerprint."""
    return value if REQUEST_ID.fullmatch(value) else hashlib.sha256(value.encode(errors="replace")).hexdigest()


def _plain(value: str) -> str:
    return "".join(letter if " " <= letter <= "~" else "?" for letter in value)

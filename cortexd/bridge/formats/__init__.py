"""The vendors' forms: what a body asks for, and how an answer, a stream and an error look."""

from __future__ import annotations

from typing import Any, Protocol

from cortexd.bridge.asked import Asked, Body
from cortexd.client import Completion, StreamEvent
from cortexd.errors import CortexError


class Telling(Protocol):
    """One stream on its way, as Server-Sent Events."""

    def begin(self) -> bytes: ...

    def event(self, event: StreamEvent) -> bytes: ...

    def failed(self, error: CortexError) -> bytes: ...


class Format(Protocol):
    """One API. `asked` raises InvalidArgument."""

    def asked(self, body: Body) -> Asked: ...

    def answer(self, completion: Completion) -> dict[str, Any]: ...

    def telling(self, asked: Asked, request_id: str) -> Telling: ...

    def error(self, error: CortexError) -> tuple[int, dict[str, Any]]: ...

    def kept_as(self, request_id: str) -> str:  # noqa: ARG002 - of those that have one
        """The name under which a later request may go on from this answer; "" where the API has no such thing."""
        return ""

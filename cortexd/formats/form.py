"""What each vendor's API gives: what its bodies ask for, and how an answer, a stream and an error look in it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cortexd.domain.messages import ToolCall, Usage
from cortexd.errors import CortexError
from cortexd.formats.asked import Asked, Body
from cortexd.formats.extras import Extras


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that is to be told in a vendor's form. `usage`: None where it is not known; `created`: Unix time."""

    request_id: str
    model: str
    content: str
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: str = "stop"
    usage: Usage | None = None
    reasoning: str = ""
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def tokens(self) -> Usage:
        """Programs expect figures: zeros where they are not known."""
        return self.usage or Usage()


class Telling(ABC):
    """One stream on its way, as Server-Sent Events: `begin` first, `done` or `failed` last."""

    @abstractmethod
    def begin(self) -> bytes: ...

    @abstractmethod
    def text(self, piece: str) -> bytes: ...

    @abstractmethod
    def tool_call(self, call: ToolCall) -> bytes: ...

    @abstractmethod
    def done(self, answered: Answered) -> bytes: ...

    @abstractmethod
    def failed(self, error: CortexError) -> bytes: ...


class Format(ABC):
    """One API; `name` is its kind in the configuration."""

    name: str

    @abstractmethod
    def asked(self, body: Body) -> Asked:
        """Raises InvalidArgument."""

    @abstractmethod
    def most_output(self, body: Body) -> tuple[int | None, int]:
        """The most tokens that one answer may have, None where the body sets no limit, and how many answers are
        asked for. Raises InvalidArgument."""

    @abstractmethod
    def extras(self, body: Body) -> Extras: ...

    @abstractmethod
    def answer(self, answered: Answered) -> dict[str, Any]: ...

    @abstractmethod
    def telling(self, asked: Asked, request_id: str) -> Telling: ...

    @abstractmethod
    def error(self, error: CortexError) -> tuple[int, dict[str, Any]]:
        """Its HTTP status and body."""

    @abstractmethod
    def failed(self, error: CortexError) -> bytes:
        """A failure as the last event of a stream, whatever came before it."""

    def unasked(self, data: bytes) -> bool:  # noqa: ARG002 - of those that have one
        """Whether an event with this data is there only since `rewritten(counted=True)` asked for the usage."""
        return False

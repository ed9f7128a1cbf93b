"""What both vendors' streams are put together with: text and tool calls, bounded, in the order in which they came."""

from __future__ import annotations

from abc import ABC, abstractmethod
from io import StringIO

from cortexd.domain.messages import Answer, ToolCall, Usage
from cortexd.domain.safe_values import safe_text
from cortexd.providers.failures import malformed
from cortexd.providers.listening import Delta


class Collector(ABC):
    """Puts the events of one stream together to the Answer that the plain call would have given.

    Feed it the data of each event, `take` what is new, `end` it when the stream has ended, and there is the `answer`.
    `complete`: the provider has said that this was all. `output_bytes`: UTF-8 bytes of text, reasoning and tool
    arguments so far; `max_bytes` bounds them, and with them what is held.
    """

    def __init__(self, asked_model: str, max_bytes: int) -> None:
        self._asked_model = asked_model
        self._max_bytes = max_bytes
        self.output_bytes = 0
        self.complete = False
        self._pieces: list[str] = []
        self._fresh: list[Delta] = []
        self._said = StringIO()  # a list of pieces would take fifty times their size
        self._reported: object = None
        self._counted: tuple[object, Usage | None] = (None, None)

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Take one event. Raises ProviderError for an error event, a malformed one, and one too many."""

    @abstractmethod
    def end(self) -> None:
        """Nothing more will come; once is enough. Raises ProviderError where the stream ended before the answer did."""

    @abstractmethod
    def answer(self) -> Answer:
        """The Answer, after `end`, which it calls where nobody has."""

    @abstractmethod
    def _count_usage(self, reported: object) -> Usage | None: ...

    @property
    def usage(self) -> Usage | None:
        """What the provider has reported so far."""
        if self._counted[0] is not self._reported:
            self._counted = (self._reported, self._count_usage(self._reported))
        return self._counted[1]

    def take(self) -> list[Delta]:
        """The deltas since the last call, adjacent texts as one."""
        if self._pieces:
            self._merge()
        fresh, self._fresh = self._fresh, []
        return fresh

    def _content(self) -> str:
        self._merge()
        return self._said.getvalue()

    def _add_text(self, piece: str) -> None:
        self._count(piece)
        self._pieces.append(piece)

    def _add_call(self, call: ToolCall) -> None:
        self._merge()
        self._fresh.append(call)

    def _merge(self) -> None:
        if text := safe_text("".join(self._pieces)):
            self._said.write(text)
            self._fresh.append(text)
        self._pieces = []

    def _count(self, piece: str) -> None:
        """Count output. Raises ProviderError where it is more than allowed."""
        self.output_bytes += len(piece) if piece.isascii() else len(piece.encode("utf-8", "surrogatepass"))
        if self.output_bytes > self._max_bytes:
            raise malformed("the answer is larger than allowed")

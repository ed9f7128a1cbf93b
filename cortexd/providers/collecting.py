"""What both vendors' streams are put together with: text and tool calls, bounded, in the order in which they came."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from io import StringIO
from typing import Any

from cortexd.domain.messages import Answer, ToolCall, Usage
from cortexd.domain.safe_values import safe_text
from cortexd.errors import Failure, ProviderError
from cortexd.providers.decoding import Unreadable, model_of
from cortexd.providers.error_forms import decoded, error_event
from cortexd.providers.failures import malformed
from cortexd.providers.finishing import check_substance
from cortexd.providers.listening import Delta
from cortexd.providers.sse import ERROR, MOST_NOTHING, NOTHING, EventSplitter
from cortexd.providers.tool_calls import CallIds
from cortexd.providers.usage import believable

DONE = b"[DONE]"
_MANY_BYTES = 1024  # of a chunk: fewer hold an event or two
MAX_REASONING_BYTES = 256 * 1024  # half of it could not be given back
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class Collector(ABC):
    """Puts the events of one stream together to the Answer that the plain call would have given.

    Feed it the data of each event, `take` what is new, `end` it when the stream has ended, and there is the `answer`.
    `complete`: the provider has said that this was all. `output_bytes`: UTF-8 bytes of text, reasoning and tool
    arguments so far; `max_bytes` bounds them, and with them what is held. `taken_ids`: of the tool calls so far in the
    conversation; none comes twice. `names`: lines that name an event and say nothing beyond its data. `keep_alive`:
    names of events that need hold no JSON. `decode` and `decode_strictly` make an event of data. `first_ms`: when the
    first of it was told, for the answer.
    """

    names: Collection[bytes] = frozenset()
    keep_alive: Collection[str] = frozenset({"ping"})
    decode: Callable[[bytes], Any]
    decode_strictly: Callable[[bytes], Any]

    def __init__(self, asked_model: str, max_bytes: int, taken_ids: Collection[str] = ()) -> None:
        self._asked_model = asked_model
        self._max_bytes = max_bytes
        self.output_bytes = 0
        self.first_ms: int | None = None
        self.complete = False
        self._reasoning_bytes = 0
        self._ids = CallIds(taken_ids)
        self._pieces: list[str] = []
        self._fresh: list[Delta] = []
        self._thoughts = StringIO()
        self._said = StringIO()  # a list of pieces would take fifty times their size
        self._reported: object = None
        self._counted: tuple[object, Usage | None] = (None, None)

    def feed(self, data: bytes, name: str = "") -> None:
        """Take one event. Raises ProviderError for an error event, a malformed one, and one too many."""
        if self.complete:
            return
        if name and name.lower() == ERROR:
            raise error_event(data)
        if data.startswith(DONE):
            self.complete = True
        elif not (name and name.lower() in self.keep_alive):
            self._handle(decoded(self.decode, data, may_have_billed=True), data)

    def read(self, chunk: bytes, events: EventSplitter) -> bool:
        """Take the events that `chunk` completes, those in their usual form all at once. Returns whether it said
        anything. Raises as `feed`."""
        if len(chunk) < _MANY_BYTES or (parts := events.usual(chunk, self.names)) is None:
            return self._read_each(chunk, events)
        before, lines, after = parts
        self._read_each(before, events)
        self._read_lines(lines)
        self._read_each(after, events)
        return True

    def _read_lines(self, lines: list[bytes]) -> None:
        """Texts that follow each other, as nearly all events say, are taken together."""
        texts: list[str] = []
        for line in () if self.complete else lines:
            try:
                event = self.decode_strictly(line[5:])
            except Unreadable:
                event = None
            if event is not None and (text := self._text_in(event)):
                texts.append(text)
                continue
            self._add_texts(texts)
            texts = []
            self._handle_line(event, line[5:].strip())
            if self.complete:
                return
        self._add_texts(texts)

    def _handle_line(self, event: Any, data: bytes) -> None:
        if not data or (not self.names and len(data) <= MOST_NOTHING and data in NOTHING):
            return
        if event is None:
            self.feed(data)
        else:
            self._handle(event, data)

    def _read_each(self, chunk: bytes, events: EventSplitter) -> bool:
        held, said = events.held_bytes, False
        for name, data in events.feed(chunk):
            said = True
            self.feed(data, name)
        return said or events.held_bytes != held

    @abstractmethod
    def _text_in(self, event: Any) -> str:
        """The piece of text that an event says, where it says nothing else, as nearly all do; "" where that is not
        sure. The event counts as taken then."""

    @abstractmethod
    def _handle(self, event: Any, data: bytes) -> None:
        """Take an event; `data` is what was decoded."""

    @abstractmethod
    def finish(self) -> None:
        """Take the end for a good one, where the provider has not said why it ended: a program's fake seldom does."""

    @abstractmethod
    def end(self) -> None:
        """Nothing more will come; once is enough. Raises ProviderError where the stream ended before the answer did, or
        where that is none."""

    @abstractmethod
    def answer(self) -> Answer:
        """The Answer, after `end`, which it calls where nobody has."""

    @abstractmethod
    def _count_usage(self, reported: object) -> Usage | None: ...

    def _answer(self, model: object, finish: str, calls: tuple[ToolCall, ...]) -> Answer:
        """What `answer` gives: `model` as the provider names it."""
        return Answer(
            content=self._content(),
            model=model_of(model, self._asked_model),
            usage=self._believed(),
            finish_reason=finish,
            tool_calls=calls,
            reasoning=self._reasoning(),
            time_to_first_token_ms=self.first_ms,
        )

    @property
    def usage(self) -> Usage | None:
        """What the provider has reported so far."""
        if self._counted[0] is not self._reported:
            self._counted = (self._reported, self._count_usage(self._reported))
        return self._counted[1]

    def _believed(self) -> Usage | None:
        """The usage of what was said in all, where that can have it."""
        return believable(self.usage, self.output_bytes - self._reasoning_bytes, self._reasoning_bytes)

    @property
    def reported(self) -> bool:
        """Whether it has reported anything, also what cannot be counted."""
        return self._reported is not None

    def take(self, *, last: bool = False) -> list[Delta]:
        """The deltas since the last call, adjacent texts as one. `last`: no more text will come."""
        if self._pieces:
            self._merge(last=last)
        fresh, self._fresh = self._fresh, []
        return fresh

    def _content(self) -> str:
        self._merge(last=True)
        return self._said.getvalue()

    def _add_text(self, piece: str) -> None:
        self._count(piece)
        self._pieces.append(piece)

    def _add_texts(self, pieces: list[str]) -> None:
        if pieces:
            self._add_text("".join(pieces))

    def _add_call(self, call: ToolCall) -> None:
        self._merge(last=True)
        self._fresh.append(call)

    def _merge(self, *, last: bool) -> None:
        """Half a character at the end waits for the other half, unless this is the `last` of the text."""
        text = paired("".join(self._pieces))
        self._pieces = []
        if not last and text and "\ud800" <= text[-1] <= "\udbff":
            text, self._pieces = text[:-1], [text[-1]]
        if text := safe_text(text):
            self._said.write(text)
            self._fresh.append(text)

    def _think(self, piece: str) -> None:
        """Take a piece of reasoning."""
        self._count_reasoning(piece)
        if self._reasoning_bytes <= MAX_REASONING_BYTES:
            self._thoughts.write(piece)

    def _reasoning(self) -> str:
        return reasoning_of(self._thoughts.getvalue()) if self._reasoning_bytes <= MAX_REASONING_BYTES else ""

    def _count_reasoning(self, piece: str) -> None:
        before = self.output_bytes
        self._count(piece)
        self._reasoning_bytes += self.output_bytes - before

    def _count(self, piece: str) -> None:
        """Count output. Raises ProviderError where it is more than allowed."""
        self.output_bytes += len(piece) if piece.isascii() else bytes_of(piece)
        if self.output_bytes > self._max_bytes:
            raise malformed("the answer is larger than allowed")


def whole_answer(
    text: str,
    thoughts: str,
    calls: tuple[ToolCall, ...],
    finish: str,
    reported: Usage | None,
    model: str,
) -> Answer:
    """An answer that came in one piece. Raises ProviderError for one that is none."""
    said_bytes = sum(map(bytes_of, (text, *(call.arguments for call in calls))))
    usage = believable(reported, said_bytes, bytes_of(thoughts))
    check_substance(finish, text, calls, usage)
    return Answer(
        content=text,
        model=model,
        usage=usage,
        finish_reason=finish,
        tool_calls=calls,
        reasoning=reasoning_of(thoughts),
    )


def broken_off() -> ProviderError:
    return ProviderError(Failure.CONNECTION, "the stream ended before the answer did", may_have_billed=True)


def bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def reasoning_of(text: str) -> str:
    """Reasoning as it is kept: whole and safe, or not at all."""
    text = safe_text(paired(text))
    return text if bytes_of(text) <= MAX_REASONING_BYTES else ""


def paired(text: str) -> str:
    """`text` with characters whole that came in two halves, each as an escape in a delta of its own."""
    return text if text.isascii() else _PAIR.sub(_whole, text)


def _whole(halves: re.Match[str]) -> str:
    return halves[0].encode("utf-16", "surrogatepass").decode("utf-16")

"""Anthropic's message, whole or as a stream of events, as an Answer.

Both forms end in the same `Message`, so an answer collected from a stream equals the plain one. Thinking blocks
are not content; blocks of types not known here are passed over. `usage.input_tokens` excludes what was read from
and written to the cache: ours is the sum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from cortexd.errors import Failure, ProviderError
from cortexd.messages import Answer, Usage
from cortexd.providers.decoding import dig, finish_of, json_decoder, json_text, model_of, tool_calls_of, usage_of
from cortexd.providers.failures import error_object, malformed
from cortexd.untrusted import safe_text

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_MAX_BLOCKS = 4096


class Block(msgspec.Struct):
    type: Any = None
    text: str | None = None
    id: Any = None
    name: Any = None
    input: Any = None


class Message(msgspec.Struct):
    content: list[Block] | None = None
    model: Any = None
    stop_reason: Any = None
    usage: Any = None
    error: Any = None


class Delta(msgspec.Struct):
    text: str | None = None
    partial_json: str | None = None
    stop_reason: Any = None


class Event(msgspec.Struct):
    type: str
    index: int = 0
    message: Message | None = None
    content_block: Block | None = None
    delta: Delta | None = None
    usage: Any = None
    error: Any = None


_decode_message = json_decoder(Message)
_decode_event = json_decoder(Event)
_decode_value = json_decoder(dict[str, Any])


def read_answer(body: bytes, asked_model: str) -> Answer:
    """The Answer in the body of a 200. Raises ProviderError for an error object and for a malformed body."""
    return _answer(_decode_message(body), asked_model)


def _answer(message: Message, asked_model: str) -> Answer:
    if message.error is not None:
        raise error_object(message.error, may_have_billed=False)
    if message.content is None:
        raise malformed("the answer holds no content")
    uses = [block for block in message.content if block.type == "tool_use"]
    texts = [block.text or "" for block in message.content if block.type == "text"]
    return Answer(
        content=safe_text("".join(texts)),
        model=model_of(message.model, asked_model),
        usage=_usage(message.usage),
        finish_reason=finish_of(message.stop_reason, _FINISH, has_tool_calls=bool(uses)),
        tool_calls=tool_calls_of((use.id, use.name, _arguments(use.input)) for use in uses),
    )


def _arguments(value: object) -> str:
    if value is None:
        return "{}"
    return safe_text(value) if isinstance(value, str) else json_text(value)


def _usage(usage: object) -> Usage | None:
    read, written = dig(usage, "cache_read_input_tokens"), dig(usage, "cache_creation_input_tokens")
    return usage_of(
        prompt=(dig(usage, "input_tokens"), read, written),
        output=dig(usage, "output_tokens"),
        cached=read,
        written=written,
        reasoning=dig(usage, "output_tokens_details", "thinking_tokens"),
    )


class StreamCollector:
    """Collects the events of one stream into the Answer that the plain call would have given.

    Feed it the data of each event; `answer()` once the stream has ended. What it holds is bounded by `max_bytes`.
    """

    def __init__(self, asked_model: str, max_bytes: int) -> None:
        self._asked_model = asked_model
        self._left = max_bytes
        self._message: Message | None = None
        self._blocks: dict[int, Block] = {}
        self._pieces: dict[int, list[str]] = {}
        self.complete = False

    def feed(self, data: bytes) -> None:
        """Take one event. Raises ProviderError for an error event, a malformed one, and one too many."""
        event = _decode_event(data)
        if handle := _HANDLERS.get(event.type):
            handle(self, event)

    def answer(self) -> Answer:
        """The Answer. Raises ProviderError where the stream ended before the answer did."""
        if self._message is None:
            raise malformed("the stream holds no answer")
        if not self.complete:
            raise ProviderError(Failure.CONNECTION, "the stream ended before the answer did", may_have_billed=True)
        for index, pieces in self._pieces.items():
            _fill(self._blocks[index], "".join(pieces))
        self._message.content = list(self._blocks.values())
        return _answer(self._message, self._asked_model)

    def _start(self, event: Event) -> None:
        self._message = event.message or Message()

    def _start_block(self, event: Event) -> None:
        if len(self._blocks) == _MAX_BLOCKS:
            raise malformed(f"the answer holds more than {_MAX_BLOCKS} blocks")
        block = self._blocks[event.index] = event.content_block or Block()
        self._pieces[event.index] = []
        self._grow(event.index, block.text)

    def _extend_block(self, event: Event) -> None:
        if event.index not in self._blocks or event.delta is None:
            raise malformed("a stream event belongs to no block")
        self._grow(event.index, event.delta.text or event.delta.partial_json)

    def _grow(self, index: int, piece: str | None) -> None:
        if piece:
            self._left -= len(piece.encode("utf-8", "surrogatepass"))
            if self._left < 0:
                raise malformed("the answer is larger than allowed")
            self._pieces[index].append(piece)

    def _change(self, event: Event) -> None:
        if self._message is None:
            raise malformed("a stream event comes before its message")
        if event.delta is not None and event.delta.stop_reason is not None:
            self._message.stop_reason = event.delta.stop_reason
        if isinstance(event.usage, dict):
            known = {name: value for name, value in event.usage.items() if value is not None}
            before = self._message.usage
            self._message.usage = {**(before if isinstance(before, dict) else {}), **known}

    def _stop(self, _event: Event) -> None:
        self.complete = True

    def _fail(self, event: Event) -> None:
        raise error_object(event.error, may_have_billed=True)


_HANDLERS: dict[str, Callable[[StreamCollector, Event], None]] = {
    "message_start": StreamCollector._start,
    "content_block_start": StreamCollector._start_block,
    "content_block_delta": StreamCollector._extend_block,
    "message_delta": StreamCollector._change,
    "message_stop": StreamCollector._stop,
    "error": StreamCollector._fail,
}


def _fill(block: Block, text: str) -> None:
    if block.type != "tool_use":
        block.text = text
    elif text:
        block.input = _parsed(text)


def _parsed(arguments: str) -> object:
    """Streamed arguments as the plain answer has them; where they were cut off, the text as it came."""
    try:
        return _decode_value(arguments.encode("utf-8", "surrogatepass"))
    except ProviderError:
        return arguments

"""Anthropic's message, whole or as a stream of events, as an Answer.

An answer collected from a stream equals the plain one. Thinking blocks
are not content; blocks of types not known here are passed over. `usage.input_tokens` excludes what was read from
and written to the cache: ours is the sum.
"""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import msgspec

from cortexd.domain.messages import Answer, ToolCall, Usage
from cortexd.domain.safe_values import safe_text
from cortexd.errors import Failure, ProviderError
from cortexd.providers.collecting import Collector
from cortexd.providers.decoding import (
    dig,
    finish_of,
    json_decoder,
    json_text,
    model_of,
    tool_call_of,
    tool_calls_of,
    usage_of,
)
from cortexd.providers.failures import error_object, malformed

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
    thinking: str | None = None
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


class _ToolUse:
    """A tool_use block as it grows."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self.arguments = StringIO()
        self.call: ToolCall | None = None

    def end(self, number: int) -> ToolCall:
        """The whole call. Arguments come out as in the plain answer; where they were cut off, as they came."""
        if text := self.arguments.getvalue():
            self._block.input = _parsed(text)
        self.call = tool_call_of(number, self._block.id, self._block.name, _arguments(self._block.input))
        return self.call


class StreamCollector(Collector):
    """See Collector. A tool call is whole when its block stops."""

    def __init__(self, asked_model: str, max_bytes: int) -> None:
        super().__init__(asked_model, max_bytes)
        self._message: Message | None = None
        self._blocks: dict[int, str | _ToolUse] = {}  # by index: what is growing there, or its type
        self._begun = 0
        self._uses: list[_ToolUse] = []

    def feed(self, data: bytes) -> None:
        event = _decode_event(data)
        if not self.complete and (handle := _HANDLERS.get(event.type)):
            handle(self, event)

    def end(self) -> None:
        if self._message is None:
            raise malformed("the stream holds no answer")
        if not self.complete:
            raise ProviderError(Failure.CONNECTION, "the stream ended before the answer did", may_have_billed=True)
        for number, use in enumerate(self._uses):
            self._end_use(number, use)

    def answer(self) -> Answer:
        self.end()
        assert self._message is not None
        return Answer(
            content=self._content(),
            model=model_of(self._message.model, self._asked_model),
            usage=self.usage,
            finish_reason=finish_of(self._message.stop_reason, _FINISH, has_tool_calls=bool(self._uses)),
            tool_calls=tuple(use.call for use in self._uses if use.call is not None),
        )

    def _count_usage(self, reported: object) -> Usage | None:
        return _usage(reported)

    def _start(self, event: Event) -> None:
        self._message = event.message or Message()
        self._reported = self._message.usage

    def _start_block(self, event: Event) -> None:
        self._begun += 1
        if self._begun > _MAX_BLOCKS:
            raise malformed(f"the answer holds more than {_MAX_BLOCKS} blocks")
        block = event.content_block or Block()
        if block.type == "tool_use":
            use = _ToolUse(block)
            self._blocks[event.index] = use
            self._uses.append(use)
            return
        self._blocks[event.index] = "text" if block.type == "text" else "other"
        if block.type == "text" and block.text:
            self._add_text(block.text)

    def _extend_block(self, event: Event) -> None:
        block, delta = self._blocks.get(event.index), event.delta
        if block is None or delta is None:
            raise malformed("a stream event belongs to no block")
        if block == "text":
            if delta.text:
                self._add_text(delta.text)
        elif piece := delta.partial_json or delta.thinking or delta.text:
            self._count(piece)
            if isinstance(block, _ToolUse) and delta.partial_json:
                block.arguments.write(piece)

    def _stop_block(self, event: Event) -> None:
        use = self._blocks.get(event.index)
        if isinstance(use, _ToolUse):
            self._end_use(self._uses.index(use), use)

    def _end_use(self, number: int, use: _ToolUse) -> None:
        if use.call is None:
            self._add_call(use.end(number))

    def _change(self, event: Event) -> None:
        if self._message is None:
            raise malformed("a stream event comes before its message")
        if event.delta is not None and event.delta.stop_reason is not None:
            self._message.stop_reason = event.delta.stop_reason
        if isinstance(event.usage, dict):
            known = {name: value for name, value in event.usage.items() if value is not None}
            before = self._reported
            self._reported = {**(before if isinstance(before, dict) else {}), **known}

    def _stop(self, _event: Event) -> None:
        self.complete = True

    def _fail(self, event: Event) -> None:
        raise error_object(event.error, may_have_billed=True)


_HANDLERS: dict[str, Callable[[StreamCollector, Event], None]] = {
    "message_start": StreamCollector._start,
    "content_block_start": StreamCollector._start_block,
    "content_block_delta": StreamCollector._extend_block,
    "content_block_stop": StreamCollector._stop_block,
    "message_delta": StreamCollector._change,
    "message_stop": StreamCollector._stop,
    "error": StreamCollector._fail,
}


def _parsed(arguments: str) -> object:
    """Streamed arguments as the plain answer has them; where they were cut off, the text as it came."""
    try:
        return _decode_value(arguments.encode("utf-8", "surrogatepass"))
    except ProviderError:
        return arguments

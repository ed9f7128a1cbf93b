"""Anthropic's stream of events as an Answer, equal to the plain one.

Blocks grow by their index and may come interleaved. Thinking is counted and not heard. Usage comes in parts: later
figures replace earlier ones one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import msgspec

from cortexd.domain.messages import Answer, ToolCall, Usage
from cortexd.errors import Failure, ProviderError
from cortexd.providers.anthropic.answer import Block, Message, arguments_text, finish_reason, read_usage
from cortexd.providers.collecting import Collector
from cortexd.providers.decoding import json_decoder, model_of, tool_call_of
from cortexd.providers.failures import error_object, malformed

_MAX_BLOCKS = 4096


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


_decode_event = json_decoder(Event)
_decode_value = json_decoder(dict[str, Any])


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
        self.call = tool_call_of(number, self._block.id, self._block.name, arguments_text(self._block.input))
        return self.call


class EventCollector(Collector):
    """See Collector. A tool call is whole when its block stops."""

    def __init__(self, asked_model: str, max_bytes: int) -> None:
        super().__init__(asked_model, max_bytes)
        self._message: Message | None = None
        self._blocks: dict[int, str | _ToolUse] = {}  # by index: what is growing there, or its type
        self._begun = 0
        self._uses: list[_ToolUse] = []

    def feed(self, data: bytes) -> None:
        if self.complete:
            return
        event = _decode_event(data)
        if handle := _HANDLERS.get(event.type):
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
            finish_reason=finish_reason(self._message.stop_reason, has_tool_calls=bool(self._uses)),
            tool_calls=tuple(use.call for use in self._uses if use.call is not None),
        )

    def _count_usage(self, reported: object) -> Usage | None:
        return read_usage(reported)

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


_HANDLERS: dict[str, Callable[[EventCollector, Event], None]] = {
    "message_start": EventCollector._start,
    "content_block_start": EventCollector._start_block,
    "content_block_delta": EventCollector._extend_block,
    "content_block_stop": EventCollector._stop_block,
    "message_delta": EventCollector._change,
    "message_stop": EventCollector._stop,
    "error": EventCollector._fail,
}


def _parsed(arguments: str) -> object:
    """Streamed arguments as the plain answer has them; where they were cut off, the text as it came."""
    try:
        return _decode_value(arguments.encode("utf-8", "surrogatepass"))
    except ProviderError:
        return arguments

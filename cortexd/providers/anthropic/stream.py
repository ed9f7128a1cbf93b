"""Anthropic's stream of events as an Answer, equal to the plain one.

Blocks grow by their index and may come interleaved. Thinking is kept and not heard. Usage comes in parts (see
usage.py). An answer is whole when the stream says both why and that it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import msgspec

from cortexd.domain.messages import Answer, ToolCall, Usage
from cortexd.errors import ProviderError
from cortexd.providers.anthropic.answer import Block, Message, finish_reason
from cortexd.providers.anthropic.usage import later_usage, read_usage, says_output
from cortexd.providers.collecting import Collector, broken_off, paired
from cortexd.providers.decoding import json_decoder
from cortexd.providers.error_forms import failure_in_text
from cortexd.providers.failures import malformed
from cortexd.providers.finishing import CUT, STOP, check_finish, check_substance, said
from cortexd.providers.tool_calls import RawCall, arguments_text, check_count, is_blank, tool_call_of

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


_decode_value = json_decoder(dict[str, Any])


class _ToolUse:
    """A tool_use block as it grows."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self.arguments = StringIO()
        self.call: ToolCall | None = None

    def raw(self) -> RawCall:
        """The call as far as it has come, its arguments as in the plain answer where they are whole."""
        text = paired(self.arguments.getvalue())
        value = self._block.input if is_blank(text) else _parsed(text)
        return RawCall(self._block.id, self._block.name, value)

    @property
    def blank(self) -> bool:
        """Whether no arguments have come; there may be none."""
        return is_blank(self.arguments.getvalue()) and not self._block.input


class EventCollector(Collector):
    """See Collector. A tool call is whole when its block stops with an object; without arguments, when the answer
    ends."""

    names = frozenset(
        b"event: " + name
        for name in (
            b"message_start",
            b"content_block_start",
            b"content_block_delta",
            b"content_block_stop",
            b"message_delta",
            b"message_stop",
        )
    )

    decode = staticmethod(json_decoder(Event))
    decode_strictly = msgspec.json.Decoder(Event).decode

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._message: Message | None = None
        self._blocks: dict[int, str | _ToolUse] = {}  # by index: what is growing there, or its type
        self._begun = 0
        self._uses: list[_ToolUse] = []
        self._output_said = False
        self._ended, self._why = False, ""

    def _text_in(self, event: Event) -> str:
        delta = event.delta
        if event.type != "content_block_delta" or delta is None or event.error:
            return ""
        return (delta.text or "") if self._blocks.get(event.index) == "text" else ""

    def _handle(self, event: Event, data: bytes) -> None:
        if event.error and (found := failure_in_text(data, may_have_billed=True)):
            raise found
        if handle := _HANDLERS.get(event.type):
            handle(self, event)
        elif found := failure_in_text(data, may_have_billed=True):
            raise found

    def finish(self) -> None:
        if self._message is not None:
            self._message.stop_reason = said(self._message.stop_reason) or STOP

    def end(self) -> None:
        if self._ended:
            return
        if self._message is None:
            raise malformed("the stream holds no answer")
        if not (self.complete and said(self._message.stop_reason)):
            raise broken_off()
        cut = bool(self._uses) and self._reason() in CUT
        for use in self._uses:
            self._end_use(use, cut=cut, last=use is self._uses[-1])
        self._ended, self._why = True, self._reason()
        check_substance(self._why, self._content(), self._calls(), self._believed())

    def _reason(self) -> str:
        assert self._message is not None
        return finish_reason(self._message.stop_reason, has_tool_calls=bool(self._calls()))

    def _calls(self) -> tuple[ToolCall, ...]:
        return tuple(use.call for use in self._uses if use.call is not None)

    def answer(self) -> Answer:
        self.end()
        assert self._message is not None
        return self._answer(self._message.model, self._why, self._calls())

    def _believed(self) -> Usage | None:
        return super()._believed() if self._output_said else None

    def _count_usage(self, reported: object) -> Usage | None:
        return read_usage(reported)

    def _start(self, event: Event) -> None:
        self._message = event.message or Message()
        check_finish(self._message.stop_reason)
        self._report(self._message.usage)

    def _report(self, usage: object) -> None:
        if isinstance(usage, dict):
            self._reported = later_usage(self._reported, usage)

    def _start_block(self, event: Event) -> None:
        self._begun += 1
        if self._begun > _MAX_BLOCKS:
            raise malformed(f"the answer holds more than {_MAX_BLOCKS} blocks")
        block = event.content_block or Block()
        if block.type == "tool_use":
            use = _ToolUse(block)
            self._blocks[event.index] = use
            self._uses.append(use)
            check_count(len(self._uses))
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
        elif isinstance(block, _ToolUse) and delta.partial_json:
            self._count(delta.partial_json)
            block.arguments.write(delta.partial_json)
        elif delta.thinking:
            self._think(delta.thinking)
        elif piece := delta.partial_json or delta.text:
            self._count_reasoning(piece)

    def _stop_block(self, event: Event) -> None:
        use = self._blocks.get(event.index)
        if isinstance(use, _ToolUse) and not use.blank and isinstance(use.raw().arguments, dict):
            self._end_use(use)

    def _end_use(self, use: _ToolUse, *, cut: bool = False, last: bool = False) -> None:
        """Give the whole call, once. Where the answer was `cut` off, what is half, or may be, is none."""
        if use.call is not None:
            return
        raw = use.raw()
        text = arguments_text(raw.arguments)
        if cut and (text is None or (last and use.blank)):
            return
        if text is None:
            raise malformed("a tool call's arguments are not JSON")
        use.call = tool_call_of(raw, text, self._ids)
        self._add_call(use.call)

    def _change(self, event: Event) -> None:
        if self._message is None:
            raise malformed("a stream event comes before its message")
        if event.delta is not None and event.delta.stop_reason is not None:
            check_finish(event.delta.stop_reason)
            self._message.stop_reason = event.delta.stop_reason
        self._output_said |= says_output(event.usage)
        self._report(event.usage)

    def _stop(self, _event: Event) -> None:
        self.complete = True


_HANDLERS: dict[str, Callable[[EventCollector, Event], None]] = {
    "message_start": EventCollector._start,
    "content_block_start": EventCollector._start_block,
    "content_block_delta": EventCollector._extend_block,
    "content_block_stop": EventCollector._stop_block,
    "message_delta": EventCollector._change,
    "message_stop": EventCollector._stop,
}


def _parsed(arguments: str) -> object:
    """Streamed arguments as the plain answer has them; the text as it came where they are no object."""
    try:
        return _decode_value(arguments.encode("utf-8", "surrogatepass"))
    except ProviderError:
        return arguments

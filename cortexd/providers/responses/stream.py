"""The Responses API's stream of events as an Answer, equal to the plain one.

An answer is whole with the event that ends its response. That one holds all of it once more, which counts only where
it was not heard before. `[DONE]` alone (LiteLLM sends it last) ends a stream and no answer. Nobody looks at the numbers
of the events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from cortexd.domain.messages import Answer, Usage
from cortexd.providers.collecting import Collector, broken_off
from cortexd.providers.decoding import json_decoder
from cortexd.providers.error_forms import failure_in_text
from cortexd.providers.failures import malformed
from cortexd.providers.finishing import CUT, STOP, check_substance
from cortexd.providers.responses.answer import (
    CALL,
    COMPLETED,
    FAILED,
    INCOMPLETE,
    Item,
    Response,
    end_of,
    finish_reason,
    reasoning_in,
    text_of,
)
from cortexd.providers.responses.calls import Calls, Growing
from cortexd.providers.responses.usage import later_usage, read_usage
from cortexd.providers.tool_calls import tool_call_of

_OURS = "response."
_TEXT = "response.output_text.delta"


class Event(msgspec.Struct):
    type: str
    delta: Any = None
    output_index: Any = None
    item_id: Any = None
    item: Item | None = None
    arguments: Any = None
    response: Response | None = None
    error: Any = None


class EventCollector(Collector):
    """See Collector. A tool call is given when its item is done with whole arguments; without, when the answer ends."""

    names = frozenset(
        b"event: response." + name
        for name in (
            b"created",
            b"in_progress",
            b"output_item.added",
            b"content_part.added",
            b"output_text.delta",
            b"output_text.done",
            b"refusal.delta",
            b"refusal.done",
            b"reasoning_text.delta",
            b"reasoning_summary_text.delta",
            b"function_call_arguments.delta",
            b"function_call_arguments.done",
            b"content_part.done",
            b"output_item.done",
            b"completed",
            b"incomplete",
        )
    )

    decode = staticmethod(json_decoder(Event))
    decode_strictly = msgspec.json.Decoder(Event).decode

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._model: object = None
        self._finish: str | None = None
        self._begun = False
        self._has_content = False
        self._refused = False
        self._calls = Calls()
        self._ended = False

    def _text_in(self, event: Event) -> str:
        if event.type != _TEXT or not event.delta or not isinstance(event.delta, str) or event.error:
            return ""
        self._begun = self._has_content = True
        return event.delta

    def _handle(self, event: Event, data: bytes) -> None:
        if event.error and (found := failure_in_text(data, may_have_billed=True)):
            raise found
        if handle := _HANDLERS.get(event.type):
            self._begun = True
            handle(self, event)
        elif not event.type.startswith(_OURS) and (found := failure_in_text(data, may_have_billed=True)):
            raise found

    def _heard_of(self, event: Event) -> None:
        """What any event may say of the response."""
        response = event.response or Response()
        self._model = response.model or self._model
        if isinstance(response.usage, dict):
            self._reported = later_usage(self._reported, response.usage)

    def _say(self, event: Event) -> None:
        self._has_content = True
        self._add_text(_piece(event))

    def _refuse(self, event: Event) -> None:
        """The plain answer's refusal counts only where there is no content."""
        if not self._has_content:
            self._refused = True
            self._add_text(_piece(event))

    def _reason_on(self, event: Event) -> None:
        self._think(_piece(event))

    def _begin_item(self, event: Event) -> None:
        item = event.item or Item()
        if item.type == CALL:
            self._begin(item, event)
        else:
            self._calls.leave(event.output_index)

    def _begin(self, item: Item, event: Event) -> Growing:
        growing = self._calls.begin(item, event.output_index, event.item_id)
        self._count(growing.take(item.arguments))
        return growing

    def _extend(self, event: Event) -> None:
        growing = self._calls.at(event.output_index, event.item_id)
        if growing is None:
            raise malformed("a stream event belongs to no tool call")
        piece = _piece(event)
        self._count(piece)
        growing.write(piece)

    def _end_arguments(self, event: Event) -> None:
        growing = self._calls.at(event.output_index, event.item_id)
        if growing is not None and growing.call is None:
            self._count(growing.take(event.arguments))

    def _end_item(self, event: Event) -> None:
        item = event.item or Item()
        if item.type != CALL:
            return
        growing = self._calls.at(event.output_index, item.id) or self._begin(item, event)
        if growing.call is None:
            self._count(growing.end(item))
            if not (growing.half or growing.blank) and (text := growing.text()) is not None:
                self._give(growing, text)

    def _give(self, growing: Growing, text: str) -> None:
        growing.call = tool_call_of(growing.raw(), text, self._ids)
        self._add_call(growing.call)

    def _complete(self, event: Event) -> None:
        self._close(event, COMPLETED)

    def _cut_off(self, event: Event) -> None:
        self._close(event, INCOMPLETE)

    def _fail(self, event: Event) -> None:
        self._close(event, FAILED)

    def _close(self, event: Event, status: str) -> None:
        self._heard_of(event)
        response = event.response or Response()
        self._finish = end_of(response, status)
        self._hear_late(response.output or [], event)
        self.complete = True

    def _hear_late(self, items: list[Item], event: Event) -> None:
        """What only the response's end says."""
        if not (self._has_content or self._refused):
            text, self._refused = text_of(items)
            self._has_content = bool(text) and not self._refused
            self._add_text(text)
        if not self._reasoning_bytes:
            for piece in reasoning_in(items):
                self._think(piece)
        for item in items:
            if item.type == CALL and not self._calls.knows(item):
                self._begin(item, Event(event.type))

    def finish(self) -> None:
        self._finish = self._finish or STOP

    def end(self) -> None:
        if self._ended:
            return
        if not self._begun:
            raise malformed("the stream holds no answer")
        if self._finish is None:
            raise broken_off()
        cut = finish_reason(self._finish) in CUT
        for growing in self._calls:
            self._end_call(growing, cut=cut)
        self._ended = True
        check_substance(self._reason(), self._content(), self._calls.given(), self._believed())

    def _end_call(self, growing: Growing, *, cut: bool) -> None:
        """Give the whole call, once. Where the answer was `cut` off, what is half, or may be, is none."""
        if growing.call is not None:
            return
        text = growing.text()
        if cut and (text is None or growing.half or (growing.blank and self._calls.is_last(growing))):
            return
        if text is None:
            raise malformed("a tool call's arguments are not JSON")
        self._give(growing, text)

    def _reason(self) -> str:
        refused = self._refused and not self._has_content
        return finish_reason(self._finish, refused=refused, has_tool_calls=bool(self._calls.given()))

    def answer(self) -> Answer:
        self.end()
        return self._answer(self._model, self._reason(), self._calls.given())

    def _count_usage(self, reported: object) -> Usage | None:
        return read_usage(reported)


_HANDLERS: dict[str, Callable[[EventCollector, Event], None]] = {
    "response.created": EventCollector._heard_of,
    "response.queued": EventCollector._heard_of,
    "response.in_progress": EventCollector._heard_of,
    "response.output_item.added": EventCollector._begin_item,
    _TEXT: EventCollector._say,
    "response.refusal.delta": EventCollector._refuse,
    "response.reasoning_text.delta": EventCollector._reason_on,
    "response.reasoning_summary_text.delta": EventCollector._reason_on,
    "response.function_call_arguments.delta": EventCollector._extend,
    "response.function_call_arguments.done": EventCollector._end_arguments,
    "response.output_item.done": EventCollector._end_item,
    "response.completed": EventCollector._complete,
    "response.incomplete": EventCollector._cut_off,
    "response.failed": EventCollector._fail,
}


def _piece(event: Event) -> str:
    if not isinstance(event.delta, str):
        raise malformed("a stream event holds no text")
    return event.delta

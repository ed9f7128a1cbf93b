"""OpenAI-style chunks as an Answer.

Usage stands on the last chunk, which has no choices, or (elsewhere than at OpenAI) beside a choice, in one, or on
every chunk as a running total: the last one counts. `[DONE]` ends the stream; some servers leave it out, so a finish
reason will do. Reasoning has a field of its own (`reasoning_content`, `reasoning`): it is counted and not heard.
Fragments of a tool call share an index, and nothing says that a call is whole before all are. Servers that give no
index, or the same one to all, tell calls apart by their ids; a fragment without an id belongs to the last call.
"""

from __future__ import annotations

from io import StringIO
from typing import Any

import msgspec

from cortexd.domain.messages import Answer, ToolCall, Usage
from cortexd.domain.safe_values import safe_text
from cortexd.errors import Failure, ProviderError
from cortexd.providers.collecting import Collector
from cortexd.providers.decoding import MAX_TOOL_CALLS, dig, json_decoder, json_text, model_of, tool_call_of
from cortexd.providers.failures import error_object, malformed
from cortexd.providers.openai.answer import Function, finish_reason, read_usage

DONE = b"[DONE]"


class Fragment(msgspec.Struct):
    index: Any = None
    id: Any = None
    function: Function | None = None


class Delta(msgspec.Struct):
    content: str | list[Any] | None = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: list[Fragment] | None = None


class Choice(msgspec.Struct):
    delta: Delta | None = None
    finish_reason: Any = None
    usage: Any = None


class Chunk(msgspec.Struct):
    choices: list[Choice] | None = None
    model: Any = None
    usage: Any = None
    error: Any = None


_decode = json_decoder(Chunk)


class _Growing:
    """A tool call as far as it has come."""

    def __init__(self) -> None:
        self.id: str | int | None = None
        self.name: object = None
        self.arguments: StringIO | None = None
        self.call: ToolCall | None = None

    def write(self, text: str) -> None:
        if self.arguments is None:
            self.arguments = StringIO()
        self.arguments.write(text)

    def end(self, number: int) -> ToolCall:
        arguments = "{}" if self.arguments is None else safe_text(self.arguments.getvalue())
        self.call = tool_call_of(number, self.id, self.name, arguments)
        return self.call


class ChunkCollector(Collector):
    """See Collector. Tool calls are given when the stream ends: their fragments may come in any order."""

    def __init__(self, asked_model: str, max_bytes: int) -> None:
        super().__init__(asked_model, max_bytes)
        self._model: object = None
        self._finish: object = None
        self._begun = False
        self._has_content = False
        self._refused = False
        self._calls: list[_Growing] = []
        self._by_index: dict[int | None, _Growing] = {}  # the last one that had it
        self._by_id: dict[tuple[int | None, object], _Growing] = {}

    def feed(self, data: bytes) -> None:
        if self.complete:
            return
        if data.startswith(DONE):
            self.complete = True
            return
        chunk = _decode(data)
        if chunk.error:
            raise error_object(chunk.error, may_have_billed=True)
        if self._model is None:
            self._model = chunk.model
        if isinstance(chunk.usage, dict):
            self._reported = chunk.usage
        if chunk.choices:
            self._choose(chunk.choices[0])

    def _choose(self, choice: Choice) -> None:
        self._begun = True
        if choice.delta is not None:
            self._extend(choice.delta)
        if choice.finish_reason:
            self._finish = choice.finish_reason
        if isinstance(choice.usage, dict):
            self._reported = choice.usage

    def _extend(self, delta: Delta) -> None:
        if delta.content:
            self._add_content(delta.content)
        if delta.tool_calls:
            for fragment in delta.tool_calls:
                self._add_fragment(fragment)
        if isinstance(reasoning := delta.reasoning_content or delta.reasoning, str):
            self._count(reasoning)
        # The plain answer's refusal counts only where there is no content.
        if isinstance(delta.refusal, str) and delta.refusal and not self._has_content:
            self._refused = True
            self._add_text(delta.refusal)

    def _add_content(self, content: str | list[Any]) -> None:
        self._has_content = True
        pieces = [content] if isinstance(content, str) else [dig(part, "text") for part in content]
        for piece in pieces:
            if isinstance(piece, str):
                self._add_text(piece)

    def _add_fragment(self, fragment: Fragment) -> None:
        growing = self._growing(fragment)
        function = fragment.function or Function()
        growing.name = growing.name or function.name
        if function.arguments is not None:
            text = function.arguments if isinstance(function.arguments, str) else json_text(function.arguments)
            self._count(text)
            growing.write(text)

    def _growing(self, fragment: Fragment) -> _Growing:
        """The call that the fragment belongs to: a new one where it brings an index or an id of its own."""
        index = fragment.index if isinstance(fragment.index, int) else None
        id_ = fragment.id if isinstance(fragment.id, str | int) and fragment.id else None
        known = self._by_id.get((index, id_), self._by_index.get(index))
        if known is None or (id_ and known.id and known.id != id_):
            known = self._begin()
        known.id = known.id or id_
        self._by_index[index] = self._by_id[index, known.id] = known
        return known

    def _begin(self) -> _Growing:
        if len(self._calls) == MAX_TOOL_CALLS:
            raise malformed(f"the answer holds more than {MAX_TOOL_CALLS} tool calls")
        self._calls.append(_Growing())
        return self._calls[-1]

    def end(self) -> None:
        if not (self._begun or self._model):
            raise malformed("the stream holds no answer")
        if not (self.complete or self._finish):
            raise ProviderError(Failure.CONNECTION, "the stream ended before the answer did", may_have_billed=True)
        for number, growing in enumerate(self._calls):
            if growing.call is None:
                self._add_call(growing.end(number))

    def answer(self) -> Answer:
        self.end()
        refused = self._refused and not self._has_content
        return Answer(
            content=self._content(),
            model=model_of(self._model, self._asked_model),
            usage=self.usage,
            finish_reason=finish_reason(self._finish, refused=refused, has_tool_calls=bool(self._calls)),
            tool_calls=tuple(growing.call for growing in self._calls if growing.call is not None),
        )

    def _count_usage(self, reported: object) -> Usage | None:
        return read_usage(reported)

"""OpenAI-style chunks as an Answer.

Usage stands on the last chunk, which has no choices, or (elsewhere than at OpenAI) beside a choice, in one, or on
every chunk as a running total. `[DONE]` ends the stream, but not the answer: that takes a finish reason, and where
there is one, `[DONE]` may be missing (transformers serve). Reasoning has a field of its own (`reasoning_content`,
`reasoning`): it is kept and not heard. Some servers send one whole `message` in place of deltas (litellm#8455).
"""

from __future__ import annotations

from typing import Any

import msgspec

from cortexd.domain.messages import Answer, ToolCall, Usage
from cortexd.providers.collecting import DONE, Collector, broken_off
from cortexd.providers.decoding import dig, json_decoder
from cortexd.providers.error_forms import failure_in_text
from cortexd.providers.failures import error_object, malformed
from cortexd.providers.finishing import STOP, check_finish, check_substance, said
from cortexd.providers.openai.answer import finish_reason
from cortexd.providers.openai.fragments import Fragment, Fragments
from cortexd.providers.openai.usage import later_usage, read_usage, usage_beside
from cortexd.providers.tool_calls import tool_calls_of

__all__ = ["DONE", "ChunkCollector"]

# Events of these names keep a connection alive, and need hold no JSON.
_KEEP_ALIVE = frozenset({"ping", "keepalive", "keep-alive", "keep_alive", "heartbeat"})


class Delta(msgspec.Struct):
    content: str | list[Any] | None = None
    refusal: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: list[Fragment] | None = None


class Choice(msgspec.Struct):
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: Any = None
    usage: Any = None
    error: Any = None


class Chunk(msgspec.Struct):
    choices: list[Choice] | None = None
    model: Any = None
    usage: Any = None
    x_groq: Any = None
    timings: Any = None
    error: Any = None


def _is_failure(chunk: Chunk) -> bool:
    """Whether it may be one; the usage behind the last choice is none."""
    return bool(chunk.error) or not (chunk.choices or (chunk.choices is not None and isinstance(chunk.usage, dict)))


class ChunkCollector(Collector):
    """See Collector. Tool calls are given when the stream ends: their fragments may come in any order."""

    keep_alive = _KEEP_ALIVE
    decode = staticmethod(json_decoder(Chunk))
    decode_strictly = msgspec.json.Decoder(Chunk).decode

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._model: object = None
        self._finish: object = None
        self._begun = False
        self._has_content = False
        self._refused = False
        self._fragments = Fragments()
        self._calls: tuple[ToolCall, ...] | None = None

    def _text_in(self, event: Chunk) -> str:
        if not event.choices or event.error or event.usage or event.x_groq or event.timings:
            return ""
        choice = event.choices[0]
        if choice.finish_reason is not None or choice.message is not None or choice.error or choice.usage:
            return ""
        delta = choice.delta
        if delta is None or delta.tool_calls or delta.reasoning_content or delta.reasoning or delta.refusal:
            return ""
        if not delta.content or not isinstance(delta.content, str):
            return ""
        if self._model is None:
            self._model = event.model
        self._begun = self._has_content = True
        return delta.content

    def _handle(self, event: Chunk, data: bytes) -> None:
        if _is_failure(event) and (found := failure_in_text(data, may_have_billed=True)):
            raise found
        if self._model is None:
            self._model = event.model
        if event.usage or event.x_groq or event.timings:
            self._report(usage_beside(event.usage, event.x_groq, event.timings))
        if event.choices:
            self._choose(event.choices[0])

    def _report(self, usage: object) -> None:
        if isinstance(usage, dict):
            self._reported = later_usage(self._reported, usage)

    def _choose(self, choice: Choice) -> None:
        self._begun = True
        if choice.error:
            raise error_object(choice.error, may_have_billed=True)
        if choice.delta is not None:
            self._extend(choice.delta)
        if choice.message is not None and not (self._has_content or self._refused or self._fragments):
            self._extend(choice.message)
        if choice.finish_reason is not None:
            check_finish(choice.finish_reason)
            self._finish = said(choice.finish_reason) or self._finish
        if choice.usage:
            self._report(choice.usage)

    def _extend(self, delta: Delta) -> None:
        if delta.content:
            self._add_content(delta.content)
        if delta.tool_calls:
            for fragment in delta.tool_calls:
                self._count(self._fragments.add(fragment))
        if isinstance(reasoning := delta.reasoning_content or delta.reasoning, str):
            self._think(reasoning)
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

    def _reason(self) -> str:
        refused = self._refused and not self._has_content
        return finish_reason(self._finish, refused=refused, has_tool_calls=bool(self._calls))

    def finish(self) -> None:
        self._finish = self._finish or STOP

    def end(self) -> None:
        if self._calls is not None:
            return
        if not (self._begun or self._model):
            raise malformed("the stream holds no answer")
        if not self._finish:
            raise broken_off()
        calls = tool_calls_of(self._fragments.raw_calls(), self._reason(), self._ids)
        for call in calls:
            self._add_call(call)
        self._calls = calls
        check_substance(self._reason(), self._content(), calls, self._believed())

    def answer(self) -> Answer:
        self.end()
        return self._answer(self._model, self._reason(), self._calls or ())

    def _count_usage(self, reported: object) -> Usage | None:
        return read_usage(reported)

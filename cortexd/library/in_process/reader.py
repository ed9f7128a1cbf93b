"""The events of a streamed answer, one by one: the text in each, and the Answer at the end, or at a cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from cortexd.domain.messages import Answer, Usage
from cortexd.errors import Failure, ProviderError
from cortexd.library.in_process.reading import CHUNK, EVENT, encode, seen
from cortexd.providers.anthropic.stream import EventCollector
from cortexd.providers.decoding import MAX_TOOL_CALLS
from cortexd.providers.failures import malformed
from cortexd.providers.openai.answer import read_answer


class StreamReader(Protocol):
    """Takes the SDK's events of one stream."""

    def feed(self, event: Any) -> str:
        """The text that the event adds. Raises ProviderError for an error in the stream, and for a malformed one."""
        ...

    def answer(self) -> Answer:
        """What was said, once the stream has ended. Raises ProviderError where that is no answer."""
        ...

    def usage_so_far(self) -> Usage | None:
        """What the provider has reported until now, when nothing more will be read."""
        ...


class EventReader:
    """Anthropic's events."""

    def __init__(self, model: str, max_bytes: int) -> None:
        self._collector = EventCollector(model, max_bytes)

    def feed(self, event: Any) -> str:
        row = seen(event, EVENT) or {}
        if not isinstance(row.get("type"), str):
            return ""
        self._collector.feed(encode(row))
        part = row.get("delta" if row["type"] == "content_block_delta" else "content_block") or {}
        text = part.get("text")
        return text if isinstance(text, str) else ""

    def answer(self) -> Answer:
        return self._collector.answer()

    def usage_so_far(self) -> Usage | None:
        self._collector.complete = True
        return _usage_in(self.answer)


@dataclass(slots=True)
class _Call:
    """A tool call as far as it has come."""

    id: Any = None
    name: Any = None
    arguments: list[str] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        return {"id": self.id, "function": {"name": self.name, "arguments": "".join(self.arguments)}}


class ChunkReader:
    """OpenAI-style chunks, put together to the completion that the plain call would have given."""

    def __init__(self, model: str, max_bytes: int) -> None:
        self._asked_model = model
        self._left = max_bytes
        self._texts: dict[str, list[str]] = {"content": [], "refusal": []}
        self._calls: dict[int, _Call] = {}
        self._whole: dict[str, Any] = {}
        self._finish: str | None = None
        self._begun = False

    def feed(self, event: Any) -> str:
        chunk = seen(event, CHUNK) or {}
        choice: dict[str, Any] = next(iter(chunk.get("choices") or ()), {})
        for name, value in (*chunk.items(), ("usage", choice.get("usage"))):
            if name != "choices" and value:
                self._whole[name] = value
        self._begun = self._begun or bool(choice)
        self._finish = choice.get("finish_reason") or self._finish
        delta = choice.get("delta") or {}
        for call in delta.get("tool_calls") or ():
            self._add_call(call)
        return self._add_text("content", delta) or self._add_text("refusal", delta)

    def answer(self) -> Answer:
        # The SDK keeps [DONE] to itself, and programs' fakes give no reason: surely cut off is only what said nothing.
        if self._begun and not (self._finish or self._calls or any(map(any, self._texts.values()))):
            raise ProviderError(Failure.CONNECTION, "the stream ended before the answer did", may_have_billed=True)
        return self._answer()

    def _answer(self) -> Answer:
        texts = {name: "".join(parts) for name, parts in self._texts.items()}
        message = {**texts, "tool_calls": [call.row() for call in self._calls.values()]}
        choices = [{"message": message, "finish_reason": self._finish}] if self._begun else []
        return read_answer(encode({**self._whole, "choices": choices}), self._asked_model)

    def usage_so_far(self) -> Usage | None:
        return _usage_in(self._answer)

    def _add_text(self, name: str, delta: dict[str, Any]) -> str:
        text = delta.get(name)
        if not isinstance(text, str):
            return ""
        self._take(text)
        self._texts[name].append(text)
        return text

    def _add_call(self, piece: dict[str, Any]) -> None:
        index = piece.get("index")
        known = self._calls.setdefault(index if isinstance(index, int) else 0, _Call())
        if len(self._calls) > MAX_TOOL_CALLS:
            raise malformed(f"the answer holds more than {MAX_TOOL_CALLS} tool calls")
        function = piece.get("function") or {}
        known.id = known.id or piece.get("id")
        known.name = known.name or function.get("name")
        if isinstance(arguments := function.get("arguments"), str):
            self._take(arguments)
            known.arguments.append(arguments)

    def _take(self, text: str) -> None:
        self._left -= len(text.encode("utf-8", "surrogatepass"))
        if self._left < 0:
            raise malformed("the answer is larger than allowed")


def _usage_in(answer: Callable[[], Answer]) -> Usage | None:
    try:
        return answer().usage
    except ProviderError:
        return None

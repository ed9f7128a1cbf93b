"""An answer to a request that went out with placeholders: the secrets put back, while it grows and when it is whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from cortexd.domain.messages import Answer, ToolCall
from cortexd.privacy import Disguise, Restorer
from cortexd.providers import Delta, malformed

Hear = Callable[[Sequence[Delta]], Awaitable[None]]


class Restoring:
    """Of one attempt. `most` bounds an answer's UTF-8 bytes: a model could say a long key's placeholder many times.

    What was held back of the text is heard before a tool call, and with `rest` at the end.
    """

    def __init__(self, disguise: Disguise, hear: Hear | None, most: int) -> None:
        self._tell = hear
        self._most = most
        self._size = 0
        self._text = Restorer(disguise.secrets, in_json=disguise.response_schema is not None)
        self._arguments = Restorer(disguise.secrets, in_json=True)
        self._thought = Restorer(disguise.secrets)

    @property
    def hear(self) -> Hear | None:
        """What the attempt's listener hears with; None where nobody hears."""
        return None if self._tell is None else self._hear

    async def rest(self) -> None:
        """No more text comes."""
        await self._say(self._ended())

    def answer(self, answer: Answer) -> Answer:
        """The whole answer restored. Raises ProviderError where it is too long then."""
        restored = replace(
            answer,
            content=self._text.whole(answer.content),
            reasoning=self._thought.whole(answer.reasoning),
            tool_calls=tuple(map(self._call, answer.tool_calls)),
        )
        said = (restored.content, restored.reasoning, *(call.arguments for call in restored.tool_calls))
        self._check(sum(map(_bytes, said)))
        return restored

    async def _hear(self, deltas: Sequence[Delta]) -> None:
        restored: list[Delta] = []
        for delta in deltas:
            if isinstance(delta, str):
                restored += filter(None, [self._text.take(delta)])
            elif isinstance(delta, ToolCall):
                restored += [*self._ended(), self._call(delta)]
        await self._say(restored)

    async def _say(self, deltas: Sequence[Delta]) -> None:
        if self._tell is None or not deltas:
            return
        self._size += sum(map(_size, deltas))
        self._check(self._size)
        await self._tell(deltas)

    def _ended(self) -> list[Delta]:
        return [*filter(None, [self._text.rest()])]

    def _call(self, call: ToolCall) -> ToolCall:
        return replace(call, name=self._thought.whole(call.name), arguments=self._arguments.whole(call.arguments))

    def _check(self, size: int) -> None:
        if size > self._most:
            raise malformed("the answer is larger than allowed once the secrets are put back")


def _size(delta: Delta) -> int:
    return _bytes(delta.arguments if isinstance(delta, ToolCall) else str(delta))


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))

"""A stream as its consumer has it: pieces of text, and afterwards the response. Where they come from is another's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from cortexd.library.types import LLMResponse


@dataclass(slots=True)
class Outcome:
    """Where a stream leaves its response. Apart from the stream, so that one that is dropped ends at once."""

    response: LLMResponse | None = None


class TextStream(Iterator[str]):
    """The pieces of one answer. Leaving the loop, `close()` or the end of a `with` block closes the connection."""

    def __init__(self, source: Generator[str, None, None], outcome: Outcome) -> None:
        self._source = source
        self._outcome = outcome

    @property
    def response(self) -> LLMResponse | None:
        """The whole answer with its costs, once the last piece is out."""
        return self._outcome.response

    def __next__(self) -> str:
        return next(self._source)

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class AsyncTextStream(AsyncIterator[str]):
    """The pieces of one answer. `aclose()` or the end of an `async with` block closes the connection; after leaving
    the loop alone that happens when the event loop comes to it."""

    def __init__(self, source: AsyncGenerator[str, None], outcome: Outcome) -> None:
        self._source = source
        self._outcome = outcome

    @property
    def response(self) -> LLMResponse | None:
        """The whole answer with its costs, once the last piece is out."""
        return self._outcome.response

    async def __anext__(self) -> str:
        return await anext(self._source)

    async def aclose(self) -> None:
        await self._source.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

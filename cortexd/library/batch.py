"""Many calls of one router, so many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from cortexd.library.limiter import positive
from cortexd.library.types import LLMResponse

_MOST_AT_ONCE = 32  # of a batch that names no number


async def gathered(
    calls: Sequence[Callable[[], Awaitable[LLMResponse]]], max_concurrent: int | None
) -> list[LLMResponse | BaseException]:
    """What each of `calls` gave, or its exception, in their order."""
    turns = asyncio.Semaphore(_MOST_AT_ONCE if max_concurrent is None else positive(max_concurrent))

    async def one(call: Callable[[], Awaitable[LLMResponse]]) -> LLMResponse:
        async with turns:
            return await call()

    return await asyncio.gather(*map(one, calls), return_exceptions=True)

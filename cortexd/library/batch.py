"""Many calls of one router, so many at a time. One that comes too soon waits as it is told to: nothing was spent."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence

from cortexd.errors import RateLimited
from cortexd.library.limiter import positive
from cortexd.library.types import LLMProvider, LLMResponse

_MOST_AT_ONCE = 32  # of a batch that names no number
_PATIENCE_S = 600.0


async def gathered(
    calls: Sequence[Callable[[], Awaitable[LLMResponse]]], max_concurrent: int | None
) -> list[LLMResponse | BaseException]:
    """What each of `calls` gave, or its exception, in their order."""
    turns = asyncio.Semaphore(_MOST_AT_ONCE if max_concurrent is None else positive(max_concurrent))

    async def one(call: Callable[[], Awaitable[LLMResponse]]) -> LLMResponse:
        async with turns:
            give_up = time.monotonic() + _PATIENCE_S
            while True:
                try:
                    return await call()
                except RateLimited as error:
                    wait_s = int(error.details.get("retry_after_ms", 0)) / 1000
                    if not wait_s or time.monotonic() + wait_s > give_up:
                        raise
                await asyncio.sleep(wait_s)

    given = await asyncio.gather(*map(one, calls), return_exceptions=True)
    return [_readable(item) if isinstance(item, Exception) else item for item in given]


def _readable(error: Exception) -> Exception:
    """`error` with an LLMResponse's attributes, for programs that read every row's: Cortex's first router put a
    response of the model "error" in such a place."""
    row = LLMResponse(f"Error: {error}", LLMProvider.CLAUDE, "error", 0, 0.0, 0.0, finish_reason="error")
    for name in LLMResponse.__dataclass_fields__:
        if not hasattr(error, name):
            with contextlib.suppress(AttributeError):  # of a class with slots
                setattr(error, name, getattr(row, name))
    return error

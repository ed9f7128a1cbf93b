"""A batch of the library's waits where it is told to: nothing has been spent by then."""

from __future__ import annotations

import pytest

from cortexd.errors import RateLimited
from cortexd.library.batch import gathered
from llm_router import LLMProvider, LLMResponse


def answer() -> LLMResponse:
    return LLMResponse("hello", LLMProvider.CLAUDE, "claude-sonnet-5-5", 1, 0.0, 1.0)


class TestHints:
    @pytest.mark.parametrize(("hint", "asked"), [({"retry_after_ms": 1}, 3), ({}, 1), ({"retry_after_ms": 10**9}, 1)])
    async def test_are_followed(self, hint: dict[str, int], asked: int) -> None:
        """It asks again after the wait; without a hint, or with one of days, the error is the result."""
        calls = 0

        async def call() -> LLMResponse:
            nonlocal calls
            calls += 1
            if calls < 3:
                raise RateLimited("too many", **hint)
            return answer()

        [result] = await gathered([call], None)
        assert calls == asked
        assert isinstance(result, LLMResponse if asked == 3 else RateLimited)

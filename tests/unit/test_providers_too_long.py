"""A prompt that is too long, and a text that is not answered, told from every other refused request.

Each body as its server says it, with the version and where it was seen.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortexd.errors import Failure
from cortexd.providers.failures import status_error

TOO_LONG: dict[str, tuple[int, Any]] = {
    "Anthropic, API reference": (
        400,
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "prompt is too long: 216099 tokens > 200000 maximum"},
        },
    ),
    "OpenAI, API reference": (400, {"error": {"message": "m", "code": "context_length_exceeded", "type": "x"}}),
    "vLLM 0.32, run": (
        400,
        {
            "error": {
                "message": "This model's maximum context length is 2048 tokens. However, you requested 4096 tokens",
                "type": "BadRequestError",
                "code": 400,
            }
        },
    ),
    "llama.cpp b11434, run": (
        400,
        {"error": {"code": 400, "message": "m", "type": "exceed_context_size_error", "n_ctx": 512}},
    ),
    "llama-cpp-python 0.3.36, run": (400, {"error": {"message": "m", "code": "context_length_exceeded"}}),
    "LiteLLM 1.108, run": (
        400,
        {"error": {"message": "litellm.ContextWindowExceededError: m", "type": None, "code": "400"}},
    ),
    "Gemini, public reports": (
        400,
        [{"error": {"code": 400, "message": "The input token count (1200000) exceeds the maximum number of tokens"}}],
    ),
    "SGLang, public reports": (
        400,
        {"object": "error", "message": "The input (9000 tokens) is longer than the model's context length (8192)."},
    ),
    "by 413": (413, {"error": {"message": "m", "code": "context_length_exceeded"}}),
}
CONTENT: dict[str, tuple[int, Any]] = {
    "Azure OpenAI, API reference": (400, {"error": {"message": "m", "code": "content_filter", "status": 400}}),
    "OpenAI, API reference": (400, {"error": {"message": "m", "code": "content_policy_violation"}}),
    "DashScope, API reference": (400, {"error": {"message": "m", "code": "data_inspection_failed"}}),
}
NEITHER: dict[str, tuple[int, Any]] = {
    "a wrong parameter": (400, {"error": {"message": "temperature is not supported", "code": "unsupported_value"}}),
    "an answer's limit": (
        400,
        {"error": {"message": "max_tokens is too large", "type": "invalid_request_error"}},
    ),
    "an unknown model": (404, {"error": {"message": "The model `m` does not exist", "code": "model_not_found"}}),
    "no JSON": (400, None),
}


def read(status: int, body: Any) -> Failure:
    return status_error(status, {}, b"<html>" if body is None else json.dumps(body).encode()).failure


class TestTold:
    @pytest.mark.parametrize("said", TOO_LONG.values(), ids=TOO_LONG)
    def test_too_long(self, said: tuple[int, Any]) -> None:
        """By its words, or by its text where it has no words."""
        assert read(*said) is Failure.CONTEXT

    @pytest.mark.parametrize("said", CONTENT.values(), ids=CONTENT)
    def test_not_answered(self, said: tuple[int, Any]) -> None:
        """By its words."""
        assert read(*said) is Failure.CONTENT

    @pytest.mark.parametrize("said", NEITHER.values(), ids=NEITHER)
    def test_anything_else(self, said: tuple[int, Any]) -> None:
        """Is a refused request as before."""
        assert read(*said) is Failure.REFUSED

    @pytest.mark.parametrize("status", [401, 429, 500, 503])
    def test_a_text_never_stands_above_such_a_status(self, status: int) -> None:
        """A server's error may quote what was asked, of a context length for instance."""
        quoted = {"error": {"message": "you asked: maximum context length is 4 tokens", "type": "api_error"}}
        assert read(status, quoted) is not Failure.CONTEXT

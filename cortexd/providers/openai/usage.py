"""Token figures of OpenAI-style servers.

| field | who (seen in) |
|---|---|
| prompt_tokens, completion_tokens, total_tokens | OpenAI, and all below unless they say otherwise |
| input_tokens, output_tokens | servers that answer with the Responses API's names (OpenAI, 2025) |
| prompt_tokens_details.cached_tokens | OpenAI, DashScope, vLLM 0.32, SGLang 0.5, LiteLLM 1.108, Groq, xAI, Gemini |
| cached_tokens | Moonshot |
| prompt_cache_hit_tokens, prompt_cache_miss_tokens | DeepSeek: they add up to prompt_tokens |
| cache_read_input_tokens, cache_creation_input_tokens | LiteLLM 1.108, of a model at Anthropic |
| prompt_tokens_details.cache_write_tokens | OpenRouter |
| prompt_tokens_details.cache_creation_input_tokens | DashScope, explicit cache |
| prompt_tokens_details.cache_creation_tokens | LiteLLM 1.108 |
| completion_tokens_details.reasoning_tokens | OpenAI, DeepSeek, DashScope; xAI and Gemini beside the output |
| reasoning_tokens | SGLang 0.5, Perplexity |
| x_groq.usage | Groq's streams, on the last chunk |
| timings.{cache_n, prompt_n, predicted_n} | llama.cpp (llama-server 11434), where usage was not asked for |
"""

from __future__ import annotations

from typing import Any

from cortexd.domain.messages import Usage
from cortexd.providers.decoding import dig
from cortexd.providers.usage import consistent, is_count, merged, positive

_PROMPT = (("prompt_tokens",), ("input_tokens",))
_OUTPUT = (("completion_tokens",), ("output_tokens",))
_PROMPT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details")
_CACHED = (
    *((details, "cached_tokens") for details in _PROMPT_DETAILS),
    ("cached_tokens",),
    ("prompt_cache_hit_tokens",),
    ("cache_read_input_tokens",),
)
_WRITTEN = (
    ("prompt_tokens_details", "cache_write_tokens"),
    ("prompt_tokens_details", "cache_creation_input_tokens"),
    ("prompt_tokens_details", "cache_creation_tokens"),
    ("cache_creation_input_tokens",),
)
_REASONING = (*((details, "reasoning_tokens") for details in _OUTPUT_DETAILS), ("reasoning_tokens",))
_MISSED = "prompt_cache_miss_tokens"
_TOTAL = "total_tokens"
_FIELDS = frozenset(
    name for place in (*_PROMPT, *_OUTPUT, *_CACHED, *_WRITTEN, *_REASONING, (_MISSED,), (_TOTAL,)) for name in place
)
_GROWING = frozenset(
    {"prompt_tokens", "input_tokens", "completion_tokens", "output_tokens", _TOTAL, "reasoning_tokens"}
)


def read_usage(usage: object) -> Usage | None:
    """The usage object in ours; None where it says nothing that can be counted, or what cannot be."""
    cached, prompt = _dearest_cache(usage), _dearest(usage, _PROMPT)
    missed = dig(usage, _MISSED)
    if is_count(missed) and is_count(cached) and is_count(prompt):
        prompt = max(prompt, missed + cached)
    return consistent(
        prompt,
        _dearest(usage, _OUTPUT),
        total=dig(usage, _TOTAL),
        cached=cached,
        written=_dearest(usage, _WRITTEN),
        reasoning=_dearest(usage, _REASONING),
    )


def usage_beside(usage: object, x_groq: object, timings: object) -> object:
    """The usage object of a chunk or completion, wherever it stands."""
    if isinstance(usage, dict):
        return usage
    if isinstance(found := dig(x_groq, "usage"), dict):
        return found
    if not isinstance(timings, dict) or timings.get("predicted_n") is None:
        return usage
    parts: list[Any] = [timings.get("prompt_n"), timings.get("cache_n") or 0]
    return {
        "prompt_tokens": sum(parts) if all(map(is_count, parts)) else None,
        "completion_tokens": timings["predicted_n"],
        "prompt_tokens_details": {"cached_tokens": parts[1]},
    }


def later_usage(earlier: object, later: dict[str, Any]) -> dict[str, Any]:
    """A stream's usage after one more report of it, a running total or the whole."""
    result = merged(earlier, later, _FIELDS, _GROWING)
    if isinstance(earlier, dict) and not positive(later.get(_TOTAL)) and _parts(result) != _parts(earlier):
        result.pop(_TOTAL, None)  # of other figures than these
    return result


def _parts(usage: dict[str, Any]) -> tuple[Any, Any]:
    return _dearest(usage, _PROMPT), _dearest(usage, _OUTPUT)


def _dearest(usage: object, places: tuple[tuple[str, ...], ...]) -> Any:
    """The largest of the figures that are said, or what is no figure where there is such."""
    found = [value for place in places if (value := dig(usage, *place)) is not None]
    wrong = [value for value in found if not is_count(value)]
    return wrong[0] if wrong else max(found, default=None)


def _dearest_cache(usage: object) -> Any:
    """Of several figures the smallest that says anything: what was not cached costs more."""
    found = [value for place in _CACHED if (value := dig(usage, *place)) is not None]
    if not found or not all(map(is_count, found)):
        return next((value for value in found if not is_count(value)), None)
    return min(filter(None, found), default=0)

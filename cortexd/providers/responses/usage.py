"""Token figures of the Responses API, in what ends a stream or answers whole.

| field | who (seen in) |
|---|---|
| input_tokens, output_tokens, total_tokens | all |
| input_tokens_details.cached_tokens | OpenAI, xAI, transformers 5.24, LiteLLM 1.108 |
| input_tokens_details.cache_write_tokens | OpenAI (openai 3.54, types/responses/response_usage.py), transformers 5.24 |
| output_tokens_details.reasoning_tokens | OpenAI, xAI, LiteLLM 1.108 (null) |
"""

from __future__ import annotations

from typing import Any

from cortexd.domain.messages import Usage
from cortexd.providers.decoding import dig
from cortexd.providers.usage import consistent, merged

_INPUT, _OUTPUT, _TOTAL = "input_tokens", "output_tokens", "total_tokens"
_READ, _WRITTEN, _REASONING = "cached_tokens", "cache_write_tokens", "reasoning_tokens"
_INPUT_DETAILS, _OUTPUT_DETAILS = "input_tokens_details", "output_tokens_details"
_FIELDS = frozenset({_INPUT, _OUTPUT, _TOTAL, _READ, _WRITTEN, _REASONING, _INPUT_DETAILS, _OUTPUT_DETAILS})
_GROWING = frozenset({_INPUT, _OUTPUT, _TOTAL, _REASONING})


def read_usage(usage: object) -> Usage | None:
    """The usage object in ours; None where it says nothing that can be counted, or what cannot be."""
    return consistent(
        dig(usage, _INPUT),
        dig(usage, _OUTPUT),
        total=dig(usage, _TOTAL),
        cached=dig(usage, _INPUT_DETAILS, _READ),
        written=dig(usage, _INPUT_DETAILS, _WRITTEN),
        reasoning=dig(usage, _OUTPUT_DETAILS, _REASONING),
    )


def later_usage(earlier: object, later: dict[str, Any]) -> dict[str, Any]:
    """A stream's usage after one more report of it: of its events any may hold one, and the last is the whole."""
    return merged(earlier, later, _FIELDS, _GROWING)

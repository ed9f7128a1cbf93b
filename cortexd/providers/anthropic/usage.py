"""Token figures of Anthropic's API and of those who speak it.

| field | who (seen in) |
|---|---|
| input_tokens, output_tokens | all; input_tokens is what was neither read from nor written to the cache |
| cache_read_input_tokens, cache_creation_input_tokens | Anthropic, Bedrock, Moonshot, DeepSeek, LiteLLM 1.108 |
| cache_creation.{ephemeral_5m_input_tokens, ephemeral_1h_input_tokens} | Anthropic: the parts of what was written |
| output_tokens_details.thinking_tokens | Anthropic |

In a stream `message_start` guesses the output, and some servers the prompt too (SGLang, envoy/ai-gateway: zeros); what
`message_delta` says later counts, but zeros there take nothing back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cortexd.domain.messages import Usage
from cortexd.providers.decoding import dig
from cortexd.providers.usage import are_counts, consistent, is_count, merged, positive

_INPUT, _READ, _WRITTEN, _OUTPUT = (
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "output_tokens",
)
_CREATION = "cache_creation"
_SHORT, _HOUR = "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"
_PROMPT = (_INPUT, _READ, _WRITTEN, _CREATION)
_DETAILS, _THINKING = "output_tokens_details", "thinking_tokens"
_FIELDS = frozenset({*_PROMPT, _OUTPUT, _SHORT, _HOUR, _DETAILS, _THINKING})
_GROWING = frozenset({_OUTPUT, _THINKING})


def read_usage(usage: object) -> Usage | None:
    """The usage object in ours; None where it says nothing that can be counted, or what cannot be."""
    if not isinstance(usage, dict):
        return None
    parts = prompt, read, written = usage.get(_INPUT), usage.get(_READ), _written(usage)
    if prompt is None or not are_counts(parts):
        return None
    counted = consistent(
        sum(int(part or 0) for part in parts),
        usage.get(_OUTPUT),
        cached=read,
        written=written,
        reasoning=dig(usage, _DETAILS, _THINKING),
    )
    hour = dig(usage, _CREATION, _HOUR)
    return replace(counted, hour_write_tokens=hour) if counted is not None and hour else counted


def later_usage(earlier: object, later: dict[str, Any]) -> dict[str, Any]:
    """A stream's usage after one more report of it. A prompt does not shrink: the report with the larger one counts."""
    result = merged(earlier, later, _FIELDS, _GROWING)
    if not isinstance(earlier, dict) or later.keys().isdisjoint(_PROMPT):
        return result
    before, after = _prompt(earlier), _prompt(result)
    if before is None or after is None or after >= before:
        return result
    return {name: value for name, value in result.items() if name not in _PROMPT} | {
        name: earlier[name] for name in _PROMPT if name in earlier
    }


def says_output(usage: object) -> bool:
    """Whether a report says how much was written; a zero does not."""
    value = dig(usage, _OUTPUT)
    return value is not None and (positive(value) or not is_count(value))


def _written(usage: Mapping[str, Any]) -> Any:
    """What was written, whichever place says more; a figure that is no count where there is one."""
    said, places = usage.get(_WRITTEN), usage.get(_CREATION)
    found = map(places.get, (_SHORT, _HOUR)) if isinstance(places, dict) else ()
    parts = [value for value in found if value is not None]
    figures = parts if said is None else [said, *parts]
    wrong = [value for value in figures if not is_count(value)]
    if wrong or not figures:
        return wrong[0] if wrong else None
    return max(said or 0, sum(parts))


def _prompt(usage: dict[str, Any]) -> int | None:
    parts = [usage.get(_INPUT), usage.get(_READ), _written(usage)]
    return sum(int(part or 0) for part in parts) if are_counts(parts) else None

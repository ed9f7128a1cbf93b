"""A provider's JSON, read with tolerance where that is harmless; everything else is a malformed answer.

Structures here are as loose as the vendors' servers are: a field whose wrong type does no harm is `Any`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from cortexd.domain.messages import ToolCall, Usage
from cortexd.domain.safe_values import bounded_text, safe_text, token_count
from cortexd.providers.failures import malformed

MAX_TOOL_CALLS = 256
_MAX_NAME = 256
_MOST_TOKENS = 100_000_000  # a hundred times the largest context
_MAX_FINISH = 64
# The standard library takes what msgspec refuses (NaN, lone surrogates), but holds the loop for 10 ms per megabyte.
_MAX_TOLERATED = 1024 * 1024

T = TypeVar("T")


def json_decoder(shape: type[T]) -> Callable[[bytes], T]:
    """A function from a JSON body to `shape`. It raises ProviderError (malformed answer) and nothing else."""
    strict = msgspec.json.Decoder(shape)

    def decode(body: bytes) -> T:
        try:
            return strict.decode(body)
        except msgspec.ValidationError as error:
            raise malformed(f"the answer has another shape than promised: {error}") from None
        except (ValueError, RecursionError):
            return _tolerant(body, shape)

    return decode


def _tolerant(body: bytes, shape: type[T]) -> T:
    if len(body) > _MAX_TOLERATED:
        raise malformed("the answer is not JSON")
    try:
        return msgspec.convert(json.loads(body.decode("utf-8", "replace")), shape)
    except msgspec.ValidationError as error:
        raise malformed(f"the answer has another shape than promised: {error}") from None
    except (ValueError, RecursionError):
        raise malformed(_what_instead(body)) from None


def _what_instead(body: bytes) -> str:
    start = body[:64].lstrip()
    if not start:
        return "the answer is empty"
    return "the answer is HTML, not JSON" if start.startswith(b"<") else "the answer is not JSON"


def json_text(value: object) -> str:
    """A decoded JSON value as text again. Raises ProviderError where it is none (NaN, nested without end)."""
    try:
        return safe_text(json.dumps(value, ensure_ascii=False, allow_nan=False))
    except (ValueError, RecursionError):
        raise malformed("a tool call's arguments are not JSON") from None


def dig(value: object, *names: str) -> Any:
    """The value under a path of names; None where a step is missing or no object."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def usage_of(
    prompt: Iterable[object], output: object, cached: object, written: object, reasoning: object
) -> Usage | None:
    """Usage from a vendor's figures; `prompt` are those that add up to the whole prompt.

    None, that is an unknown cost, where one that is billed is present but no possible count, or nothing is there.
    """
    prompt = tuple(prompt)
    billed = (*prompt, output, cached, written)
    if prompt[0] is None or output is None or not all(value is None or _is_count(value) for value in billed):
        return None
    total, generated = token_count(sum(map(token_count, prompt))), token_count(output)
    read = min(token_count(cached), total)
    return Usage(
        input_tokens=total,
        output_tokens=generated,
        cached_tokens=read,
        cache_write_tokens=min(token_count(written), total - read),
        reasoning_tokens=min(token_count(reasoning), generated),
    )


def _is_count(value: object) -> bool:
    """Whether a figure can be a count of tokens; booking an absurd one would shut everybody out for a month."""
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    return numeric and 0 <= value <= _MOST_TOKENS  # type: ignore[operator]  # NaN is in no range


def tool_calls_of(calls: Iterable[tuple[object, object, str]]) -> tuple[ToolCall, ...]:
    """(id, name, arguments) as ToolCalls; a missing id is made up, a missing name is a malformed answer."""
    return tuple(tool_call_of(number, *call) for number, call in enumerate(calls))


def tool_call_of(number: int, id_: object, name: object, arguments: str) -> ToolCall:
    """The answer's tool call `number`, from 0. Raises as `tool_calls_of`."""
    if number >= MAX_TOOL_CALLS:
        raise malformed(f"the answer holds more than {MAX_TOOL_CALLS} tool calls")
    if not isinstance(name, str) or not name:
        raise malformed("the answer holds a tool call without a name")
    known = id_ if isinstance(id_, str) and id_ else f"call_{number}"
    return ToolCall(bounded_text(known, _MAX_NAME), bounded_text(name, _MAX_NAME), arguments)


def finish_of(word: object, table: dict[str, str], *, has_tool_calls: bool) -> str:
    """The vendor's reason in the domain's words, its own word where there is none; none at all means it is complete."""
    if not isinstance(word, str) or not word:
        return "tool_calls" if has_tool_calls else "stop"
    return table.get(word) or bounded_text(word, _MAX_FINISH)


def model_of(claimed: object, asked: str) -> str:
    return bounded_text(claimed, _MAX_NAME) if isinstance(claimed, str) and claimed else asked

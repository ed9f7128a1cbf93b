"""Token figures that providers report, believed only where they fit each other and the answer.

Where they contradict each other the dearest reading that fits counts; where none fits, the usage is unknown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import product
from typing import Any

from cortexd.domain.messages import Usage

_MOST_TOKENS = 100_000_000  # of any figure
_MOST_PROMPT = 10_000_000  # the largest context any model offers (Llama 4 Scout)
_MOST_OUTPUT = 1_000_000  # no model writes as much in one answer
# Common words are one token each, so text has 3 to 6 bytes a token; only runs of one character have tokens of 32 and
# more. A short text may be such a run.
_MOST_BYTES_PER_TOKEN = 32
_SHORT_BYTES = 128
_WHOLE = frozenset({int, type(None)})


def is_count(value: object) -> bool:
    """Whether a figure can be a count of tokens: a whole number in bounds, 3.0 too, and no truth value."""
    if type(value) is int:  # nearly all are
        return 0 <= value <= _MOST_TOKENS
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= _MOST_TOKENS and value == int(value)  # NaN is in no range


def are_counts(figures: Sequence[object]) -> bool:
    """Whether each of them can be one, where there is one."""
    if _WHOLE.issuperset(map(type, figures)):  # nearly all are: looked at together
        said: Any = tuple(filter(None, figures))
        return not said or (min(said) > 0 and max(said) <= _MOST_TOKENS)
    return all(figure is None or is_count(figure) for figure in figures)


def positive(value: object) -> bool:
    return is_count(value) and value != 0


def consistent(
    prompt: object,
    output: object,
    *,
    total: object = None,
    cached: object = None,
    written: object = None,
    reasoning: object = None,
) -> Usage | None:
    """The dearest usage that the figures can mean; None, that is an unknown cost, where there is none.

    `prompt` is said to include `cached` and `written`, and `output` `reasoning`, but servers differ: xAI and Gemini
    count reasoning beside the output, and only `total` shows it (inspect_ai#5528, vercel/ai#12425). A part that is
    larger than its whole can only stand beside it. What only a total holds counts as output, which costs most.
    """
    figures = (prompt, output, total, cached, written, reasoning)
    if prompt is None or output is None or not are_counts(figures):
        return None
    asked, made, whole, read, stored, thought = (int(figure or 0) for figure in figures)  # type: ignore[call-overload]
    if not asked:
        return None  # no request has an empty prompt
    if not (read or stored or thought) and whole in (0, asked + made):
        return Usage(asked, made)
    beside = [
        (asked + more, made + further)
        for more, further in product((0, read + stored), (0, thought))
        if read + stored <= asked + more and thought <= made + further
    ]
    if not whole:
        fitting = beside[:1]
    else:
        fitting = sorted((row for row in beside if sum(row) == whole), key=lambda row: row[1])[-1:]
        if not fitting and beside and asked + made < whole and read + stored <= asked:
            fitting = [(asked, whole - asked)]
    return Usage(*fitting[0], read, stored, thought) if fitting else None


def merged(earlier: Any, later: Mapping[str, Any], known: Collection[str], growing: Collection[str]) -> dict[str, Any]:
    """A stream's usage so far with a later event's: null and zero take nothing back, nor does less of what only grows.

    Only `known` fields are kept, so that a stream cannot make it grow. Figures that are none replace what was there:
    then nothing is known (see `consistent`).
    """
    result = dict(earlier) if isinstance(earlier, dict) else {}
    for name in later.keys() & known:
        value, before = later[name], result.get(name)
        if isinstance(value, dict):
            result[name] = merged(before, value, known, growing)
        elif not (
            value is None or isinstance(before, dict) or (before and _takes_back(value, before, name in growing))
        ):
            result[name] = value
    return result


def _takes_back(value: object, before: object, grows: bool) -> bool:
    if not (positive(before) and is_count(value)):
        return False
    return value == 0 or (grows and value < before)  # type: ignore[operator]  # both are numbers


def believable(usage: Usage | None, said_bytes: int, reasoning_bytes: int) -> Usage | None:
    """`usage`, or None where an answer of so many bytes of text and tool calls, and of reasoning, cannot have it."""
    if usage is None:
        return None
    bytes_ = said_bytes + reasoning_bytes
    possible = (
        _can_be(usage.output_tokens, bytes_)
        and _can_be(usage.output_tokens - usage.reasoning_tokens, said_bytes)
        and usage.output_tokens <= max(_MOST_OUTPUT, bytes_)
        and usage.input_tokens <= _MOST_PROMPT
    )
    return usage if possible else None


def believable_prompt(usage: Usage | None, prompt_chars: int) -> Usage | None:
    """`usage`, or None where a prompt with so many characters of text cannot be so few tokens."""
    return usage if usage is not None and _can_be(usage.input_tokens, prompt_chars) else None


def _can_be(tokens: int, size: int) -> bool:
    return size <= (tokens * _MOST_BYTES_PER_TOKEN + _SHORT_BYTES if tokens else 0)

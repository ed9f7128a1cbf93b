"""Tool calls as a model wrote them, made fit for those who run them: whole JSON, names, ids that are nobody else's."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import uuid4

import msgspec

from cortexd.domain.messages import ToolCall
from cortexd.domain.safe_values import bounded_text, safe_text
from cortexd.providers.decoding import MAX_TOLERATED, json_text
from cortexd.providers.failures import malformed
from cortexd.providers.finishing import CUT

MAX_TOOL_CALLS = 256
MAX_NAME = 256
_NO_ARGUMENTS = "{}"


@dataclass(frozen=True, slots=True)
class RawCall:
    """A call as it came. `arguments` is text or a JSON value."""

    id: object
    name: object
    arguments: object


class CallIds:
    """Gives each call an id of its own: the server's, or a made-up one where it has none or it is taken.

    `taken`: the ids of the conversation so far. Servers that count from call_0 in every answer repeat them.
    """

    def __init__(self, taken: Collection[str] = ()) -> None:
        self._taken = set(taken)

    def unique(self, id_: object) -> str:
        known = bounded_text(id_, MAX_NAME) if isinstance(id_, str | int) and not isinstance(id_, bool) else ""
        if not known.strip() or known in self._taken:
            known = f"call_{uuid4().hex}"
        self._taken.add(known)
        return known


def tool_call_of(raw: RawCall, arguments: str, ids: CallIds) -> ToolCall:
    """Raises ProviderError for a call without a name that can be one."""
    if not isinstance(raw.name, str) or not raw.name.strip():
        raise malformed("the answer holds a tool call without a name")
    if len(raw.name) > MAX_NAME:
        raise malformed(f"a tool call's name is longer than {MAX_NAME} characters")
    return ToolCall(ids.unique(raw.id), safe_text(raw.name), arguments)


def tool_calls_of(raws: Iterable[RawCall], finish: str, ids: CallIds) -> tuple[ToolCall, ...]:
    """The whole calls among `raws`; what was cut off is none. Raises ProviderError for one that is broken otherwise.

    One that a server says again, with its id, is no second one: LiteLLM at the end (#20480), LocalAI at another index
    (#9722).
    """
    raws = list(raws)
    check_count(len(raws))
    last = len(raws) - 1
    texts = [arguments_text(raw.arguments) for raw in raws]
    calls, known = [], set()
    for number, (raw, text) in enumerate(zip(raws, texts, strict=True)):
        if finish in CUT and (text is None or (number == last and is_blank(raw.arguments))):
            continue
        if text is None:
            raise malformed("a tool call's arguments are not JSON")
        if (said := _identity(raw, text)) not in known:
            calls.append(tool_call_of(raw, text, ids))
        known |= {said} - {None}
    return tuple(calls)


def _identity(raw: RawCall, text: str) -> tuple[object, object, str] | None:
    """What tells a call from another that has its id; None for one without an id of its own."""
    if not isinstance(raw.id, str | int) or not raw.id or not isinstance(raw.name, str):
        return None
    return raw.id, raw.name, "".join(text.split())


def check_count(count: int) -> None:
    """Raises ProviderError for more calls than anybody can mean."""
    if count > MAX_TOOL_CALLS:
        raise malformed(f"the answer holds more than {MAX_TOOL_CALLS} tool calls")


def is_blank(arguments: object) -> bool:
    return arguments is None or (isinstance(arguments, str) and not arguments.strip())


def arguments_text(value: object) -> str | None:
    """Arguments as JSON text: as they came where they are JSON, None where they are not, or not all of it.

    Nothing is the empty object. Text that every parser but a strict one takes (half an emoji, raw line feeds in a
    string) is written anew; an object inside a JSON string is the object. Raises ProviderError for a value with NaN.
    """
    if is_blank(value):
        return _NO_ARGUMENTS
    if not isinstance(value, str):
        return json_text(value)
    text, parsed = _parsed(value)
    if isinstance(parsed, str) and parsed.lstrip().startswith("{"):
        text, parsed = _parsed(parsed)
    return _NO_ARGUMENTS if text is not None and parsed is None else text


def _parsed(text: str) -> tuple[str | None, Any]:
    """Text, rewritten where it has to be, and what it says; (None, None) where it is not JSON."""
    text = safe_text(text)
    try:
        return text, msgspec.json.decode(text)
    except (ValueError, RecursionError):
        pass
    if len(text) > MAX_TOLERATED:
        return None, None
    try:
        parsed = json.loads(text, strict=False, parse_constant=_no_constant)
        return json_text(parsed), parsed
    except (ValueError, RecursionError):
        return None, None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")

"""Tool calls under names, ids and arguments that a provider takes, and back again.

A caller's tool may have any name, and what one provider answered is given back to another. The narrowest rules:

| what | rule | whose |
|---|---|---|
| name | `[a-zA-Z0-9_-]{1,64}` | OpenAI |
| | begins with a letter | Moonshot, Gemini |
| id | `[a-zA-Z0-9_-]+` | Anthropic |
| | at most 40 characters | OpenAI |
| | nine letters and digits | Mistral |
| | once in a conversation | Anthropic, and whoever finds a result's call by it |
| arguments | a JSON object, without NaN, infinities and half surrogate pairs | Anthropic, llama.cpp, vLLM |
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn

from cortexd.domain.messages import ToolCall
from cortexd.domain.safe_values import safe_text

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}")
_NOT_IN_NAME = re.compile(r"[^a-zA-Z0-9_-]+")
_NAME_STEM = 55  # leaves room for "_" and eight digits
_NOT_IN_STRICT_ID = re.compile(r"[^a-zA-Z0-9_-]")
_NOT_IN_ID = re.compile(r"[^!-~]")
_MAX_ID = 40
_ID_STEM = 31


@dataclass(frozen=True, slots=True)
class CallNames:
    """What the caller calls the tools of one request, by the names that were sent, and the ids of its conversation."""

    own: Mapping[str, str] = field(default_factory=dict)
    ids: frozenset[str] = frozenset()

    def own_call(self, call: ToolCall) -> ToolCall:
        """A call of the answer under the caller's own name, and with an id that its conversation does not hold yet."""
        return replace(call, id=_free(call.id, self.ids), name=self.own.get(call.name, call.name))


def sent_names(names: Iterable[str]) -> dict[str, str]:
    """Each name as it is sent; those that are taken everywhere stay. The same names always give the same."""
    wanted = list(dict.fromkeys(names))
    sent = {name: name for name in wanted if _NAME.fullmatch(name)}
    for name in wanted:
        if name not in sent:
            sent[name] = _free(_fitting_name(name), sent.values())
    return sent


def _fitting_name(name: str) -> str:
    stem = _NOT_IN_NAME.sub("_", name).strip("_-")[:_NAME_STEM]
    if not stem[:1].isalpha():
        stem = f"tool_{stem}"[:_NAME_STEM]
    return f"{stem.rstrip('_')}_{_digest(name)}"


def strict_id(id_: str) -> str:
    """In the characters that Anthropic takes (Kimi writes `functions.name:0`)."""
    return _NOT_IN_STRICT_ID.sub("_", _short(id_))


def usual_id(id_: str) -> str:
    """As it is, where it is short and printable."""
    return _NOT_IN_ID.sub("_", _short(id_))


def short_id(id_: str) -> str:
    """Nine letters and digits."""
    return f"c{_digest(id_)}"


def _short(id_: str) -> str:
    return id_ if 0 < len(id_) <= _MAX_ID else f"{id_[:_ID_STEM]}_{_digest(id_)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


class Ids:
    """Hands out ids that fit, each once."""

    def __init__(self, fit: Callable[[str], str]) -> None:
        self._fit = fit
        self._given: set[str] = set()

    def new(self, wanted: str) -> str:
        found, number = self._fit(wanted), 1
        while found in self._given:
            number += 1
            found = self._fit(f"{wanted[:_ID_STEM]}_{number}")
        self._given.add(found)
        return found


def _free(wanted: str, taken: Iterable[str]) -> str:
    """`wanted`, or with the first number that makes it new."""
    known, found, number = set(taken), wanted, 1
    while found in known:
        number += 1
        found = f"{wanted}_{number}"
    return found


def json_object(arguments: str) -> str:
    """Arguments as a JSON object's text: unchanged where they are one, text that is none under one name, for the model
    to see."""
    if not arguments.strip():
        return "{}"
    try:
        value = json.loads(arguments, parse_constant=_no_json)
        plain = json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        value, plain = None, ""
    if not isinstance(value, dict):
        return json.dumps({"arguments": safe_text(arguments)}, ensure_ascii=False)
    safe = safe_text(plain)
    return arguments if safe == plain else safe


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")

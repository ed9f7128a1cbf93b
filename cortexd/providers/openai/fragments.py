"""Tool calls out of the fragments of a stream.

Fragments of a call share an index. Servers that give no index, or the same one to all, tell calls apart by their ids;
some give neither (Gemini's OpenAI endpoint), or one id to all: then another name begins a new call, and so does a
further whole object. A fragment that says nothing of this belongs to the last call.
"""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import msgspec

from cortexd.providers.collecting import paired
from cortexd.providers.decoding import json_text
from cortexd.providers.openai.answer import Function
from cortexd.providers.tool_calls import RawCall, check_count

# Whether a call is whole is asked where "}" meets "{"; a text that does so very often is one long string.
_MOST_LOOKS = 64


class Fragment(msgspec.Struct):
    index: Any = None
    id: Any = None
    function: Function | None = None


class _Growing:
    """A tool call as far as it has come."""

    def __init__(self) -> None:
        self.id: str | int | None = None
        self.name: object = None
        self._arguments: StringIO | None = None
        self._end = ""
        self._looks = 0

    def write(self, text: str, *, afresh: bool = False) -> None:
        if self._arguments is None or afresh:
            self._arguments = StringIO()
        self._arguments.write(text)
        self._end = text.rstrip()[-1:] or self._end

    def raw(self) -> RawCall:
        return RawCall(self.id, self.name, None if self._arguments is None else paired(self._arguments.getvalue()))

    def whole(self, next_text: str) -> object:
        """The object that the arguments so far are, where `next_text` begins another; None where it goes on."""
        if self._arguments is None or self._end != "}" or not next_text.lstrip().startswith(("{", '"{')):
            return None
        self._looks += 1
        if self._looks > _MOST_LOOKS:
            return None
        try:
            return json.loads(self._arguments.getvalue())
        except (ValueError, RecursionError):
            return None


class Fragments:
    """Puts fragments together, in whatever order they come."""

    def __init__(self) -> None:
        self._calls: list[_Growing] = []
        self._by_index: dict[int | None, _Growing] = {}  # the last one that had it
        self._by_id: dict[tuple[int | None, object], _Growing] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def raw_calls(self) -> list[RawCall]:
        return [growing.raw() for growing in self._calls]

    def add(self, fragment: Fragment) -> str:
        """Take one fragment; returns its arguments as text. Raises ProviderError for one call too many."""
        function = fragment.function or Function()
        given = function.arguments
        text = "" if given is None else given if isinstance(given, str) else json_text(given)
        growing, afresh = self._place(fragment, function.name, text)
        growing.name = growing.name or function.name
        if given is not None:
            growing.write(text, afresh=afresh)
        return text

    def _place(self, fragment: Fragment, name: object, text: str) -> tuple[_Growing, bool]:
        """The call that the fragment belongs to, and whether its text takes the place of what was there."""
        index = fragment.index if isinstance(fragment.index, int) else None
        id_ = fragment.id if isinstance(fragment.id, str | int) and fragment.id else None
        known = self._by_id.get((index, id_), self._by_index.get(index))
        afresh = False
        if known is None or (id_ and known.id and known.id != id_) or (name and known.name and name != known.name):
            known = self._begin()
        elif (whole := known.whole(text)) is not None:
            # Some servers send an empty object first, and then the real one.
            afresh = whole == {} and (not name or (id_ is not None and id_ == known.id))
            known = known if afresh else self._begin(known.name)
        known.id = known.id or id_
        self._by_index[index] = self._by_id[index, known.id] = known
        return known, afresh

    def _begin(self, name: object = None) -> _Growing:
        check_count(len(self._calls) + 1)
        self._calls.append(_Growing())
        self._calls[-1].name = name
        return self._calls[-1]

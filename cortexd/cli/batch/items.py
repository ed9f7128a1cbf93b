"""One line of a batch: a request as JSON, and the id under which it is asked and never paid twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cortexd.errors import InvalidArgument
from cortexd.validation.checks import REQUEST_ID

_NOT_OPTIONS = frozenset({"id", "task_type", "prompt", "messages"})


@dataclass(frozen=True, slots=True)
class Item:
    """`id` is the caller's own, any JSON value. `fault`: why this line cannot be asked."""

    line: int
    id: Any
    request_id: str
    task_type: str = ""
    messages: Any = ()
    options: Mapping[str, Any] | None = None
    fault: InvalidArgument | None = None

    def try_id(self, failed: int) -> str:
        """The id to ask under after so many tries that failed: a used id stays bound to what came of it."""
        if not failed:
            return self.request_id
        plain = f"{self.request_id}:{failed + 1}"
        return plain if len(plain) <= 64 else f"{self.request_id[:24]}:{_hash(plain)}"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where a line says nothing. `run_id` begins the request ids; without one they are made from
    what the line asks, so that the same batch run again is the same requests."""

    task_type: str
    options: Mapping[str, Any]
    run_id: str = ""


def item_of(line: int, text: str, defaults: Defaults) -> Item:
    """A line that is no request becomes an Item with a `fault`."""
    row: Any = None
    try:
        row = json.loads(text)
        return _item(line, row, defaults)
    except InvalidArgument as error:
        fault = error
    except (ValueError, RecursionError) as error:
        fault = InvalidArgument(f"line {line}: is not JSON: {error}")
    own_id = row.get("id") if isinstance(row, dict) else None
    return Item(line, own_id, "", fault=fault)


def _item(line: int, row: Any, defaults: Defaults) -> Item:
    if not isinstance(row, dict):
        raise InvalidArgument(f"line {line}: expected a JSON object")
    if ("prompt" in row) == ("messages" in row):
        raise InvalidArgument(f"line {line}: expected prompt or messages")
    if not isinstance(row.get("prompt", ""), str):
        raise InvalidArgument(f"line {line}: expected a text as prompt")
    if not isinstance(row.get("messages", []), list):
        raise InvalidArgument(f"line {line}: expected a list as messages")
    task_type = row.get("task_type", defaults.task_type)
    if not isinstance(task_type, str):
        raise InvalidArgument(f"line {line}: expected a text as task_type")
    messages = row.get("prompt", row.get("messages"))
    options = {**defaults.options, **{key: value for key, value in row.items() if key not in _NOT_OPTIONS}}
    chosen = options.pop("request_id", None)
    if chosen is not None and not (isinstance(chosen, str) and REQUEST_ID.fullmatch(chosen)):
        raise InvalidArgument(f"line {line}: expected a request_id of 1 to 64 of A-Z a-z 0-9 . _ : -")
    request_id = chosen or _request_id(defaults.run_id, row.get("id", line), [task_type, messages, options])
    return Item(line, row.get("id"), request_id, task_type, messages, options)


def _request_id(run_id: str, own_id: Any, content: Any) -> str:
    """`run_id` and the line's own id where they fit, a hash otherwise.

    Without a run id the content counts too: two batches whose lines have the ids 1, 2, 3 are not the same.
    """
    if run_id:
        plain = f"{run_id}.{own_id}"
        return plain if REQUEST_ID.fullmatch(plain) else f"{run_id[:31]}.{_hash(own_id)}"
    return f"batch-{_hash([own_id, content])}"


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]

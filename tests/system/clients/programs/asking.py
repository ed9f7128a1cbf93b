"""What the programs here have in common: they read a line for each thing to do, and print what they saw as one line.

A line is `{"what": "chat", "model": "claude"}`. The answer has `text` and `pieces` (of a stream), or `error`, the
exception's class, `status`, its HTTP status where it has one, and `said`, its words.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

HELLO = "hello"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = {"weather": "The weather of a city", "clock": "The time of a city"}  # name -> description
RESULTS = {"weather": "30 degrees", "clock": "five past noon"}

Seen = dict[str, Any]


def serve(calls: Mapping[str, Callable[[str], Seen]]) -> None:
    """`calls`: by `what`, with the model. "ready" comes first, when all is imported."""
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(_seen(calls[asked["what"]], asked["model"])), flush=True)


def _seen(call: Callable[[str], Seen], model: str) -> Seen:
    try:
        return call(model)
    except Exception as error:
        status = getattr(error, "status_code", None)
        return {"error": type(error).__name__, "status": status, "said": str(error)}


def joined(pieces: Iterable[str]) -> Seen:
    """Of a stream that is read to its end."""
    kept = [piece for piece in pieces if piece]
    return {"text": "".join(kept), "pieces": len(kept)}


def result_of(name: str, arguments: Mapping[str, Any]) -> str:
    """What our two tools say: of Rome alone."""
    return RESULTS[name] if arguments == {"city": "Rome"} else f"no such city: {arguments}"

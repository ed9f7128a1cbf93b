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

# as OpenAI's chat completions have them
OFFERED: Any = [
    {"type": "function", "function": {"name": name, "description": words, "parameters": CITY}}
    for name, words in TOOLS.items()
]

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


def with_tools(say: Callable[[list[Any]], Any]) -> Seen:
    """A conversation of chat completions to its last word: `say` gives the message that comes next."""
    messages: list[Any] = [{"role": "user", "content": HELLO}]
    while (said := say(messages)).tool_calls:
        messages.append(said)
        for call in said.tool_calls:
            assert call.type == "function"
            result = result_of(call.function.name, json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return {"text": said.content}


def picture(image: str) -> list[Any]:
    """Content with an image, in base64."""
    url = {"url": f"data:image/png;base64,{image}"}
    return [{"type": "text", "text": HELLO}, {"type": "image_url", "image_url": url}]

"""OpenAI's Python SDK, chat completions."""

from __future__ import annotations

import json
import sys
from typing import Any

import openai

from tests.system.clients.programs.asking import CITY, HELLO, TOOLS, Seen, joined, result_of, serve

CLIENT = openai.OpenAI()
IMAGE = sys.argv[1]
OFFERED: Any = [
    {"type": "function", "function": {"name": name, "description": words, "parameters": CITY}}
    for name, words in TOOLS.items()
]


def chat(model: str, content: Any = HELLO) -> Seen:
    answer = CLIENT.chat.completions.create(model=model, messages=[{"role": "user", "content": content}])
    return {"text": answer.choices[0].message.content}


def stream(model: str) -> Seen:
    with CLIENT.chat.completions.create(
        model=model, messages=[{"role": "user", "content": HELLO}], stream=True
    ) as chunks:
        return joined(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def tools(model: str) -> Seen:
    messages: list[Any] = [{"role": "user", "content": HELLO}]
    while True:
        said = CLIENT.chat.completions.create(model=model, messages=messages, tools=OFFERED).choices[0].message
        if not said.tool_calls:
            return {"text": said.content}
        messages.append(said)
        for call in said.tool_calls:
            assert call.type == "function"
            result = result_of(call.function.name, json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def image(model: str) -> Seen:
    url = {"url": f"data:image/png;base64,{IMAGE}"}
    return chat(model, [{"type": "text", "text": HELLO}, {"type": "image_url", "image_url": url}])


def cancel(model: str) -> Seen:
    with CLIENT.chat.completions.create(
        model=model, messages=[{"role": "user", "content": HELLO}], stream=True
    ) as chunks:
        return {"text": next(word for chunk in chunks for c in chunk.choices if (word := c.delta.content))}


serve({"chat": chat, "stream": stream, "tools": tools, "image": image, "cancel": cancel})

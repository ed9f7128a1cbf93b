"""LiteLLM's Python SDK: over OpenAI's for the models `openai/…`, by its own HTTP for `anthropic/…`."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would fetch its prices

import litellm

from tests.system.clients.programs.asking import CITY, HELLO, TOOLS, Seen, joined, result_of, serve

IMAGE = sys.argv[1]
OFFERED: Any = [
    {"type": "function", "function": {"name": name, "description": words, "parameters": CITY}}
    for name, words in TOOLS.items()
]


def ask(model: str, content: Any = HELLO, **more: Any) -> Any:
    messages = more.pop("messages", [{"role": "user", "content": content}])
    return litellm.completion(model=model, messages=messages, max_tokens=500, **more)


def chat(model: str, content: Any = HELLO) -> Seen:
    return {"text": ask(model, content).choices[0].message.content}


def stream(model: str) -> Seen:
    return joined(chunk.choices[0].delta.content or "" for chunk in ask(model, stream=True))


def tools(model: str) -> Seen:
    messages: list[Any] = [{"role": "user", "content": HELLO}]
    while True:
        said = ask(model, messages=messages, tools=OFFERED).choices[0].message
        if not said.tool_calls:
            return {"text": said.content}
        messages.append(said)
        for call in said.tool_calls:
            result = result_of(call.function.name, json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def image(model: str) -> Seen:
    url = {"url": f"data:image/png;base64,{IMAGE}"}
    return chat(model, [{"type": "text", "text": HELLO}, {"type": "image_url", "image_url": url}])


def cancel(model: str) -> Seen:
    with ask(model, stream=True) as chunks:
        return {"text": next(word for chunk in chunks if (word := chunk.choices[0].delta.content))}


serve({"chat": chat, "stream": stream, "tools": tools, "image": image, "cancel": cancel})

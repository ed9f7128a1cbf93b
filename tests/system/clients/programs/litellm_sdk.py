"""LiteLLM's Python SDK: over OpenAI's for the models `openai/…`, by its own HTTP for `anthropic/…`."""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would fetch its prices

import litellm

from tests.system.clients.programs.asking import HELLO, OFFERED, Seen, joined, picture, serve, with_tools

IMAGE = sys.argv[1]


def ask(model: str, content: Any = HELLO, **more: Any) -> Any:
    messages = more.pop("messages", [{"role": "user", "content": content}])
    return litellm.completion(model=model, messages=messages, max_tokens=500, **more)


def chat(model: str, content: Any = HELLO) -> Seen:
    return {"text": ask(model, content).choices[0].message.content}


def stream(model: str) -> Seen:
    return joined(chunk.choices[0].delta.content or "" for chunk in ask(model, stream=True))


def tools(model: str) -> Seen:
    return with_tools(lambda messages: ask(model, messages=messages, tools=OFFERED).choices[0].message)


def image(model: str) -> Seen:
    return chat(model, picture(IMAGE))


def cancel(model: str) -> Seen:
    with ask(model, stream=True) as chunks:
        return {"text": next(word for chunk in chunks if (word := chunk.choices[0].delta.content))}


serve({"chat": chat, "stream": stream, "tools": tools, "image": image, "cancel": cancel})

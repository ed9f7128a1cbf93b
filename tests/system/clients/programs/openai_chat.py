"""OpenAI's Python SDK, chat completions."""

from __future__ import annotations

import sys
from typing import Any

import openai

from tests.system.clients.programs.asking import HELLO, OFFERED, Seen, joined, picture, serve, with_tools

CLIENT = openai.OpenAI()
IMAGE = sys.argv[1]


def chat(model: str, content: Any = HELLO) -> Seen:
    answer = CLIENT.chat.completions.create(model=model, messages=[{"role": "user", "content": content}])
    return {"text": answer.choices[0].message.content}


def stream(model: str) -> Seen:
    with CLIENT.chat.completions.create(
        model=model, messages=[{"role": "user", "content": HELLO}], stream=True
    ) as chunks:
        return joined(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def tools(model: str) -> Seen:
    create = CLIENT.chat.completions.create
    return with_tools(lambda messages: create(model=model, messages=messages, tools=OFFERED).choices[0].message)


def image(model: str) -> Seen:
    return chat(model, picture(IMAGE))


def cancel(model: str) -> Seen:
    with CLIENT.chat.completions.create(
        model=model, messages=[{"role": "user", "content": HELLO}], stream=True
    ) as chunks:
        return {"text": next(word for chunk in chunks for c in chunk.choices if (word := c.delta.content))}


serve({"chat": chat, "stream": stream, "tools": tools, "image": image, "cancel": cancel})

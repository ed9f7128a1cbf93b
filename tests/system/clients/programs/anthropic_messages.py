"""Anthropic's Python SDK."""

from __future__ import annotations

import sys
from typing import Any

import anthropic

from tests.system.clients.programs.asking import CITY, HELLO, TOOLS, Seen, joined, result_of, serve

CLIENT = anthropic.Anthropic()
IMAGE = sys.argv[1]
OFFERED: Any = [{"name": name, "description": words, "input_schema": CITY} for name, words in TOOLS.items()]


def chat(model: str, content: Any = HELLO) -> Seen:
    answer = CLIENT.messages.create(model=model, max_tokens=500, messages=[{"role": "user", "content": content}])
    return {"text": "".join(block.text for block in answer.content if block.type == "text")}


def stream(model: str) -> Seen:
    with CLIENT.messages.stream(
        model=model, max_tokens=500, messages=[{"role": "user", "content": HELLO}]
    ) as streaming:
        return joined(streaming.text_stream)


def tools(model: str) -> Seen:
    messages: list[Any] = [{"role": "user", "content": HELLO}]
    while True:
        said = CLIENT.messages.create(model=model, max_tokens=500, messages=messages, tools=OFFERED)
        used = [block for block in said.content if block.type == "tool_use"]
        if not used:
            return {"text": "".join(block.text for block in said.content if block.type == "text")}
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": result_of(block.name, block.input)}
            for block in used
        ]
        messages += [{"role": "assistant", "content": said.content}, {"role": "user", "content": results}]


def image(model: str) -> Seen:
    source = {"type": "base64", "media_type": "image/png", "data": IMAGE}
    return chat(model, [{"type": "image", "source": source}, {"type": "text", "text": HELLO}])


def cancel(model: str) -> Seen:
    with CLIENT.messages.stream(
        model=model, max_tokens=500, messages=[{"role": "user", "content": HELLO}]
    ) as streaming:
        return {"text": next(iter(streaming.text_stream))}


serve({"chat": chat, "stream": stream, "tools": tools, "image": image, "cancel": cancel})

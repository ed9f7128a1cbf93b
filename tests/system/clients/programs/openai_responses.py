"""OpenAI's Python SDK, responses."""

from __future__ import annotations

import json
import sys
from typing import Any

import openai

from tests.system.clients.programs.asking import CITY, HELLO, TOOLS, Seen, joined, result_of, serve

CLIENT = openai.OpenAI()
IMAGE = sys.argv[1]
OFFERED: Any = [
    {"type": "function", "name": name, "description": words, "parameters": CITY, "strict": False}
    for name, words in TOOLS.items()
]


def chat(model: str, content: Any = HELLO) -> Seen:
    return {"text": CLIENT.responses.create(model=model, input=[{"role": "user", "content": content}]).output_text}


def stream(model: str) -> Seen:
    with CLIENT.responses.create(model=model, input=HELLO, stream=True) as events:
        return joined(event.delta for event in events if event.type == "response.output_text.delta")


def tools(model: str) -> Seen:
    """By the name of the former answer, as the API keeps it."""
    given: Any = {"input": HELLO}
    while True:
        answer = CLIENT.responses.create(model=model, tools=OFFERED, **given)
        calls = [item for item in answer.output if item.type == "function_call"]
        if not calls:
            return {"text": answer.output_text}
        results = [
            {
                "type": "function_call_output",
                "call_id": call.call_id,
                "output": result_of(call.name, json.loads(call.arguments)),
            }
            for call in calls
        ]
        given = {"input": results, "previous_response_id": answer.id}


def image(model: str) -> Seen:
    picture = {"type": "input_image", "image_url": f"data:image/png;base64,{IMAGE}", "detail": "auto"}
    return chat(model, [{"type": "input_text", "text": HELLO}, picture])


def cancel(model: str) -> Seen:
    with CLIENT.responses.create(model=model, input=HELLO, stream=True) as events:
        return {"text": next(event.delta for event in events if event.type == "response.output_text.delta")}


serve({"chat": chat, "stream": stream, "tools": tools, "image": image, "cancel": cancel})

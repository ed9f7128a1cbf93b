"""LangChain's chat models: langchain-openai for the models `openai/…`, langchain-anthropic for `anthropic/…`."""

from __future__ import annotations

import sys
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

from tests.system.clients.programs.asking import CITY, HELLO, TOOLS, Seen, joined, result_of, serve

IMAGE = sys.argv[1]
CLASSES: dict[str, Any] = {"openai": ChatOpenAI, "anthropic": ChatAnthropic}
OFFERED: Any = [{"title": name, "description": words, **CITY} for name, words in TOOLS.items()]


def chosen(model: str) -> Any:
    api, _, name = model.partition("/")
    return CLASSES[api](model=name)


def chat(model: str, content: Any = HELLO) -> Seen:
    return {"text": chosen(model).invoke([HumanMessage(content)]).text}


def stream(model: str) -> Seen:
    return joined(chunk.text for chunk in chosen(model).stream(HELLO))


def tools(model: str) -> Seen:
    bound = chosen(model).bind_tools(OFFERED)
    messages: list[Any] = [HumanMessage(HELLO)]
    while True:
        said = bound.invoke(messages)
        if not said.tool_calls:
            return {"text": said.text}
        results = [ToolMessage(result_of(one["name"], one["args"]), tool_call_id=one["id"]) for one in said.tool_calls]
        messages += [said, *results]


def image(model: str) -> Seen:
    picture = {"type": "image", "base64": IMAGE, "mime_type": "image/png"}
    return chat(model, [{"type": "text", "text": HELLO}, picture])


def cancel(model: str) -> Seen:
    chunks: Any = chosen(model).stream(HELLO)
    text = next(chunk.text for chunk in chunks if chunk.text)
    chunks.close()
    return {"text": text}


serve({"chat": chat, "stream": stream, "tools": tools, "image": image, "cancel": cancel})

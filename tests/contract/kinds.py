"""What the tests have to know of each API kind's wire format: a row for a provider of the kind, under its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """`path` stands below the server's address. `counts`: the usage's fields for prompt and output; `absurd`: a usage
    whose cache is more than its prompt. `schema`: the request's field for a response schema; `photo`: the text and the
    base64 of an image in a request with both. `whole`: an answer of that text, plain; `first`, `delta`, `last`: the
    events that begin one, say a piece of its text, and end it. `harmless`, `harmful`: fields of wrong types where an
    answer is one all the same, and raw JSON in place of what it says where it is none. `early`: a stream says its usage
    at once; `runs`: it can say it before its end. `cools`: the models take a temperature."""

    api: str
    model: str
    path: str
    counts: tuple[str, str]
    absurd: Json
    schema: str
    whole: Callable[[Any], Json]
    first: tuple[Json, ...]
    delta: Callable[[str], Json]
    last: tuple[Json | str, ...]
    harmless: tuple[Json, ...]
    harmful: tuple[str, ...]
    photo: Callable[[Json], tuple[str, str]]
    early: bool = False
    runs: bool = True
    cools: bool = False

    def usage(self, prompt: Any, output: Any) -> Json:
        return dict(zip(self.counts, (prompt, output), strict=True))

    def reply(self, text: Any, **more: Any) -> str:
        """An answer as JSON, with fields of it replaced."""
        return json.dumps({**self.whole(text), "usage": self.usage(1, 1), **more})


def _message(text: Any) -> Json:
    return {"type": "message", "model": "m", "content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}


def _completion(text: Any) -> Json:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"model": "m", "choices": [choice]}


def _response(text: Any) -> Json:
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return {"object": "response", "status": "completed", "model": "m", "output": [item]}


def _said(text: str) -> Json:
    return {"type": "response.output_text.delta", "output_index": 0, "item_id": "i", "delta": text}


def _photo(turns: list[Json], data: Callable[[Json], str]) -> tuple[str, str]:
    said, image = turns[0]["content"]
    return said["text"], data(image)


def _of_url(url: str) -> str:
    return url.partition("base64,")[2]


KINDS = {
    "claude": Kind(
        api="anthropic",
        model="claude-sonnet-5-5",
        path="",
        counts=("input_tokens", "output_tokens"),
        absurd={
            "input_tokens": 0,
            "cache_read_input_tokens": 10**6,
            "cache_creation_input_tokens": 10**6,
            "output_tokens": 1,
        },
        schema="output_config",
        whole=_message,
        first=(
            {
                "type": "message_start",
                "message": {"content": [], "model": "m", "usage": {"input_tokens": 5, "output_tokens": 1}},
            },
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        ),
        delta=lambda text: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        last=({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"}),
        harmless=({"model": 7}, {"model": None}, {"usage": []}, {"usage": "many"}, {"stop_reason": 3}, {"extra": {}}),
        harmful=('"text"', "7", "null", "[7]", "[null]", '[{"type":"text","text":7}]', '[{"type":"tool_use"}]'),
        photo=lambda body: _photo(body["messages"], lambda image: image["source"]["data"]),
        early=True,
    ),
    "kimi_k2": Kind(
        api="openai",
        model="kimi-k2.6",
        path="/v1",
        counts=("prompt_tokens", "completion_tokens"),
        absurd={"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 9}},
        schema="response_format",
        whole=_completion,
        first=(),
        delta=lambda text: {"model": "m", "choices": [{"index": 0, "delta": {"content": text}}]},
        last=({"choices": [{"delta": {}, "finish_reason": "stop"}]}, "[DONE]"),
        harmless=({"model": 7}, {"id": []}, {"usage": []}, {"usage": "many"}, {"created": "now"}, {"error": None}),
        harmful=('"text"', "7", "null", "[7]", '{"content":7}', '{"tool_calls":{}}', '{"tool_calls":[{}]}'),
        photo=lambda body: _photo(body["messages"], lambda image: _of_url(image["image_url"]["url"])),
    ),
    "openai": Kind(
        api="responses",
        model="gpt-5.4",
        path="/v1",
        counts=("input_tokens", "output_tokens"),
        absurd={"input_tokens": 3, "output_tokens": 1, "input_tokens_details": {"cached_tokens": 9}},
        schema="text",
        whole=_response,
        first=({"type": "response.created", "response": {"status": "in_progress", "model": "m", "output": []}},),
        delta=_said,
        last=({"type": "response.completed", "response": {"status": "completed", "output": []}},),
        harmless=(
            {"model": 7},
            {"id": []},
            {"usage": []},
            {"usage": "many"},
            {"status": 3},
            {"error": None},
            {"incomplete_details": 7},
        ),
        harmful=(
            *('"text"', "7", "null", "[7]", "[null]", '[{"type":"message","content":7}]'),
            *('[{"type":"message","content":[7]}]', '[{"type":"function_call"}]', '[{"type":"odd","content":"x"}]'),
        ),
        photo=lambda body: _photo(body["input"], lambda image: _of_url(image["image_url"])),
        runs=False,
        cools=True,
    ),
}
each = pytest.mark.parametrize("name", list(KINDS))


def framed(*events: Json | str) -> bytes:
    """Events without names; one given as text is the data itself."""
    rows = (event if isinstance(event, str) else json.dumps(event, ensure_ascii=False) for event in events)
    return b"".join(b"data: " + row.encode() + b"\n\n" for row in rows)

"""Answers in every wire format, made from a seed: whole and as streams, as servers send them, and spoilt."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

ANTHROPIC, OPENAI, RESPONSES = "anthropic", "openai", "responses"
_TEXTS = ("Hel", "lo", " ", "Grüße, \N{ROCKET}", "a\u0000b", "\ud800", "data: [DONE]\n\n", "x" * 100, "")
_ARGUMENTS: tuple[dict[str, Any], ...] = (
    {},
    {"city": "Köln"},
    {"days": [1, 2.5], "deep": {"a": None}},
    {"t": "y" * 50},
)
_WRONG: tuple[Any, ...] = (None, 7, -1, 2.5, True, "", "text", [], ["a"], [None], [{}], {}, {"a": 1}, 10**30)
# What the SDKs do not let through, by field: where that is so, the two cannot agree.
_HIDDEN: dict[tuple[str, Any], tuple[Any, ...]] = {
    (ANTHROPIC, "index"): (None, True),  # its objects tell no null from an absent field, and true becomes 1
    (ANTHROPIC, "input_tokens"): (True,),  # becomes 1
    (ANTHROPIC, "output_tokens"): (True,),
}
_WORDS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "odd": "odd"}
Event = dict[str, Any]


@dataclass(frozen=True)
class Call:
    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Said:
    """What an answer says, whoever writes it. `usage` is prompt, output."""

    pieces: tuple[str, ...]
    calls: tuple[Call, ...]
    thoughts: tuple[str, ...]
    refusal: str
    finish: str | None
    usage: tuple[int, int] | None


def said(rng: random.Random) -> Said:
    calls = tuple(Call(f"id{n}", f"tool{n % 2}", rng.choice(_ARGUMENTS)) for n in range(rng.choice((0, 0, 1, 2, 3))))
    pieces = tuple(rng.choice(_TEXTS) for _ in range(rng.randrange(5)))
    refusal = rng.choice(("", "", "", "I would rather not.")) if not any(pieces) else ""
    finish = "tool_calls" if calls and rng.random() < 0.8 else rng.choice(("stop", "length", "odd"))
    usage = rng.choice((None, (5, 60), (40, 90)))
    return Said(pieces, calls, tuple(rng.choices(("hm", "let me see"), k=rng.randrange(3))), refusal, finish, usage)


def whole(api: str, what: Said) -> Event:
    return _MESSAGE[api](what)


def _completion(what: Said) -> Event:
    reply: Event = {"role": "assistant", "content": "".join(what.pieces) or None}
    if what.refusal:
        reply["refusal"] = what.refusal
    if what.thoughts:
        reply["reasoning_content"] = "".join(what.thoughts)
    if what.calls:
        reply["tool_calls"] = [{"type": "function", **_function(call)} for call in what.calls]
    choice = {"index": 0, "message": reply, "finish_reason": what.finish}
    return {"object": "chat.completion", "model": "m", "choices": [choice], **_openai_usage(what)}


def _message(what: Said) -> Event:
    blocks: list[Event] = [{"type": "thinking", "thinking": thought, "signature": "s"} for thought in what.thoughts]
    blocks += [{"type": "text", "text": piece} for piece in (*what.pieces, what.refusal) if piece]
    blocks += [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in what.calls]
    return {"type": "message", "role": "assistant", "model": "m", "content": blocks, **_stop(what), **_usage(what)}


def _response(what: Said) -> Event:
    status: Event = {"status": "completed"}
    if what.finish not in ("stop", "tool_calls"):
        reason = {"length": "max_output_tokens"}.get(what.finish or "", what.finish)
        status = {"status": "incomplete", "incomplete_details": {"reason": reason}}
    return {"object": "response", "model": "m", **status, "output": _items(what), **_usage(what)}


def _items(what: Said) -> list[Event]:
    items: list[Event] = []
    if what.thoughts:
        summary = [{"type": "summary_text", "text": thought} for thought in what.thoughts]
        items.append({"type": "reasoning", "id": "rs", "summary": summary})
    parts = [{"type": "output_text", "text": piece, "annotations": []} for piece in what.pieces]
    parts += [{"type": "refusal", "refusal": what.refusal}] if what.refusal else []
    if parts:
        items.append({"type": "message", "id": "msg", "role": "assistant", "status": "completed", "content": parts})
    for call in what.calls:
        given = {"call_id": call.id, "name": call.name, "arguments": _text(call.arguments)}
        items.append({"type": "function_call", "id": f"fc_{call.id}", "status": "completed", **given})
    return items


_MESSAGE: dict[str, Callable[[Said], Event]] = {ANTHROPIC: _message, OPENAI: _completion, RESPONSES: _response}


def _stop(what: Said) -> Event:
    reason = "refusal" if what.refusal else None if what.finish is None else _WORDS[what.finish]
    return {"stop_reason": reason}


def _usage(what: Said) -> Event:
    return {} if what.usage is None else {"usage": {"input_tokens": what.usage[0], "output_tokens": what.usage[1]}}


def _openai_usage(what: Said) -> Event:
    if what.usage is None:
        return {}
    return {"usage": {"prompt_tokens": what.usage[0], "completion_tokens": what.usage[1]}}


def _function(call: Call) -> Event:
    return {"id": call.id, "function": {"name": call.name, "arguments": _text(call.arguments)}}


def _text(arguments: dict[str, Any]) -> str:
    return json.dumps(arguments, ensure_ascii=False)


def stream(api: str, what: Said, rng: random.Random) -> list[Event]:
    """The events of one stream, without `[DONE]`."""
    return _STREAM[api](what, rng)


def _cut(text: str, rng: random.Random) -> list[str]:
    at = sorted(rng.randrange(len(text) + 1) for _ in range(rng.randrange(3)))
    return [text[start:end] for start, end in zip([0, *at], [*at, len(text)], strict=True)]


def _chunks(what: Said, rng: random.Random) -> list[Event]:
    field = rng.choice(("reasoning_content", "reasoning"))
    deltas: list[Event] = [{"role": "assistant", "content": ""}, *({field: thought} for thought in what.thoughts)]
    deltas += [{"content": piece} for piece in what.pieces]
    deltas += [{"refusal": piece} for piece in _cut(what.refusal, rng) if piece]
    deltas += [{"tool_calls": [fragment]} for fragment in _fragments(what, rng)]
    chunks = [_chunk(delta) for delta in deltas] + [_chunk({}, what.finish)]
    if what.usage is not None:
        _put_usage(chunks, _openai_usage(what), rng)
    return chunks


def _chunk(delta: Event, finish: str | None = None) -> Event:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"object": "chat.completion.chunk", "model": "m", "choices": [choice]}


def _put_usage(chunks: list[Event], usage: Event, rng: random.Random) -> None:
    place = rng.choice(("after", "beside", "inside", "everywhere"))
    if place == "after":
        chunks.append({"object": "chat.completion.chunk", "model": "m", "choices": [], **usage})
    elif place == "beside":
        chunks[-1] |= usage
    elif place == "inside":
        chunks[-1]["choices"][0] |= usage
    else:
        for chunk in chunks:
            chunk |= usage


def _fragments(what: Said, rng: random.Random) -> list[Event]:
    """Told apart by index (then mixed, perhaps), by the id on each, or by an id where a call begins."""
    style = rng.choice(("index", "mixed", "ids", "mixed ids", "one index", "whole"))
    rows = [_fragments_of(number, call, style, rng) for number, call in enumerate(what.calls)]
    if not style.startswith("mixed"):
        return [fragment for row in rows for fragment in row]
    mixed: list[Event] = []
    for number, row in enumerate(rows):
        mixed.append(row.pop(0))
        mixed += [some.pop(0) for some in rng.sample(rows[: number + 1], number + 1) if some]
    return mixed + [fragment for row in rows for fragment in row]


def _fragments_of(number: int, call: Call, style: str, rng: random.Random) -> list[Event]:
    function = _function(call)["function"]
    first: Event = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    pieces = [piece for piece in _cut(function["arguments"], rng) if piece]
    fragments = [first, *({"function": {"arguments": piece}} for piece in pieces)]
    if style == "whole":
        fragments = [{"id": call.id, "type": "function", "function": function}]
    for fragment in fragments:
        if style in ("index", "mixed"):
            fragment["index"] = number
        elif style in ("ids", "mixed ids"):
            fragment["id"] = call.id
        elif style == "one index":
            fragment["index"] = 0
    return fragments


def _events(what: Said, rng: random.Random) -> list[Event]:
    rows = [_block_events(block, rng) for block in _message(what)["content"]]
    opening = _message(what) | {"content": [], "stop_reason": None}
    events: list[Event] = [{"type": "message_start", "message": opening}]
    for index, row in enumerate(rows):
        events += [{**event, "index": index} for event in row]
        if rng.random() < 0.2:
            events.append({"type": "ping"})
    change = {"type": "message_delta", "delta": _stop(what), **_usage(what)}
    return [*events, change, {"type": "message_stop"}]


def _block_events(block: Event, rng: random.Random) -> list[Event]:
    kind, empty = block["type"], dict(block)
    field, delta = {
        "text": ("text", "text_delta"),
        "thinking": ("thinking", "thinking_delta"),
        "tool_use": ("partial_json", "input_json_delta"),
    }[kind]
    text = _text(block["input"]) if kind == "tool_use" else block[field]
    empty["input" if kind == "tool_use" else field] = {} if kind == "tool_use" else ""
    deltas = [{"type": "content_block_delta", "delta": {"type": delta, field: piece}} for piece in _cut(text, rng)]
    return [{"type": "content_block_start", "content_block": empty}, *deltas, {"type": "content_block_stop"}]


def _response_events(what: Said, rng: random.Random) -> list[Event]:
    begun = {"object": "response", "status": "in_progress", "model": "m", "output": []}
    events: list[Event] = [{"type": "response.created", "response": begun}]
    for place, item in enumerate(_items(what)):
        where = {"output_index": place, "item_id": item["id"]}
        blank = {"content": [], "summary": [], "arguments": ""}
        empty = item | {"status": "in_progress"} | {name: value for name, value in blank.items() if name in item}
        events.append({"type": "response.output_item.added", "output_index": place, "item": empty})
        events += [{"type": f"response.{kind}.delta", **where, "delta": piece} for kind, piece in _deltas(item, rng)]
        events.append({"type": "response.output_item.done", "output_index": place, "item": item})
    response = _response(what)
    return [*events, {"type": f"response.{response['status']}", "response": response}]


def _deltas(item: Event, rng: random.Random) -> list[tuple[str, str]]:
    if item["type"] == "function_call":
        return [("function_call_arguments", piece) for piece in _cut(item["arguments"], rng)]
    texts = [("reasoning_summary_text", part["text"]) for part in item.get("summary", ())]
    for part in item.get("content", ()):
        kind = "refusal" if "refusal" in part else "output_text"
        texts += [(kind, piece) for piece in _cut(part.get("refusal") or part.get("text", ""), rng)]
    return texts


_STREAM: dict[str, Callable[[Said, random.Random], list[Event]]] = {
    ANTHROPIC: _events,
    OPENAI: _chunks,
    RESPONSES: _response_events,
}


def frames(api: str, events: Sequence[Event | str], rng: random.Random, *, done: bool = True) -> bytes:
    """Events as server-sent events; one given as text is the data itself."""
    end = rng.choice(("\n", "\r\n"))
    lines = []
    for event in events:
        name = event.get("type", "x") if isinstance(event, dict) else "content_block_delta"
        data = event if isinstance(event, str) else json.dumps(event)
        head = f"event: {name}{end}" if api != OPENAI else rng.choice(("", "", f": keep-alive{end}{end}"))
        lines.append(f"{head}data: {data}{end}{end}")
    if api == OPENAI and done:
        lines.append(f"data: [DONE]{end}{end}")
    return "".join(lines).encode("utf-8", "surrogatepass")


def spoilt(api: str, value: Any, rng: random.Random) -> Any:
    """A copy with something of another kind in one place, save what an SDK changes before anybody sees it."""
    copied = copy.deepcopy(value)
    holder, key = rng.choice(_places(copied))
    wrong = [kind for kind in _WRONG if not any(kind is hidden for hidden in _HIDDEN.get((api, key), ()))]
    if isinstance(holder, dict) and rng.random() < 0.3:
        del holder[key]
    else:
        holder[key] = copy.deepcopy(rng.choice(wrong))
    return copied


def without_reason(event: Event) -> Event:
    """The event as of a server that gives no reason for the end."""
    copied = copy.deepcopy(event)
    for choice in copied.get("choices", ()):
        choice["finish_reason"] = None
    for holder in (copied.get("delta"), copied.get("response"), copied):
        if isinstance(holder, dict):
            holder.pop("stop_reason", None)
            holder.pop("incomplete_details", None)
    return copied


def _places(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    else:
        return []
    return [place for key, item in inner for place in ((value, key), *_places(item))]

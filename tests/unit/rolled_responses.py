"""Streams of the Responses API for rolled_streams: the same answer in the ways in which servers say it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from tests.unit.plain_reader import RESPONSES_WORDS

Event = dict[str, Any]
Calls = Sequence[tuple[str, Event]]
Cut = Callable[[str, random.Random], list[str]]
ENDS = ("response.completed", "response.incomplete")
_REASON = {ours: theirs for theirs, ours in RESPONSES_WORDS.items()}
_COMPLETED = ("stop", "tool_calls")
# How a server tells a call: begun, in pieces and whole at the end, or less than that.
STYLES = ("all", "pieces", "whole", "item", "late", "other ids", "no place", "one place")
USAGE_DEFECTS: dict[str, Callable[[Event, int, int, Any], Event]] = {
    "all zero": lambda usage, _p, _o, _s: dict.fromkeys(usage, 0),
    "no output": lambda usage, p, _o, _s: {**usage, "output_tokens": 0, "total_tokens": p},
    "null": lambda usage, _p, _o, _s: dict.fromkeys(usage),
    "text": lambda usage, p, _o, _s: {**usage, "input_tokens": str(p)},
    "truth": lambda usage, _p, _o, _s: {**usage, "output_tokens": True},
    "negative": lambda usage, _p, _o, _s: {**usage, "output_tokens": -1},
    "absurd": lambda usage, _p, _o, _s: {**usage, "input_tokens": 10**12},
    "cache beside": lambda usage, p, o, s: _cached(s, p, o),
    "no such thing": lambda _usage, _p, _o, _s: {},
}


def _cached(stream: Any, prompt: int, output: int) -> Event:
    stream.used = (prompt + 5000, output)
    usage = {"input_tokens": prompt, "output_tokens": output, "total_tokens": prompt + 5000 + output}
    return {**usage, "input_tokens_details": {"cached_tokens": 5000}}


def rows(texts: Sequence[str], calls: Calls, finish: str, usage: Event, rng: random.Random, cut: Cut) -> list[Event]:
    begun: Event = {"response": {"status": "in_progress", "model": "m", "output": [], "usage": None}}
    found: list[Event] = [{"type": "response.created", **begun}]
    if rng.random() < 0.3:
        found.append({"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "hm"})
    late_texts = not calls and rng.random() < 0.1
    if not late_texts:
        found += _said(texts, rng, cut)
    style = rng.choice(STYLES)
    for number, (name, arguments) in enumerate(calls):
        found += _called(style, number, name, arguments, rng, cut)
    if rng.random() < 0.2:
        found.append({"type": "response.web_search_call.searching", "output_index": 9})
    output: list[Event] = [_message("".join(texts))] if late_texts or (style != "late" and rng.random() < 0.5) else []
    if style == "late" or output:
        output += [_item(number, name, json.dumps(given)) for number, (name, given) in enumerate(calls)]
    found.append(ending(finish, {"output": output, "usage": usage}))
    for number, row in enumerate(found):
        row["sequence_number"] = number
    return found


def ending(finish: str, response: Event) -> Event:
    if finish in _COMPLETED:
        return {"type": ENDS[0], "response": {"status": "completed", **response}}
    details = {"incomplete_details": {"reason": _REASON.get(finish, finish)}}
    return {"type": ENDS[1], "response": {"status": "incomplete", **details, **response}}


def _said(texts: Sequence[str], rng: random.Random, cut: Cut) -> list[Event]:
    where = {"output_index": 0, "content_index": 0, "item_id": "msg"}
    item = {"type": "message", "id": "msg", "content": []}
    found: list[Event] = [{"type": "response.output_item.added", "output_index": 0, "item": item}] if texts else []
    for text in texts:
        deltas = [{"type": "response.output_text.delta", **where, "delta": piece} for piece in cut(text, rng)]
        found += deltas
    if texts and rng.random() < 0.7:
        whole = "".join(texts)
        found.append({"type": "response.output_text.done", **where, "text": whole})
        found.append({"type": "response.output_item.done", "output_index": 0, "item": _message(whole)})
    return found


def _called(style: str, number: int, name: str, arguments: Event, rng: random.Random, cut: Cut) -> list[Event]:
    text = json.dumps(arguments, ensure_ascii=False)
    place: Event = {} if style == "no place" else {"output_index": 1 if style == "one place" else number + 1}
    ids = [f"fc{number}" if style != "other ids" else f"fc{number}-{turn}" for turn in range(9)]
    begun, done = _item(number, name, ""), _item(number, name, text)
    if style == "whole":
        begun = done
    added = {"type": "response.output_item.added", **place, "item": {**begun, "id": ids[0]}}
    deltas = [
        {"type": "response.function_call_arguments.delta", **place, "item_id": ids[1], "delta": piece}
        for piece in cut(text, rng)
        if piece
    ]
    arguments_done = {"type": "response.function_call_arguments.done", **place, "item_id": ids[2], "arguments": text}
    item_done = {"type": "response.output_item.done", **place, "item": {**done, "id": ids[3]}}
    return {
        "pieces": [added, *deltas],
        "whole": [added],
        "item": [item_done],
        "late": [],
    }.get(style, [added, *deltas, arguments_done, item_done])


def _message(text: str) -> Event:
    return {"type": "message", "id": "msg", "content": [{"type": "output_text", "text": text}]}


def _item(number: int, name: str, arguments: str) -> Event:
    return {
        "type": "function_call",
        "id": f"fc{number}",
        "call_id": f"id{number}",
        "name": name,
        "arguments": arguments,
    }

"""Streams in every form, rolled from a seed: what was said and used, and what went wrong on the way.

Each row of DEFECTS and USAGE_DEFECTS is something that real servers do; cortexd/providers names who does.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.unit import rolled_responses
from tests.unit.plain_reader import ANTHROPIC_WORDS, FAILURE_WORDS

APIS = ("openai", "anthropic", "responses")
Event = dict[str, Any]
_TEXTS = ("Hel", "lo ", "Grüße", "\N{ROCKET}", "漢字 ", "a \\ b", '{"x": 1}', "data: x\n\n", "}{", "word " * 20)
_ARGUMENTS: tuple[Event, ...] = (
    {},
    {"city": "Köln"},
    {"a": {"b": [1, 2.5, None]}},
    {"t": "}{" * 3},
    {"e": "\N{ROCKET}"},
)
_ANTHROPIC_WORD = {ours: theirs for theirs, ours in ANTHROPIC_WORDS.items()}
_CUTTABLE = 12


@dataclass
class Rolled:
    """One stream as it goes over the wire. `meant`: whether it is an answer; `used`: tokens of prompt and output."""

    api: str
    rng: random.Random
    texts: list[str] = field(default_factory=list)
    calls: list[tuple[str, Event]] = field(default_factory=list)
    finish: str = "stop"
    meant: bool = True
    used: tuple[int, int] = (0, 0)
    rows: list[Event | bytes] = field(default_factory=list)
    done: bool = True
    defects: list[str] = field(default_factory=list)
    tidy: bool = False  # framed as the vendors themselves do
    body: bytes = b""

    def word(self) -> str:
        return _ANTHROPIC_WORD.get(self.finish, self.finish) if self.api == "anthropic" else self.finish

    def last(self) -> Event:
        """The event that says why the answer ended."""
        rows = [row for row in self.rows if isinstance(row, dict)]
        if self.api == "openai":
            return next(row for row in reversed(rows) if row.get("choices"))
        return next(row for row in reversed(rows) if row["type"] in ("message_delta", *rolled_responses.ENDS))


def rolled(seed: str) -> Rolled:
    rng = random.Random(seed)
    stream = Rolled(rng.choice(APIS), rng)
    stream.texts = [rng.choice(_TEXTS) for _ in range(rng.randrange(5))]
    stream.calls = [(f"tool_{rng.randrange(3)}", rng.choice(_ARGUMENTS)) for _ in range(rng.choice((0, 0, 1, 2)))]
    if rng.random() < 0.2:
        stream.texts += [rng.choice(_TEXTS) for _ in range(40)]
    if stream.calls and rng.random() < 0.5:
        stream.finish = "tool_calls"
    else:
        stream.finish = rng.choice(("stop", "stop", "length", "content_filter", "odd"))
    if not stream.calls and not any(stream.texts):
        stream.texts = ["so"]
    size = len("".join(stream.texts).encode()) + sum(len(json.dumps(value)) for _, value in stream.calls)
    stream.used = (rng.randrange(20, 500), size // 4 + rng.randrange(1, 50))
    stream.rows = _ROWS[stream.api](stream)
    for _ in range(rng.choice((0, 0, 1, 1, 1, 2))):
        name = rng.choice(sorted(DEFECTS))
        if stream.meant and DEFECTS[name](stream):
            stream.defects.append(name)
    stream.tidy = rng.random() < 0.4
    stream.body = _framed(stream)
    return stream


def _usage(stream: Rolled) -> Event:
    """The usage as it should be, or (in half of the streams) as a server gets it wrong."""
    prompt, output = stream.used
    names = ("prompt_tokens", "completion_tokens") if stream.api == "openai" else ("input_tokens", "output_tokens")
    usage: Event = dict(zip(names, (prompt, output), strict=True))
    if stream.api != "anthropic":
        usage["total_tokens"] = prompt + output
    if stream.rng.random() < 0.5:
        name = stream.rng.choice(sorted(USAGE_DEFECTS[stream.api]))
        stream.defects.append(f"usage: {name}")
        usage = USAGE_DEFECTS[stream.api][name](usage, prompt, output, stream)
    return usage


USAGE_DEFECTS: dict[str, dict[str, Callable[[Event, int, int, Rolled], Event]]] = {
    "openai": {
        "all zero": lambda usage, _p, _o, _s: dict.fromkeys(usage, 0),
        "no output": lambda usage, p, _o, _s: {**usage, "completion_tokens": 0, "total_tokens": p},
        "no prompt": lambda usage, _p, o, _s: {**usage, "prompt_tokens": 0, "total_tokens": o},
        "null": lambda usage, _p, _o, _s: dict.fromkeys(usage),
        "text": lambda usage, p, _o, _s: {**usage, "prompt_tokens": str(p)},
        "truth": lambda usage, _p, _o, _s: {**usage, "completion_tokens": True},
        "negative": lambda usage, _p, _o, _s: {**usage, "completion_tokens": -1},
        "fraction": lambda usage, _p, _o, _s: {**usage, "completion_tokens": 1.5},
        "absurd": lambda usage, _p, _o, _s: {**usage, "prompt_tokens": 10**12},
        "reasoning beside": lambda usage, p, o, s: _beside(s, p, o, 400, details=True),
        "reasoning in the total alone": lambda usage, p, o, s: _beside(s, p, o, 400, details=False),
        "cache beside": lambda usage, p, o, s: _cached(s, p, o),
        "no such thing": lambda _usage, _p, _o, _s: {},
    },
    "anthropic": {
        "all zero": lambda usage, _p, _o, _s: dict.fromkeys(usage, 0),
        "null": lambda usage, _p, _o, _s: dict.fromkeys(usage),
        "text": lambda usage, _p, o, _s: {**usage, "output_tokens": str(o)},
        "truth": lambda usage, _p, _o, _s: {**usage, "output_tokens": True},
        "negative": lambda usage, _p, _o, _s: {**usage, "output_tokens": -1},
        "input 0": lambda usage, _p, _o, _s: {**usage, "input_tokens": 0},
        "cache 0": lambda usage, _p, _o, _s: {**usage, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0},
        "no such thing": lambda _usage, _p, _o, _s: {},
    },
    "responses": rolled_responses.USAGE_DEFECTS,
}


def _beside(stream: Rolled, prompt: int, output: int, thought: int, *, details: bool) -> Event:
    stream.used = (prompt, output + thought)
    usage = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output + thought}
    return {**usage, "completion_tokens_details": {"reasoning_tokens": thought} if details else None}


def _cached(stream: Rolled, prompt: int, output: int) -> Event:
    stream.used = (prompt + 5000, output)
    usage = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + 5000 + output}
    return {**usage, "prompt_tokens_details": {"cached_tokens": 5000}}


def _cut(text: str, rng: random.Random) -> list[str]:
    """In pieces, between the halves of a character too: each goes as an escape."""
    units = text.encode("utf-16-le", "surrogatepass")
    at = sorted(2 * rng.randrange(len(units) // 2 + 1) for _ in range(rng.randrange(3)))
    return [units[a:b].decode("utf-16-le", "surrogatepass") for a, b in zip([0, *at], [*at, len(units)], strict=True)]


def _chunk(delta: Event, finish: str | None = None, **more: Any) -> Event:
    return {
        "object": "chat.completion.chunk",
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }


def _chunks(stream: Rolled) -> list[Event | bytes]:
    rng = stream.rng
    rows: list[Event | bytes] = [_chunk({"role": "assistant", "content": ""})] if rng.random() < 0.8 else []
    if rng.random() < 0.2:
        rows.append({"choices": [], "prompt_filter_results": []})
    if rng.random() < 0.1 and not stream.calls:
        rows.append({"model": "m", "choices": [{"message": {"content": "".join(stream.texts)}}]})
    else:
        rows += [_chunk({"content": piece}) for text in stream.texts for piece in _cut(text, rng)]
    style = rng.choice(("index", "ids", "one index", "whole", "bare", "empty first"))
    for number, (name, arguments) in enumerate(stream.calls):
        rows += [_chunk({"tool_calls": [row]}) for row in _fragments(style, number, name, arguments, rng)]
    usage = _usage(stream)
    place = rng.choice(("after", "beside", "inside", "running"))
    rows.append(_chunk({}, stream.word()))
    if place == "after":
        rows.append({"model": "m", "choices": [], "usage": usage})
    elif place == "inside":
        rows[-1]["choices"][0]["usage"] = usage  # type: ignore[call-overload]
    else:
        rows[-1] |= {"usage": usage}  # type: ignore[operator]
        if place == "running":
            rows.append({"model": "m", "choices": [], "usage": dict.fromkeys(usage, 0)})
    return rows


def _fragments(style: str, number: int, name: str, arguments: Event, rng: random.Random) -> list[Event]:
    text = json.dumps(arguments, ensure_ascii=False)
    if style in ("whole", "bare"):
        first: Event = {"type": "function", "function": {"name": name, "arguments": rng.choice((text, arguments))}}
        return [first if style == "bare" else {**first, "id": f"id{number}"}]
    begin = "{}" if style == "empty first" else ""
    rows: list[Event] = [{"id": f"id{number}", "function": {"name": name, "arguments": begin}}]
    pieces = [text] if style == "empty first" else [piece for piece in _cut(text, rng) if piece]
    rows += [{"function": {"arguments": piece}} for piece in pieces]
    for row in rows:
        if style in ("index", "empty first"):
            row["index"] = number
        elif style == "ids":
            row["id"] = f"id{number}"
        else:
            row["index"] = 0
    return rows


def _events(stream: Rolled) -> list[Event | bytes]:
    rng, (prompt, _) = stream.rng, stream.used
    blocks: list[tuple[Event, str, list[str]]] = [({"type": "thinking", "thinking": ""}, "thinking", ["hm"])]
    blocks += [({"type": "text", "text": ""}, "text", _cut(text, rng)) for text in stream.texts]
    for number, (name, arguments) in enumerate(stream.calls):
        pieces = [piece for piece in _cut(json.dumps(arguments, ensure_ascii=False), rng) if piece]
        block = {"type": "tool_use", "id": f"id{number}", "name": name, "input": {}}
        blocks.append((block, "partial_json", pieces))
    guess = {"input_tokens": prompt, "output_tokens": 1}
    rows: list[Event | bytes] = [{"type": "message_start", "message": {"model": "m", "content": [], "usage": guess}}]
    for index, (block, what, pieces) in enumerate(blocks):
        rows.append({"type": "content_block_start", "index": index, "content_block": block})
        rows += [{"type": "content_block_delta", "index": index, "delta": {what: piece}} for piece in pieces]
        rows.append({"type": "content_block_stop", "index": index})
    rows.append({"type": "message_delta", "delta": {"stop_reason": stream.word()}, "usage": _usage(stream)})
    return [*rows, {"type": "message_stop"}]


def _responses(stream: Rolled) -> list[Event | bytes]:
    usage = _usage(stream)
    return [*rolled_responses.rows(stream.texts, stream.calls, stream.finish, usage, stream.rng, _cut)]


_ROWS: dict[str, Callable[[Rolled], list[Event | bytes]]] = {
    "openai": _chunks,
    "anthropic": _events,
    "responses": _responses,
}


def _fail(stream: Rolled) -> bool:
    stream.meant = False
    return True


def _broken_row(stream: Rolled, row: Event | bytes) -> bool:
    stream.rows.insert(stream.rng.randrange(1, len(stream.rows)), row)
    return _fail(stream)


def _before_the_end(stream: Rolled, row: Event | bytes) -> bool:
    """Anywhere before the event that ends the answer."""
    end = next(at for at, found in enumerate(stream.rows) if found is stream.last())
    stream.rows.insert(stream.rng.randrange(end + 1), row)
    return _fail(stream)


def _said_badly(stream: Rolled) -> bool:
    stream.finish = stream.rng.choice(sorted(FAILURE_WORDS))
    _set_word(stream, stream.finish)
    return _fail(stream)


def _set_word(stream: Rolled, word: str | None) -> None:
    last = stream.last()
    if stream.api == "openai":
        last["choices"][0]["finish_reason"] = word
    elif stream.api == "anthropic":
        last["delta"]["stop_reason"] = word
    else:
        end = {"type": "response.in_progress"} if word is None else rolled_responses.ending(word, {})
        last.clear()
        last.update(end)


def _no_word(stream: Rolled) -> bool:
    _set_word(stream, None)
    return _fail(stream)


def _half(stream: Rolled) -> bool:
    """The rows after some point never come."""
    end = next(at for at, found in enumerate(stream.rows) if found is stream.last())
    stream.rows, stream.done = stream.rows[: stream.rng.randrange(end + 1)], stream.rng.random() < 0.5
    return _fail(stream)


def _half_a_call(stream: Rolled) -> bool:
    """A call whose last arguments are lost: cut by the length, or broken."""
    row = _last_arguments(stream)
    if row is None or len(row["arguments"]) < 3 or stream.meant is False:
        return False
    row["arguments"] = row["arguments"][:-1]
    if stream.finish not in ("length", "content_filter"):
        return _fail(stream)
    stream.meant = True
    return True


def _last_arguments(stream: Rolled) -> Event | None:
    """Where the last piece of the last call's arguments stands, under the key `arguments`."""
    for row in reversed(stream.rows):
        if stream.api != "openai" or not isinstance(row, dict):
            continue
        for choice in row.get("choices", ()):
            for fragment in choice.get("delta", {}).get("tool_calls", ()):
                found = fragment["function"]
                return found if isinstance(found.get("arguments"), str) else None
    return None


def _nothing(stream: Rolled) -> bool:
    """Every piece of the answer is empty; reasoning is nothing."""
    if stream.finish in ("length", "content_filter"):
        return False
    keep = ("message_start", "message_delta", "message_stop", "response.created")
    if stream.api == "openai":
        stream.rows = [_chunk({"reasoning_content": "hm"}), _chunk({}, stream.word())]
    else:
        stream.rows = [row for row in stream.rows if isinstance(row, dict) and row["type"] in keep]
    if stream.api == "responses":
        stream.rows.append(rolled_responses.ending(stream.finish, {}))
    return _fail(stream)


_ERRORS: tuple[Event, ...] = (
    {"error": {"message": "boom", "code": 500}},
    {"error": "boom"},
    {"object": "error", "message": "boom", "type": "InternalServerError", "code": 500},
    {"type": "error", "message": "boom"},
    {"detail": "boom"},
    {"message": "boom", "code": 502},
)
_ERROR_LINES = (
    b'event: error\ndata: {"message": "closed"}\n\n',
    b"event: error\ndata:\n\n",
    b'error: {"code":500,"message":"boom"}\n\n',
)
_NO_JSON = (b"data: {\n\n", b"data: nonsense\n\n", b'data: {"choices": 7, "type": 7}\n\n')
DEFECTS: dict[str, Callable[[Rolled], bool]] = {
    "an error": lambda stream: _before_the_end(stream, stream.rng.choice(_ERRORS)),
    "an error line": lambda stream: _before_the_end(stream, stream.rng.choice(_ERROR_LINES)),
    "no JSON": lambda stream: _before_the_end(stream, stream.rng.choice(_NO_JSON)),
    "a reason that is none": _said_badly,
    "no reason": _no_word,
    "half": _half,
    "half a call": _half_a_call,
    "nothing": _nothing,
}
_BEATS = (
    b": ping\n\n",
    b"data:\n\n",
    b"data: \n\n",
    b"data: {}\n\n",
    b"event: ping\ndata:\n\n",
    b"id: 7\nretry: 10\n\n",
)
_ENDS = (b"\n", b"\r\n", b"\r")


def _framed(stream: Rolled) -> bytes:
    rng = stream.rng
    parts = [b"\xef\xbb\xbf"] if rng.random() < 0.2 and not stream.tidy else []
    mixed, end = rng.random() < 0.3 and not stream.tidy, b"\n" if stream.tidy else rng.choice(_ENDS)
    rows = [*stream.rows, b"data: [DONE]\n\n"] if stream.api == "openai" and stream.done else stream.rows
    for row in rows:
        if rng.random() < 0.15 and not stream.tidy:
            parts.append(_ended(rng.choice(_BEATS), rng.choice(_ENDS) if mixed else end))
        part = row if isinstance(row, bytes) else _frame(stream, row)
        parts.append(_ended(part, rng.choice(_ENDS) if mixed else end))
    return b"".join(parts)


def _ended(part: bytes, end: bytes) -> bytes:
    return part.replace(b"\n", end)


def _frame(stream: Rolled, row: Event) -> bytes:
    rng = stream.rng
    data = json.dumps(row, ensure_ascii=rng.random() < 0.5 or _has_halves(row)).encode()
    if rng.random() < 0.1 and not stream.tidy:
        data = data.replace(b', "', b',\ndata: "', 1) if b'\\"' not in data and b"}{" not in data else data
    name = f"event: {row.get('type', 'x')}\n".encode() if stream.api != "openai" else b""
    if stream.api == "openai" and rng.random() < 0.1 and not stream.tidy:
        name = b"event: chunk\nid: 3\n"
    return name + b"data: " + data + b"\n\n"


def _has_halves(row: Event) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in json.dumps(row, ensure_ascii=False))


def pieces(body: bytes, rng: random.Random) -> list[bytes]:
    """The body as packets, cut anywhere."""
    at = sorted(rng.randrange(len(body) + 1) for _ in range(rng.randrange(_CUTTABLE)))
    return [body[a:b] for a, b in zip([0, *at], [*at, len(body)], strict=True)]

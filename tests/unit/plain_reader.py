"""A reader of streamed answers that is only right: no packets, no bounds, no haste, and nothing imported from cortexd.

Written from the standard (WHATWG HTML 9.2.6), from the vendors' references, and from docs/bus.md and
docs/decisions/0004-unknown-costs.md.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

FAILURE_WORDS = {"error", "network_error", "insufficient_system_resource", "abort", "timeout", "cancelled"}
CUT = {"length", "content_filter"}
OPENAI_WORDS = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter"}
ANTHROPIC_WORDS = {
    "end_turn": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
RESPONSES_WORDS = {"max_output_tokens": "length", "content_filter": "content_filter"}


@dataclass(frozen=True)
class Read:
    """An answer: its text, its calls as (name, parsed arguments) and why it ended. A failure is None in its place."""

    text: str
    calls: tuple[tuple[str, str], ...]
    finish: str


class Broken(Exception):
    pass


def events_of(body: bytes) -> list[tuple[str, str]]:
    """Name and data of each event."""
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    found, name, data = [], "", None
    for line in re.split(r"\r\n|\n|\r", text)[:-1]:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if name == "error" or (data or "").strip():
                found.append((name, (data or "").strip()))
            name, data = "", None
        elif field == "data":
            data = value if data is None else f"{data}\n{value}"
        elif field == "event":
            name = value
        elif field == "error":
            found.append(("error", value))
    return found


def read(api: str, body: bytes) -> Read | None:
    try:
        return {"openai": _openai, "anthropic": _anthropic, "responses": _responses}[api](events_of(body))
    except Broken:
        return None


def _row(name: str, data: str) -> dict[str, Any]:
    if name == "error":
        raise Broken
    try:
        row = json.loads(data)
    except ValueError:
        raise Broken from None
    if not isinstance(row, dict) or row.get("error") or row.get("detail") or row.get("object") == "error":
        raise Broken
    if not isinstance(row.get("choices", []), list) or not isinstance(row.get("type", ""), str):
        raise Broken
    if row.get("type") == "error" or (isinstance(row.get("message"), str) and ("code" in row or "type" in row)):
        raise Broken
    return row


def _openai(events: list[tuple[str, str]]) -> Read:
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    why = None
    for name, data in events:
        if name == "ping":
            continue
        if data.startswith("[DONE]"):
            break
        for choice in (_row(name, data).get("choices") or [])[:1]:
            said = choice.get("delta") or choice.get("message") or {}
            texts.append(said.get("content") or "")
            for fragment in said.get("tool_calls") or ():
                _put(calls, fragment)
            why = choice.get("finish_reason") or why
            if why in FAILURE_WORDS or choice.get("error"):
                raise Broken
    return _answer(texts, [(call["name"], call["arguments"]) for call in calls], why, OPENAI_WORDS)


def _put(calls: list[dict[str, Any]], fragment: dict[str, Any]) -> None:
    """By index and id as far as there are any; another name, or another whole object, is another call."""
    given = fragment["function"].get("arguments")
    text = given if isinstance(given, str) else "" if given is None else json.dumps(given)
    name, id_, index = fragment["function"].get("name"), fragment.get("id"), fragment.get("index")
    mine = [call for call in calls if call["index"] == index]
    call = next((call for call in mine if id_ and call["id"] == id_), mine[-1] if mine else None)
    new = call is None or (id_ and call["id"] != id_) or (name and call["name"] != name)
    if not new and call and text.startswith("{") and _parsed(call["arguments"]) is not None:
        if call["arguments"] == "{}" and not name:
            call["arguments"] = ""
        else:
            new = True
    if new:
        call = {"index": index, "id": id_, "name": name, "arguments": ""}
        calls.append(call)
    assert call is not None
    call["arguments"] += text


def _anthropic(events: list[tuple[str, str]]) -> Read:
    texts: list[str] = []
    blocks: dict[int, dict[str, Any]] = {}
    why, ended = None, False
    for name, data in events:
        if name == "ping" or data == "{}":
            continue
        row = _row(name, data)
        if row["type"] == "content_block_start":
            blocks[row["index"]] = {**row["content_block"], "arguments": ""}
        elif row["type"] == "content_block_delta":
            if blocks[row["index"]]["type"] == "text":
                texts.append(row["delta"].get("text", ""))
            blocks[row["index"]]["arguments"] += row["delta"].get("partial_json", "")
        elif row["type"] == "message_delta":
            why = row["delta"].get("stop_reason") or why
        elif row["type"] == "message_stop":
            ended = True
            break
    if not ended or why in FAILURE_WORDS:
        raise Broken
    calls = [(block["name"], block["arguments"]) for block in blocks.values() if block["type"] == "tool_use"]
    return _answer(texts, calls, why, ANTHROPIC_WORDS)


def _responses(events: list[tuple[str, str]]) -> Read:
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    for name, data in events:
        if name == "ping" or data == "{}":
            continue
        row = _row(name, data)
        kind = row["type"].removeprefix("response.")
        if kind == "output_text.delta":
            texts.append(row["delta"])
        if kind in ("output_item.added", "output_item.done") and row["item"]["type"] == "function_call":
            _take_item(calls, row["item"], row.get("output_index"), begins=kind.endswith("added"))
        if kind.startswith("function_call_arguments"):
            call = _call_at(calls, row.get("output_index"), row["item_id"])
            call["arguments"] = row.get("arguments") or call["arguments"] + row.get("delta", "")
        if kind in ("completed", "incomplete"):
            return _ended(row["response"], texts, calls)
    raise Broken


def _take_item(calls: list[dict[str, Any]], item: dict[str, Any], place: Any, *, begins: bool) -> None:
    known = [call for call in calls if call["call_id"] == item["call_id"]]
    if not begins and known:
        known[0]["arguments"] = item["arguments"] or known[0]["arguments"]
    else:
        calls.append({**item, "place": place})


def _call_at(calls: list[dict[str, Any]], place: Any, id_: str) -> dict[str, Any]:
    found = [call for call in calls if (call["place"] == place if place is not None else call["id"] == id_)]
    if not found:
        raise Broken
    return found[-1]


def _ended(response: dict[str, Any], texts: list[str], calls: list[dict[str, Any]]) -> Read:
    output, why = response.get("output", []), "stop"
    if response["status"] == "incomplete":
        why = response["incomplete_details"]["reason"]
    if why in FAILURE_WORDS:
        raise Broken
    if not any(texts):
        texts = [part["text"] for item in output if item["type"] == "message" for part in item["content"]]
    known = {call["call_id"] for call in calls}
    late = [item for item in output if item["type"] == "function_call" and item["call_id"] not in known]
    return _answer(texts, [(call["name"], call["arguments"]) for call in [*calls, *late]], why, RESPONSES_WORDS)


def _answer(texts: list[str], calls: list[tuple[str, str]], why: str | None, words: dict[str, str]) -> Read:
    if not why:
        raise Broken
    finish = words.get(why, why)
    whole = []
    for number, (name, arguments) in enumerate(calls):
        blank = not arguments.strip()
        parsed = {} if blank else _parsed(arguments)
        if finish in CUT and (parsed is None or (blank and number == len(calls) - 1)):
            continue
        if parsed is None:
            raise Broken
        whole.append((name, _canonical(parsed)))
    text = _canonical_text("".join(texts))
    if not text and not whole and finish not in CUT:
        raise Broken
    if finish == "tool_calls" and not whole:
        raise Broken
    return Read(text, tuple(whole), "tool_calls" if finish == "stop" and whole else finish)


def _parsed(text: str) -> Any:
    def refuse(_name: str) -> None:
        raise ValueError

    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError:
        return None


def _canonical(value: Any) -> str:
    return _canonical_text(json.dumps(value, sort_keys=True, ensure_ascii=False))


def _canonical_text(text: str) -> str:
    """With characters whole, and halves and what no bus carries replaced."""
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return re.sub("[\x00\ufffe\uffff]", "\ufffd", joined)

"""What OpenAI's `POST /responses` accepts, as tables, and the rules that tie fields together.

Shapes from the `openai` 3.54 type definitions; the words as users of the API quote them (SOURCES.md).
"""

from __future__ import annotations

from typing import Any

from simulated.checks import (
    Check,
    Path,
    Refused,
    any_object,
    anything,
    array,
    boolean,
    closed_schema,
    integer,
    json_schema,
    nullable,
    number,
    obj,
    one_of,
    tagged,
    text,
    text_or,
)

LEAST_TOKENS = 16
_NAME = text(least=1, pattern=r"[a-zA-Z0-9_-]{1,64}")
_STATUS = nullable(one_of("in_progress", "completed", "incomplete"))
_TEXT = obj({"type": anything, "text": text()}, {"prompt_cache_breakpoint": any_object})
_IMAGE = obj(
    {"type": anything},
    {
        "image_url": nullable(text(least=1)),
        "file_id": nullable(text()),
        "detail": one_of("auto", "low", "high", "original"),
        "prompt_cache_breakpoint": any_object,
    },
)
_INPUT_PARTS = array(tagged("type", {"input_text": _TEXT, "input_image": _IMAGE, "input_file": any_object}), least=1)
_OUTPUT_PARTS = array(tagged("type", {"output_text": any_object, "refusal": any_object}), least=1)
_OF_MESSAGE: dict[str, Check] = {
    "type": one_of("message"),
    "id": text(),
    "status": _STATUS,
    "phase": nullable(one_of("commentary", "final_answer")),
}
_SAID = obj({"role": anything, "content": text_or(_INPUT_PARTS, text())}, _OF_MESSAGE)
_ANSWERED = obj({"role": anything, "content": text_or(_OUTPUT_PARTS, text())}, _OF_MESSAGE)
_MESSAGE = tagged("role", {"user": _SAID, "system": _SAID, "developer": _SAID, "assistant": _ANSWERED})
_CALL = obj(
    {"type": anything, "call_id": text(least=1, most=64), "name": _NAME, "arguments": text()},
    {"id": text(), "status": _STATUS, "async": nullable(boolean), "caller": any_object, "namespace": text()},
)
_RESULT = obj(
    {"type": anything, "call_id": text(least=1, most=64), "output": text_or(_INPUT_PARTS, text())},
    {"id": nullable(text()), "status": _STATUS, "caller": any_object, "name": nullable(text()),
     "namespace": nullable(text())},
)  # fmt: skip
_ITEM = tagged(
    "type",
    {"message": _MESSAGE, "function_call": _CALL, "function_call_output": _RESULT, "reasoning": any_object},
)
_FUNCTION = obj(
    {"type": anything, "name": _NAME, "parameters": nullable(json_schema)},
    {
        "strict": nullable(boolean),
        "description": nullable(text()),
        "allowed_callers": nullable(array(text())),
        "defer_loading": boolean,
        "output_schema": nullable(any_object),
        "async": boolean,
    },
)
_CHOICE = tagged(
    "type", {"function": obj({"type": anything, "name": _NAME}), "allowed_tools": any_object, "custom": any_object}
)
_FORMAT = tagged(
    "type",
    {
        "text": obj({"type": anything}),
        "json_object": obj({"type": anything}),
        "json_schema": obj(
            {"type": anything, "name": _NAME, "schema": json_schema},
            {"description": text(), "strict": nullable(boolean)},
        ),
    },
)


def _item(value: Any, path: Path) -> None:
    """A message need not say that it is one."""
    (_MESSAGE if isinstance(value, dict) and "type" not in value else _ITEM)(value, path)


REQUEST = obj(
    {"model": text(least=1, most=256), "input": text_or(array(_item, least=1), text(least=1))},
    {
        "access_programs": any_object,
        "background": nullable(boolean),
        "background_options": any_object,
        "context_management": nullable(array(any_object)),
        "conversation": anything,
        "image": any_object,
        "include": nullable(array(text())),
        "instructions": nullable(text()),
        "max_output_tokens": nullable(integer()),
        "max_tool_calls": nullable(integer(1)),
        "metadata": nullable(any_object),
        "moderation": nullable(any_object),
        "parallel_tool_calls": nullable(boolean),
        "previous_response_id": nullable(text()),
        "prompt": nullable(any_object),
        "prompt_cache_key": nullable(text()),
        "prompt_cache_options": any_object,
        "prompt_cache_retention": nullable(one_of("in_memory", "24h")),
        "reasoning": nullable(any_object),
        "safety_identifier": nullable(text(most=64)),
        "service_tier": nullable(one_of("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")),
        "store": nullable(boolean),
        "stream": nullable(boolean),
        "stream_options": nullable(obj({}, {"include_obfuscation": boolean})),
        "temperature": nullable(number(0, 2)),
        "text": obj({}, {"format": _FORMAT, "verbosity": nullable(one_of("low", "medium", "high"))}),
        "tool_choice": text_or(_CHOICE, one_of("none", "auto", "required")),
        "tools": array(tagged("type", {"function": _FUNCTION, "custom": any_object}), most=128),
        "top_logprobs": nullable(integer(0, 20)),
        "top_p": nullable(number(0, 1)),
        "truncation": nullable(one_of("auto", "disabled")),
        "user": text(),
    },
)


def check(body: Any) -> None:
    """Raises Refused at the first thing that the API would refuse."""
    REQUEST(body, ())
    _limit(body.get("max_output_tokens"))
    _tools(body)
    _schema(body)
    if isinstance(body["input"], list):
        _calls(body["input"])


def _limit(asked: int | None) -> None:
    if asked is not None and asked < LEAST_TOKENS:
        words = f"integer below minimum value. Expected a value >= {LEAST_TOKENS}, but got {asked} instead."
        raise Refused(("max_output_tokens",), words, kind="integer_below_min_value")


def _tools(body: dict[str, Any]) -> None:
    functions = [tool for tool in body.get("tools", ()) if tool["type"] == "function"]
    names = [tool["name"] for tool in functions]
    if len(set(names)) != len(names):
        raise Refused(("tools",), "Tool names must be unique.")
    for index, tool in enumerate(functions):
        if tool.get("strict", True):  # strict unless that is denied
            closed_schema(tool["parameters"], ("tools", index, "parameters"), all_required=True)
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] == "function" and choice["name"] not in names:
        raise Refused(("tool_choice",), "Tool choice 'function' not found in 'tools' parameter.")


def _schema(body: dict[str, Any]) -> None:
    form = body.get("text", {}).get("format", {})
    if form.get("strict"):
        closed_schema(form["schema"], ("text", "format", "schema"), all_required=True)


def _calls(items: list[dict[str, Any]]) -> None:
    """Each function call has its output somewhere after it, and no output is without a call."""
    asked: list[str] = []
    for item in items:
        kind = item.get("type")
        if kind == "function_call":
            asked.append(item["call_id"])
        if kind == "function_call_output":
            if item["call_id"] not in asked:
                words = f"No tool call found for function call output with call_id {item['call_id']}."
                raise Refused(("input",), words, kind="said")
            asked.remove(item["call_id"])
    if asked:
        raise Refused(("input",), f"No tool output found for function call {asked[0]}.", kind="said")

"""What OpenAI-style chat completions accept, as tables, and the rules that tie fields together.

Shapes from the `openai` 3.54 type definitions, plus what Kimi and DeepSeek add (`thinking`, `reasoning_content`,
`partial`). What single models refuse is in kimi_rules.
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

_NAME = text(least=1, pattern=r"[a-zA-Z0-9_-]{1,64}")
_WORDS = text(least=1, problem="message content must not be empty")

_TEXT_PART = obj({"type": anything, "text": text(least=1)}, {"prompt_cache_breakpoint": any_object})
_IMAGE_PART = obj(
    {
        "type": anything,
        "image_url": obj({"url": text(least=1)}, {"detail": one_of("auto", "low", "high", "original")}),
    },
    {"prompt_cache_breakpoint": any_object},
)
_TEXT_PARTS = array(tagged("type", {"text": _TEXT_PART}), least=1)
_USER_PARTS = array(
    tagged(
        "type",
        {"text": _TEXT_PART, "image_url": _IMAGE_PART, "input_audio": any_object, "file": any_object},
    ),
    least=1,
)
_ASSISTANT_PARTS = array(tagged("type", {"text": _TEXT_PART, "refusal": any_object}), least=1)
_TOOL_CALL = tagged(
    "type",
    {
        "function": obj(
            {"id": text(least=1), "type": anything, "function": obj({"name": _NAME, "arguments": text()})},
            {"index": integer(0)},
        ),
        "custom": any_object,
    },
)
_NAMED: dict[str, Check] = {"name": text()}
_SYSTEM = obj({"role": anything, "content": text_or(_TEXT_PARTS, _WORDS)}, _NAMED)
_MESSAGE = tagged(
    "role",
    {
        "system": _SYSTEM,
        "developer": _SYSTEM,
        "user": obj({"role": anything, "content": text_or(_USER_PARTS, _WORDS)}, _NAMED),
        "assistant": obj(
            {"role": anything},
            {
                **_NAMED,
                "content": nullable(text_or(_ASSISTANT_PARTS, text())),
                "tool_calls": array(_TOOL_CALL, least=1),
                "function_call": nullable(any_object),
                "refusal": nullable(text()),
                "audio": nullable(any_object),
                "reasoning_content": nullable(text()),
                "partial": boolean,
            },
        ),
        "tool": obj({"role": anything, "tool_call_id": text(least=1), "content": text_or(_TEXT_PARTS, text())}, _NAMED),
        "function": obj({"role": anything, "name": _NAME, "content": nullable(text())}),
    },
)
_FUNCTION = obj({"name": _NAME}, {"description": text(), "parameters": json_schema, "strict": nullable(boolean)})
_FUNCTION_TOOL = obj({"type": anything, "function": _FUNCTION})
_NAMED_CHOICE = tagged(
    "type",
    {
        "function": obj({"type": anything, "function": obj({"name": _NAME})}),
        "allowed_tools": any_object,
        "custom": any_object,
    },
)
_JSON_SCHEMA = obj({"name": _NAME}, {"description": text(), "schema": json_schema, "strict": nullable(boolean)})


def _json_schema_format(value: Any, path: Path) -> None:
    obj({"type": anything, "json_schema": _JSON_SCHEMA})(value, path)
    if value["json_schema"].get("strict"):
        schema = value["json_schema"].get("schema", {})
        closed_schema(schema, (*path, "json_schema", "schema"), all_required=True)


REQUEST = obj(
    {"model": text(least=1, most=256), "messages": array(_MESSAGE, least=1)},
    {
        "audio": nullable(any_object),
        "frequency_penalty": nullable(number(-2, 2)),
        "function_call": anything,
        "functions": array(any_object),
        "logit_bias": nullable(any_object),
        "logprobs": nullable(boolean),
        "max_completion_tokens": nullable(integer(1)),
        "max_tokens": nullable(integer(1)),
        "metadata": nullable(any_object),
        "modalities": nullable(array(one_of("text", "audio"))),
        "moderation": nullable(any_object),
        "n": nullable(integer(1, 1)),
        "parallel_tool_calls": boolean,
        "prediction": nullable(any_object),
        "presence_penalty": nullable(number(-2, 2)),
        "prompt_cache_key": nullable(text()),
        "prompt_cache_options": any_object,
        "prompt_cache_retention": nullable(one_of("in_memory", "24h")),
        "reasoning_effort": nullable(one_of("none", "minimal", "low", "medium", "high", "xhigh", "max")),
        "response_format": tagged(
            "type",
            {
                "text": obj({"type": anything}),
                "json_object": obj({"type": anything}),
                "json_schema": _json_schema_format,
            },
        ),
        "safety_identifier": nullable(text(most=64)),
        "seed": nullable(integer()),
        "service_tier": nullable(one_of("auto", "default", "flex", "scale", "priority", "fast")),
        "stop": nullable(text_or(array(text(least=1), most=4), text(least=1))),
        "store": nullable(boolean),
        "stream": nullable(boolean),
        "stream_options": nullable(obj({}, {"include_usage": boolean, "include_obfuscation": boolean})),
        "temperature": nullable(number(0, 2)),
        "thinking": obj({"type": one_of("enabled", "disabled", "auto")}, {"keep": nullable(text())}),
        "tool_choice": text_or(_NAMED_CHOICE, one_of("none", "auto", "required")),
        "tools": array(tagged("type", {"function": _FUNCTION_TOOL, "custom": any_object}), least=1, most=128),
        "top_logprobs": nullable(integer(0, 20)),
        "top_p": nullable(number(0, 1)),
        "user": text(),
        "verbosity": nullable(one_of("low", "medium", "high")),
        "web_search_options": any_object,
    },
)


def check(body: Any) -> None:
    """Raises Refused at the first thing that the API would refuse."""
    REQUEST(body, ())
    _options(body)
    _tools(body)
    _turns(body["messages"])


def _options(body: dict[str, Any]) -> None:
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        raise Refused(
            ("max_tokens",), "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        )
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Refused(("stream_options",), "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        raise Refused(("top_logprobs",), "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.")


def _tools(body: dict[str, Any]) -> None:
    names = [tool["function"]["name"] for tool in body.get("tools", ()) if tool["type"] == "function"]
    if len(set(names)) != len(names):
        raise Refused(("tools",), "Tool names must be unique.")
    for field in ("tool_choice", "parallel_tool_calls"):
        if field in body and "tools" not in body:
            raise Refused((field,), f"'{field}' is only allowed when 'tools' are specified.")
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] == "function" and choice["function"]["name"] not in names:
        raise Refused(("tool_choice",), f"Tool choice '{choice['function']['name']}' not found in 'tools' parameter.")


def _turns(messages: list[dict[str, Any]]) -> None:
    """Each tool call is answered by tool messages right after it, and nothing else is."""
    waiting: list[str] = []
    answerable: set[str] = set()
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            _tool_message(index, message, waiting, answerable)
            continue
        _all_answered(index, waiting)
        calls = message.get("tool_calls", ()) if message["role"] == "assistant" else ()
        waiting = [call["id"] for call in calls]
        answerable = set(waiting)
        if message["role"] == "assistant":
            _assistant(index, message)
    _all_answered(len(messages), waiting)


def _tool_message(index: int, message: dict[str, Any], waiting: list[str], answerable: set[str]) -> None:
    if not answerable:
        raise Refused(
            ("messages", index, "role"),
            "messages with role 'tool' must be a response to a preceding message with 'tool_calls'.",
        )
    if message["tool_call_id"] not in waiting:
        raise Refused(("messages", index), "'tool_call_id' not found in 'tool_calls' of the previous message.")
    waiting.remove(message["tool_call_id"])


def _all_answered(index: int, waiting: list[str]) -> None:
    if waiting:
        raise Refused(
            ("messages", index - 1),
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            "'tool_call_id'. The following tool_call_ids did not have response messages: " + ", ".join(waiting),
        )


def _assistant(index: int, message: dict[str, Any]) -> None:
    if not message.get("tool_calls") and not message.get("function_call") and not message.get("content"):
        raise Refused(("messages", index, "content"), "an assistant message needs 'content' or 'tool_calls'.")

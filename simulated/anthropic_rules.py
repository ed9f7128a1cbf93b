"""What Anthropic's Messages API (version 2026-10-21) accepts, as tables, and the rules that tie fields together.

Shapes from the `anthropic` 2.12 type definitions; words as the API says them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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

VERSION, EARLIER = "2026-10-21", "2023-06-01"
_LEAST_BUDGET = 1024
_NAME = r"[a-zA-Z0-9_-]{1,128}"
_ID = text(least=1, pattern=r"[a-zA-Z0-9_-]+")

_CACHE: dict[str, Check] = {"cache_control": nullable(obj({"type": one_of("ephemeral")}, {"ttl": one_of("5m", "1h")}))}
_WORDS = text(least=1, pattern=r"(?s).*\S.*", problem="text content blocks must contain non-whitespace text")
_TEXT = obj({"type": anything, "text": _WORDS}, {**_CACHE, "citations": nullable(array(any_object))})
_SOURCE = tagged(
    "type",
    {
        "base64": obj(
            {
                "type": anything,
                "media_type": one_of("image/jpeg", "image/png", "image/gif", "image/webp"),
                "data": text(least=1),
            }
        ),
        "url": obj({"type": anything, "url": text(least=1)}),
        "file": obj({"type": anything, "file_id": text(least=1)}),
    },
)
_IMAGE = obj({"type": anything, "source": _SOURCE}, {**_CACHE, "transformations": any_object})
_RESULT_CONTENT = tagged("type", {"text": _TEXT, "image": _IMAGE, "document": any_object, "search_result": any_object})
_USER_BLOCKS: dict[str, Check] = {
    "text": _TEXT,
    "image": _IMAGE,
    "document": any_object,
    "search_result": any_object,
    "container_upload": any_object,
    "tool_result": obj(
        {"type": anything, "tool_use_id": _ID},
        {
            **_CACHE,
            "content": text_or(array(_RESULT_CONTENT), text()),
            "is_error": boolean,
            "toolset_name": nullable(text()),
        },
    ),
}
_ASSISTANT_BLOCKS: dict[str, Check] = {
    "text": _TEXT,
    "thinking": obj({"type": anything, "thinking": text(), "signature": text(least=1)}),
    "redacted_thinking": obj({"type": anything, "data": text(least=1)}),
    "tool_use": obj(
        {"type": anything, "id": _ID, "name": text(least=1, pattern=_NAME), "input": any_object},
        {**_CACHE, "caller": any_object, "toolset_name": nullable(text())},
    ),
}


def _message(blocks: dict[str, Check]) -> Check:
    content = text_or(array(tagged("type", blocks), least=1), text(least=1, problem="messages must have content"))
    return obj({"role": anything, "content": content})


_TOOL = obj(
    {
        "name": text(least=1, pattern=_NAME),
        "input_schema": json_schema,
    },
    {
        **_CACHE,
        "type": nullable(one_of("custom")),
        "description": text(),
        "strict": boolean,
        "allowed_callers": array(text(least=1)),
        "defer_loading": boolean,
        "eager_input_streaming": nullable(boolean),
        "input_examples": array(any_object),
    },
)
_PARALLEL: dict[str, Check] = {"disable_parallel_tool_use": boolean}
_EFFORT = nullable(one_of("low", "medium", "high", "xhigh", "max"))
_DISPLAY: dict[str, Check] = {"display": nullable(one_of("summarized", "omitted"))}


def _tool(value: Any, path: Path) -> None:
    # Tools that the vendor runs or defines itself carry a dated type and shapes of their own.
    if isinstance(value, dict) and isinstance(value.get("type"), str) and value["type"] != "custom":
        return
    _TOOL(value, path)
    if value["input_schema"].get("type") != "object":
        raise Refused((*path, "input_schema", "type"), "Input should be 'object'")


def _output_format(value: Any, path: Path) -> None:
    obj({"type": one_of("json_schema"), "schema": json_schema})(value, path)
    closed_schema(value["schema"], (*path, "schema"), all_required=False)
    _enforceable(value["schema"], (*path, "schema"))


# What the vendor's page on structured outputs says is not supported.
_NOT_ENFORCED = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "maxItems"}
    | {"uniqueItems", "minProperties", "maxProperties", "patternProperties"}
)


def _enforceable(schema: Any, path: Path) -> None:
    if not isinstance(schema, dict):
        return
    for name in _NOT_ENFORCED & schema.keys():
        raise Refused(path, f"For '{schema.get('type')}' type, property '{name}' is not supported")
    if schema.get("minItems", 0) not in (0, 1):
        raise Refused(path, "For 'array' type, 'minItems' values other than 0 or 1 are not supported")
    if any(isinstance(item, dict | list) for item in schema.get("enum", ())):
        raise Refused(path, "'enum' values must be strings, numbers, booleans or null")
    for key in ("properties", "$defs", "definitions"):
        for name, item in schema.get(key, {}).items():
            _enforceable(item, (*path, key, name))
    for key in ("anyOf", "allOf"):
        for index, item in enumerate(schema.get(key, ())):
            _enforceable(item, (*path, key, index))
    _enforceable(schema.get("items"), (*path, "items"))


REQUEST = obj(
    {
        "model": text(least=1, most=256),
        "messages": array(
            tagged(
                "role",
                {
                    "user": _message(_USER_BLOCKS),
                    "assistant": _message(_ASSISTANT_BLOCKS),
                    "system": _message({"text": _TEXT}),
                },
            ),
            least=1,
            most=100_000,
        ),
        "max_tokens": integer(1),
    },
    {
        **_CACHE,
        "container": anything,
        "diagnostics": nullable(any_object),
        "inference_geo": nullable(text()),
        "metadata": obj({}, {"user_id": nullable(text(most=512))}),
        "output_config": obj({}, {"effort": _EFFORT, "format": nullable(_output_format)}),
        "service_tier": one_of("auto", "standard_only"),
        "speed": nullable(one_of("standard", "fast")),
        "stop_sequences": array(
            text(least=1, pattern=r"(?s).*\S.*", problem="each stop sequence must contain non-whitespace")
        ),
        "stream": boolean,
        "system": text_or(array(_TEXT), text()),
        "thinking": tagged(
            "type",
            {
                "enabled": obj({"type": anything, "budget_tokens": integer(_LEAST_BUDGET)}, _DISPLAY),
                "adaptive": obj({"type": anything}, _DISPLAY),
                "disabled": obj({"type": anything}),
                "between_tools": obj({"type": anything}),
            },
        ),
        "tool_choice": tagged(
            "type",
            {
                "auto": obj({"type": anything}, _PARALLEL),
                "any": obj({"type": anything}, _PARALLEL),
                "tool": obj({"type": anything, "name": text(least=1)}, _PARALLEL),
                "none": obj({"type": anything}),
            },
        ),
        "tools": array(_tool),
        "user_profile_id": text(least=1),
        "workspace_id": text(least=1),
    },
)
# Fields of the earlier version that this one refuses by name, and those of betas that a header asks for.
_GONE: dict[str, Check] = {"temperature": number(), "top_p": number(), "top_k": integer()}
_BETAS: dict[str, dict[str, Check]] = {"context-management-2025-06-27": {"context_management": nullable(any_object)}}


def check(body: Any, version: str = VERSION, betas: Sequence[str] = ()) -> None:
    """Raises Refused at the first thing that the API would refuse."""
    if isinstance(body, dict):
        body = _usual(body, version, betas)
    REQUEST(body, ())
    _tools(body)
    _thinking(body)
    _turns(body["messages"])
    _signatures(body)


def _usual(body: dict[str, Any], version: str, betas: Sequence[str]) -> dict[str, Any]:
    """Without the fields that only the earlier version or a beta has. Raises Refused for what they do not allow."""
    more = {name: one for beta in betas for name, one in _BETAS.get(beta, {}).items()}
    for name in body.keys() & _GONE.keys():
        if version != EARLIER:
            raise Refused((), f"`{name}` is not supported with anthropic-version {VERSION}")
        more[name] = _GONE[name]
    for name in body.keys() & more.keys():
        more[name](body[name], (name,))
    return {name: value for name, value in body.items() if name not in more}


def _tools(body: dict[str, Any]) -> None:
    names = [tool.get("name") for tool in body.get("tools", ())]
    if len(set(names)) != len(names):
        raise Refused(("tools",), "Tool names must be unique.")
    choice = body.get("tool_choice")
    if choice is None:
        return
    if not names:
        raise Refused(("tool_choice",), "tool_choice may only be specified while providing tools")
    if choice["type"] == "tool" and choice["name"] not in names:
        raise Refused(("tool_choice",), f"Tool '{choice['name']}' not found in provided tools")


def _thinking(body: dict[str, Any]) -> None:
    thinking = body.get("thinking", {"type": "disabled"})
    if thinking["type"] == "enabled" and thinking["budget_tokens"] >= body["max_tokens"]:
        raise Refused((), "`max_tokens` must be greater than `thinking.budget_tokens`")
    forced = body.get("tool_choice", {}).get("type") in ("any", "tool")
    if forced and thinking["type"] in ("enabled", "adaptive"):
        raise Refused((), "Thinking may not be enabled when tool_choice forces tool use.")


def _turns(messages: list[dict[str, Any]]) -> None:
    if messages[0]["role"] != "user":
        raise Refused(("messages", 0, "role"), 'first message must use the "user" role')
    if messages[-1]["role"] == "assistant":
        raise Refused(
            (),
            "This model does not support assistant message prefill. The conversation must end with a user message.",
        )
    seen: set[str] = set()
    waiting: list[str] = []
    for index, message in enumerate(messages):
        if message["role"] == "system" and not waiting:
            continue
        _results(index, message, waiting)
        waiting = [block["id"] for block in _blocks(message, "tool_use")]
        for name in waiting:
            if name in seen:
                raise Refused(("messages", index), "`tool_use` ids must be unique")
            seen.add(name)


def _blocks(message: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    content = message["content"]
    return [] if isinstance(content, str) else [block for block in content if block["type"] == kind]


def _results(index: int, message: dict[str, Any], waiting: list[str]) -> None:
    """`waiting` are the tool_use ids of the message before: all must be answered here, and nothing else."""
    answered = [block["tool_use_id"] for block in _blocks(message, "tool_result")]
    for position, name in enumerate(answered):
        if name not in waiting:
            raise Refused(
                ("messages", index, "content", position),
                f"unexpected `tool_use_id` found in `tool_result` blocks: {name}. Each `tool_result` block must have "
                "a corresponding `tool_use` block in the previous message.",
            )
    missing = [name for name in waiting if name not in answered]
    if missing:
        raise Refused(
            ("messages", index - 1),
            "`tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
            "next message.",
        )
    if len(set(answered)) != len(answered):
        raise Refused(("messages", index), "each tool_use must have a single result")
    if answered and any(block["type"] != "tool_result" for block in message["content"][: len(answered)]):
        raise Refused(("messages", index), "`tool_result` blocks must come first in the content of a message")


def signature(model: str, thinking: str) -> str:
    """The seal on a thinking block: it holds for this model and these words only."""
    sealed = f"{model}\0{thinking}".encode("utf-8", "surrogatepass")
    return "sim-" + hashlib.sha256(sealed).hexdigest()[:32]


def _signatures(body: dict[str, Any]) -> None:
    for index, message in enumerate(body["messages"]):
        for block in _blocks(message, "thinking"):
            if block["signature"] != signature(body["model"], block["thinking"]):
                raise Refused(("messages", index), "Invalid `signature` in `thinking` block")

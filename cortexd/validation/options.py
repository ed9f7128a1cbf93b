"""The options of a request as a dictionary into Options."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from cortexd.domain.close_words import close_words
from cortexd.domain.messages import LearnedMode, OnBreak, Options, Privacy, Secrets, Strategy, Tool
from cortexd.domain.modes import clash
from cortexd.domain.money import from_usd
from cortexd.domain.safe_values import safe_text
from cortexd.errors import InvalidArgument, TooLarge
from cortexd.validation.bounds import USUAL, Bounds
from cortexd.validation.checks import (
    REQUEST_ID,
    as_boolean,
    as_integer,
    as_labels,
    as_mapping,
    as_member,
    as_name,
    as_number,
    as_sequence,
    as_text,
    known_keys,
    matching,
    shown,
    shown_key,
)
from cortexd.validation.content import prompt_bytes

_MAX_OUTPUT_TOKENS = 1_000_000
_MAX_COST_USD = 1_000_000
_OF_BODY = ("temperature", "max_tokens", "tools", "tool_choice", "response_schema")
_HEADERS = ("anthropic-beta", "anthropic-version", "openai-beta")
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]{0,1022}[!-~])?")


def parse_options(value: object, bounds: Bounds = USUAL) -> Options:
    """A dictionary of options as Options. Raises InvalidArgument (unknown keys too) or TooLarge."""
    table = as_mapping(value, "options")
    if not table:
        return Options()
    parsed: dict[str, Any] = {}
    for key, item in table.items():
        if key not in _OPTIONS:
            near = close_words(str(key)[:64], _OPTIONS, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else f"; expected one of {', '.join(_OPTIONS)}"
            raise InvalidArgument(f"options.{shown_key(key)}: unknown option{hint}")
        field, parse = _OPTIONS[key]
        parsed[field] = parse(item, f"options.{key}")
    options = Options(**parsed)
    _check_options(options, bounds)
    return options


def parse_raw_options(value: object, bounds: Bounds = USUAL) -> tuple[Options, dict[str, str]]:
    """The options beside a body in a vendor's own words, and the headers that go with it. Raises InvalidArgument for
    what the body says itself."""
    table = dict(as_mapping(value, "options"))
    headers = _headers(table.pop("headers", {}), "options.headers")
    for key in _OF_BODY:
        if key in table:
            raise InvalidArgument(f"options.{key}: the body says this itself. Set it there.")
    if table.get("on_break", OnBreak.FAIL) != OnBreak.FAIL:
        raise InvalidArgument(f'options.on_break: expected "{OnBreak.FAIL}" or nothing. Leave it out.')
    return parse_options(table, bounds), headers


def _headers(value: object, path: str) -> dict[str, str]:
    """By their names in small letters."""
    table = as_mapping(value, path)
    named = {str(name).lower(): item for name, item in table.items()}
    known_keys(named, _HEADERS, path)
    return {name: matching(item, _HEADER_VALUE, f"{path}.{name}") for name, item in named.items()}


def _tool(value: object, path: str) -> Tool:
    row = as_mapping(value, path)
    if isinstance(row.get("function"), Mapping):  # OpenAI's nesting
        row = row["function"]
        path += ".function"
    known_keys(row, ("name", "description", "parameters", "type"), path)
    name = as_name(row.get("name"), f"{path}.name")
    parameters = row.get("parameters")
    return Tool(
        name,
        as_text(row.get("description", ""), f"{path}.description"),
        Tool(name).parameters if parameters is None else _schema(parameters, f"{path}.parameters"),
    )


def _schema(value: object, path: str) -> str:
    """A JSON Schema object, given as JSON text or as a mapping, as compact JSON text."""
    try:
        schema = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise InvalidArgument(f"{path}: expected a JSON Schema as JSON text: {error}") from None
    except RecursionError:
        raise InvalidArgument(f"{path}: expected a JSON Schema that is not nested so deeply") from None
    if not isinstance(schema, Mapping):
        raise InvalidArgument(f"{path}: expected a JSON object, got {shown(schema)}")
    if schema.get("type", "object") != "object":
        raise InvalidArgument(f'{path}.type: expected "object", got {shown(schema["type"])}')
    try:
        return safe_text(json.dumps({"type": "object", **schema}, ensure_ascii=False, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise InvalidArgument(f"{path}: expected a JSON Schema made of JSON values only") from None


def _check_options(options: Options, bounds: Bounds) -> None:
    if len(options.tools) > bounds.max_tools:
        raise TooLarge(f"options.tools: expected at most {bounds.max_tools} tools, got {len(options.tools)}")
    names = [tool.name for tool in options.tools]
    if len(set(names)) != len(names):
        raise InvalidArgument("options.tools: expected each tool name once")
    size = prompt_bytes((), options.tools) + len((options.response_schema or "").encode())
    if size > bounds.max_prompt_bytes:
        raise TooLarge(f"options.tools: expected at most {bounds.max_prompt_bytes} bytes, got {size}")
    if options.tool_choice is not None and not options.tools:
        raise InvalidArgument("options.tool_choice: expected only together with tools")
    if options.tool_choice not in (None, "auto", "none", "required", *names):
        raise InvalidArgument(
            f"options.tool_choice: expected auto, none, required or an offered tool, got {shown(options.tool_choice)}"
        )
    if words := clash(options.strategy, options.learned):
        raise InvalidArgument(f"options.learned: {words}")
    if options.deadline_ms is not None and options.deadline_ms > bounds.max_deadline_ms:
        raise InvalidArgument(
            f"options.deadline_ms: expected at most {bounds.max_deadline_ms}, got {options.deadline_ms}"
        )


def _tools(value: object, path: str) -> tuple[Tool, ...]:
    return tuple(_tool(item, f"{path}[{index}]") for index, item in enumerate(as_sequence(value, path)))


def _cost(value: object, path: str) -> int:
    return from_usd(as_number(0, _MAX_COST_USD)(value, path))


def _request_id(value: object, path: str) -> str:
    return matching(value, REQUEST_ID, path)


# the caller's key -> the field of Options and how its value is checked
_OPTIONS: dict[str, tuple[str, Callable[[object, str], Any]]] = {
    "provider": ("provider", as_name),
    "model": ("model", as_name),
    "temperature": ("temperature", as_number(0, 2)),
    "max_tokens": ("max_tokens", as_integer(1, _MAX_OUTPUT_TOKENS)),
    "tools": ("tools", _tools),
    "tool_choice": ("tool_choice", as_name),
    "response_schema": ("response_schema", _schema),
    "fallback": ("fallback", as_boolean),
    "deadline_ms": ("deadline_ms", as_integer(1, 2**31)),
    "max_cost_usd": ("max_cost_nano", _cost),
    "privacy": ("privacy", as_member(Privacy)),
    "request_id": ("request_id", _request_id),
    "labels": ("labels", as_labels),
    "strategy": ("strategy", as_member(Strategy)),
    "learned": ("learned", as_member(LearnedMode)),
    "cache": ("cache", as_boolean),
    "session": ("session", _request_id),
    "secrets": ("secrets", as_member(Secrets)),
    "on_break": ("on_break", as_member(OnBreak)),
    "hedge": ("hedge", as_boolean),
}

"""What a model server says it has: the body of its `/v1/models`, in each server's own words.

| where | whose |
|---|---|
| `max_model_len` | vLLM, SGLang |
| `metadata.max_request_context_length` | Ray Serve |
| `meta.n_ctx`, `meta.n_ctx_train` | llama.cpp |
| `context_length` | Moonshot, Together, OpenRouter |
| `context_window`, `max_completion_tokens` | Groq |
| `max_context_length`, `loaded_context_length`, `state` | LM Studio; the first Mistral, too |
| `max_input_tokens`, `max_tokens` | Anthropic |
| `status` "loaded" | mistral.rs; `{"value": …}` llama.cpp as a router |
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cortexd.domain.targets import printed_alone

MOST_MODELS = 256
MOST_BYTES = 1024 * 1024
_MOST_TOKENS = 100_000_000
_Path = tuple[str, ...]
_CONTEXT: tuple[_Path, ...] = (
    ("max_model_len",),
    ("metadata", "max_request_context_length"),
    ("meta", "n_ctx"),
    ("loaded_context_length",),
    ("context_length",),
    ("context_window",),
    ("max_context_length",),
    ("max_input_tokens",),
    ("meta", "n_ctx_train"),
)
_OUTPUT: tuple[_Path, ...] = (
    ("max_output_tokens",),
    ("max_completion_tokens",),
    ("top_provider", "max_completion_tokens"),
    ("max_tokens",),
)
_LOADED: tuple[_Path, ...] = (("loaded",), ("state",), ("status", "value"), ("status",))


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model of a server. `context_tokens` and `output_tokens` (the longest answer) are None where it does not say;
    `loaded`: whether it is in memory, None likewise; `owner`: its `owned_by`, by which servers are told apart."""

    id: str
    context_tokens: int | None = None
    output_tokens: int | None = None
    loaded: bool | None = None
    owner: str = ""


def served_models(body: bytes) -> tuple[ServedModel, ...]:
    """The models of the body, in its order, each once, at most MOST_MODELS; without those that no setting could name.
    Raises ValueError where it is no list of models."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON: {type(error).__name__}") from None
    rows = value.get("data") if isinstance(value, dict) else value
    if rows is None and isinstance(value, dict) and value.get("object") == "list":
        rows = []  # Ollama's, where it has none
    if not isinstance(rows, list):
        raise ValueError("no list of models")
    return _each_once(_served(row) for row in rows if _is_model(row))


def _each_once(models: Iterable[ServedModel]) -> tuple[ServedModel, ...]:
    found: dict[str, ServedModel] = {}
    for model in models:
        found.setdefault(model.id, model)
        if len(found) == MOST_MODELS:
            break
    return tuple(found.values())


def _is_model(row: object) -> bool:
    name = row.get("id") if isinstance(row, dict) else None
    return isinstance(name, str) and printed_alone(name) and "\\" not in name


def _served(row: dict[str, Any]) -> ServedModel:
    owner = row.get("owned_by")
    return ServedModel(
        row["id"],
        _tokens(row, _CONTEXT),
        _tokens(row, _OUTPUT),
        next((said for path in _LOADED if (said := _loaded(_at(row, path))) is not None), None),
        owner if isinstance(owner, str) else "",
    )


def _tokens(row: dict[str, Any], paths: tuple[_Path, ...]) -> int | None:
    said = (_at(row, path) for path in paths)
    return next((value for value in said if _is_count(value)), None)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_TOKENS


def _loaded(value: object) -> bool | None:
    if isinstance(value, str):
        return value == "loaded"
    return value if isinstance(value, bool) else None


def _at(row: dict[str, Any], path: _Path) -> Any:
    value: Any = row
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value

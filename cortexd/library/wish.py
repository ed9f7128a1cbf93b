"""One call as it was made: its arguments, and its router's own settings at that moment. Nothing is checked yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rules:
    """A router's routing table and switches."""

    table: Mapping[Any, Any]
    default_provider: Any
    fallback: bool
    track_costs: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """The arguments of `complete` and its kin."""

    messages: Any
    task_type: Any
    force_provider: Any
    temperature: Any
    max_tokens: Any
    tools: Any

"""What is known of a request's secrets, and what follows from it for whom it may be sent to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cortexd.domain.messages import Message, Tool

PREFIX = "SECRET_"
PLACEHOLDER_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Disguise:
    """A request as models elsewhere get it. `secrets`: placeholder -> what it stands for."""

    messages: tuple[Message, ...] = field(repr=False)
    tools: tuple[Tool, ...] = field(repr=False)
    response_schema: str | None = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Guard:
    """`found`: how many secrets of each kind, None where nobody looked. `pinned`: why only local models may have the
    request, empty where others may too. `disguise`: what those get in its place."""

    found: Mapping[str, int] | None = None
    pinned: str = ""
    disguise: Disguise | None = None


UNGUARDED = Guard()

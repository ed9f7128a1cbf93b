"""What the machines that share a ledger decide together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Revision:
    """One state of a fleet's settings. `number` counts from 1; `text` is TOML, as somebody handed it in.

    `role`: the database's user that wrote it; `author`: who that was, USER@HOST. `at` is aware.
    """

    number: int
    at: datetime
    role: str
    author: str
    comment: str
    text: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The number of a revision that a machine cannot take, and why, in its own words."""

    revision: int
    reason: str


@dataclass(frozen=True, slots=True)
class Marks:
    """How far each of what machines share has come; a larger number says that there is something new.

    `settings`: the number of the newest revision. The others count changes of what people have set.
    """

    settings: int = 0
    limits: int = 0
    own_caps: int = 0
    preferences: int = 0

"""Requests that wait for this user's word, as a cap of the own has no room for them: as frozen structures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from cortexd.client.results import Row, filled


@dataclass(frozen=True, slots=True)
class Hold:
    """A question that waits for an answer until `until` (ISO 8601), when silence becomes a no.

    `scope` and `period` (day or month) say which cap. `requests`: how many wait, which may cost `may_cost_*` together;
    `request_id`, `task_type`, `app` (its label of that name), `provider` and `model` are those of the one that waits
    longest. `more_*`: what the answer "today" allows where it names no amount.
    """

    hold_id: str = ""
    scope: str = ""
    period: str = ""
    requests: int = 0
    until: str = ""
    request_id: str = ""
    task_type: str = ""
    app: str = ""
    provider: str = ""
    model: str = ""
    may_cost_usd: float = 0.0
    may_cost_nano_usd: int = 0
    limit_usd: float = 0.0
    limit_nano_usd: int = 0
    left_usd: float = 0.0
    left_nano_usd: int = 0
    more_usd: float = 0.0
    more_nano_usd: int = 0
    raw: Row = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class BudgetHeld:
    """Requests of this user wait for answer_hold(); comes again with the same id where further ones have joined."""

    hold: Hold

    @classmethod
    def of(cls, _hold_id: str, _may_cost_usd: float, details: dict[str, Any]) -> Self:
        return cls(filled(Hold, {**details, "raw": details}))


@dataclass(frozen=True, slots=True)
class HoldEnded:
    """`answer`: today, once or refuse, as it was answered; none: nobody did in time; gone: its requests have ended."""

    hold_id: str
    answer: str

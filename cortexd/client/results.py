"""What the service answers, as frozen structures. Keys that this version does not know stay in `raw` or `metadata`.

Costs are nano-dollars where the name says `nano_usd`, and dollars for showing where it says `usd`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, Self, TypeVar

from cortexd.connection import wire
from cortexd.domain.messages import ToolCall
from cortexd.errors import CortexError

Row = Mapping[str, Any]


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


T = TypeVar("T", bound=_Dataclass)


def filled(kind: type[T], row: Row) -> T:
    """A `kind` from the row's keys of the same names; other keys are ignored, missing ones leave the default."""
    known = {key: value for key, value in row.items() if key in kind.__dataclass_fields__}
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in known.items()})


def rows_of(kind: type[T], rows: Iterable[Row]) -> list[T]:
    """A `kind` per row, which it keeps as `raw`."""
    return [filled(kind, {**row, "raw": row}) for row in rows]


@dataclass(frozen=True, slots=True)
class Tokens:
    """`input` is the whole prompt, `cached` the part of it read from a cache; `reasoning` is part of `output`."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One provider that was asked. `error` is empty where it answered."""

    provider: str = ""
    model: str = ""
    outcome: str = ""
    cost_nano_usd: int = 0
    cost_known: bool = True
    latency_ms: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer and what it took. `cost_*` covers all attempts; with `cost_known` False it is the worst case.

    `cache_hit`: an earlier equal answer was given again. `reasoning_content`: what the model thought, where its
    provider says it; some models that call tools want it back on their message. `metadata` is everything the service
    said about the answer, see the interface file.
    """

    content: str
    request_id: str
    provider: str
    model: str
    task_type: str
    tokens: Tokens
    cost_nano_usd: int
    cost_usd: float
    cost_known: bool
    latency_ms: int
    finish_reason: str
    tool_calls: tuple[ToolCall, ...]
    reasoning_content: str
    attempts: tuple[Attempt, ...]
    route_reason: str
    dropped_options: tuple[str, ...]
    settled: bool
    cache_hit: bool
    metadata: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, content: str, metadata: dict[str, Any]) -> Self:
        get = metadata.get
        return cls(
            content=content,
            request_id=get("request_id", ""),
            provider=get("provider", ""),
            model=get("model", ""),
            task_type=get("task_type", ""),
            tokens=Tokens(
                get("input_tokens", 0), get("output_tokens", 0), get("cached_tokens", 0), get("reasoning_tokens", 0)
            ),
            cost_nano_usd=get("cost_nano_usd", 0),
            cost_usd=get("cost_usd", 0.0),
            cost_known=get("cost_known", True),
            latency_ms=get("latency_ms", 0),
            finish_reason=get("finish_reason", ""),
            tool_calls=tuple(ToolCall(row["id"], row["name"], row["arguments"]) for row in get("tool_calls", ())),
            reasoning_content=get("reasoning_content", ""),
            attempts=tuple(filled(Attempt, row) for row in get("attempts", ())),
            route_reason=get("route_reason", ""),
            dropped_options=tuple(get("dropped_options", ())),
            settled=get("settled", True),
            cache_hit=get("cache_hit", False),
            metadata=metadata,
        )


def answer_of(content: str, metadata: dict[str, Any]) -> Completion | CortexError:
    """One answer of a batch."""
    if "error_name" in metadata:
        return wire.error_from(metadata["error_name"], metadata.get("error_message", ""))
    return Completion.of(content, metadata)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One provider and model that would be tried, and what its answer is likely to take; None where nobody knows.

    `cached_share`: of the prompt, 0 to 1; `likely_ms`: to the last token; `score`: what the strategy ranked by.
    The last ten where outcomes decide or are watched. `outcomes`: so many at least; `penalty`: what cost and time take
    from their mean, with its parts for the price, the time and what the conversation has in another's cache, which is
    `switch_cost_usd`; `greedy`: it is the best as far as is known; `chosen`: the one to ask.
    """

    rank: int = 0
    provider: str = ""
    model: str = ""
    reason: str = ""
    state: str = ""
    worst_case_cost_usd: float = 0.0
    prompt_cost_usd: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_share: float | None = None
    likely_cost_usd: float | None = None
    first_token_ms: float | None = None
    tokens_per_s: float | None = None
    likely_ms: float | None = None
    quality: float | None = None
    score: float | None = None
    outcomes: int | None = None
    outcome_mean: float | None = None
    outcome_sigma: float | None = None
    penalty: float | None = None
    price_penalty: float | None = None
    time_penalty: float | None = None
    switch_penalty: float | None = None
    switch_cost_usd: float | None = None
    greedy: bool | None = None
    chosen: bool | None = None


@dataclass(frozen=True, slots=True)
class Learning:
    """What outcomes decide (`mode` apply) or would (observe): provider/model of who leads without them, of the best as
    far as is known, and of who is to be asked; `why`: a word for whether it explored; `looks_left`: at least so many
    requests may still be used to learn; `judged`: all that there are to choose among, as far as outcomes know them."""

    mode: str = ""
    baseline: str = ""
    greedy: str = ""
    chosen: str = ""
    why: str = ""
    looks_left: int = 0
    judged: tuple[Candidate, ...] = ()

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        return replace(filled(cls, row), judged=tuple(filled(Candidate, item) for item in row.get("judged", ())))


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A provider that would not be tried, and why."""

    provider: str = ""
    model: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a request would do: the first choice and why, the polkit action it needs, all candidates in order
    and the strategy that ranked them. `stands_in_for`: whom the first one replaces; empty where nobody. `learned`: None
    where outcomes are not learned from."""

    task_type: str
    provider: str
    model: str
    reason: str
    action: str
    strategy: str
    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]
    stands_in_for: str
    learned: Learning | None
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        return cls(
            task_type=row.get("task_type", ""),
            provider=row.get("provider", ""),
            model=row.get("model", ""),
            reason=row.get("reason", ""),
            action=row.get("action", ""),
            strategy=row.get("strategy", ""),
            candidates=tuple(filled(Candidate, item) for item in row.get("candidates", ())),
            left_out=tuple(filled(LeftOut, item) for item in row.get("left_out", ())),
            stands_in_for=row.get("stands_in_for", ""),
            learned=Learning.of(row["learned"]) if row.get("learned") else None,
            raw=row,
        )


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A request of this user that waits or is under way.

    `state`: queued, authorizing, running, streaming, or a word of a newer service. `deadline_ms` is what is left.
    `detached`: it outlives its caller. `provider` and `model` are empty while nobody is being asked.
    """

    request_id: str = ""
    task_type: str = ""
    state: str = ""
    age_ms: int = 0
    deadline_ms: int = 0
    detached: bool = False
    provider: str = ""
    model: str = ""
    raw: Row = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class OutcomeInfo:
    """What was said of a request. `source`: user, test, program, judge, auto, or a word of a newer service. `weight`:
    what it counts for in what is learned."""

    source: str = ""
    score: float = 0.0
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A request of this user as the ledger has it. `state`: pending, done, failed, cancelled, lost, or a word of a
    newer service. `provider` and `model`: who answered or failed last; empty where nobody was asked, as for an answer
    from the cache. `started_at`: ISO 8601."""

    request_id: str = ""
    task_type: str = ""
    state: str = ""
    provider: str = ""
    model: str = ""
    started_at: str = ""
    cost_nano_usd: int = 0
    cost_known: bool = True
    outcomes: tuple[OutcomeInfo, ...] = ()
    raw: Row = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, row: Row) -> Self:
        outcomes = [filled(OutcomeInfo, item) for item in row.get("outcomes", ())]
        return filled(cls, {**row, "outcomes": outcomes, "raw": row})


@dataclass(frozen=True, slots=True)
class ReplicaInfo:
    """One of a provider's endpoints. `state`: ok, returning, probing, open, or a word of a newer service.
    `max_in_flight`: 0 for no limit. `share`: of the calls that it would get now, 0 to 1. `endpoint`: host and port, and
    `credential`: the name of its own key where it has one; empty for who may not see them."""

    endpoint: str = ""
    state: str = ""
    local: bool = False
    in_flight: int = 0
    max_in_flight: int = 0
    latency_ms: float = 0.0
    share: float = 0.0
    last_failure: str = ""
    has_key: bool = False
    credential: str = ""
    raw: Row = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ProviderInfo:
    """One provider. `state`: ok, degraded, open, unconfigured, or a word of a newer service. `hint`: how to
    configure it, where it is not. `context_tokens`: by model, where known; `asked_at`: when its server said which
    models it has, ISO 8601, empty where it was not asked. `replicas`: its endpoints, where it has several or a
    limit."""

    name: str = ""
    api: str = ""
    state: str = ""
    configured: bool = False
    has_key: bool = False
    local: bool = False
    default_model: str = ""
    models: tuple[str, ...] = ()
    context_tokens: Mapping[str, int] = field(default_factory=dict)
    asked_at: str = ""
    last_failure: str = ""
    hint: str = ""
    replicas: tuple[ReplicaInfo, ...] = ()
    raw: Row = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, row: Row) -> Self:
        return filled(cls, {**row, "replicas": rows_of(ReplicaInfo, row.get("replicas", ())), "raw": row})


@dataclass(frozen=True, slots=True)
class Properties:
    """The service's properties. Totals are the machine's, as far as it publishes them."""

    version: str
    features: tuple[str, ...]
    task_types: tuple[str, ...]
    providers: tuple[str, ...]
    active_requests: int
    total_requests: int
    total_cost_usd: float

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            version=row.get("Version", ""),
            features=tuple(row.get("Features", ())),
            task_types=tuple(row.get("TaskTypes", ())),
            providers=tuple(row.get("Providers", ())),
            active_requests=row.get("ActiveRequests", 0),
            total_requests=row.get("TotalRequests", 0),
            total_cost_usd=row.get("TotalCostUsd", 0.0),
        )

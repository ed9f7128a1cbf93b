"""What the daemon answered, in the library's words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cortexd.client import Attempt, Completion, Decision
from cortexd.domain.money import to_usd
from cortexd.library.over_bus.asking import Ask
from cortexd.library.types import LLMProvider, LLMResponse, RoutingDecision

_UNKNOWN = float("nan")
Book = Callable[[LLMProvider, int, int | None], None]


@dataclass(frozen=True, slots=True)
class _Cost:
    """Of the attempt that answered: nano-dollars, None where they are not known, and milliseconds."""

    nano: int | None
    latency_ms: int


def answered(completion: Completion, book: Book) -> LLMResponse:
    """The response, once it is booked: the answering attempt's cost, as the library has it in process."""
    provider = provider_named(completion.provider)
    tokens = completion.tokens.input + completion.tokens.output
    cost = _cost(completion)
    book(provider, tokens, cost.nano)
    return LLMResponse(
        content=completion.content,
        provider=provider,
        model=completion.model,
        tokens_used=tokens,
        cost_usd=_UNKNOWN if cost.nano is None else to_usd(cost.nano),
        latency_seconds=cost.latency_ms / 1000,
        raw_response=completion.metadata,
        tool_calls=[
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in completion.tool_calls
        ],
        finish_reason=completion.finish_reason,
        dropped_options=completion.dropped_options,
        reasoning_content=completion.reasoning_content,
    )


def decided(decision: Decision, ask: Ask) -> RoutingDecision:
    """Who would be asked first."""
    first = provider_named(decision.provider)
    if ask.forced:
        return RoutingDecision(first, ask.task_type, RoutingDecision.FORCED_REASON, RoutingDecision.FORCED)
    if decision.stands_in_for:
        return RoutingDecision(first, ask.task_type, decision.reason, RoutingDecision.STANDING_IN)
    reason = f"{ask.task_type} goes to {ask.provider}" if ask.provider else decision.reason
    return RoutingDecision(first, ask.task_type, reason, RoutingDecision.BY_RULE)


def provider_named(name: str) -> LLMProvider:
    """The provider of that name. One that only the daemon's configuration has gets a member of its own, equal to its
    name, which iterating over LLMProvider does not show."""
    if name in LLMProvider.__members__.values():
        return LLMProvider(name)
    member = str.__new__(LLMProvider, name)
    member._name_ = name.upper()
    member._value_ = name
    return member


def _cost(completion: Completion) -> _Cost:
    attempt: Attempt | None = completion.attempts[-1] if completion.attempts else None
    if attempt is None:  # given again from the daemon's cache
        return _Cost(completion.cost_nano_usd if completion.cost_known else None, completion.latency_ms)
    return _Cost(attempt.cost_nano_usd if attempt.cost_known else None, attempt.latency_ms)

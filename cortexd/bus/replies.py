"""The domain's results as the plain values that the interface file describes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from cortexd.accounts.accounts import BudgetView
from cortexd.accounts.holds import HoldView
from cortexd.catalog import Catalog, Said
from cortexd.config import ProviderSettings, how_to_configure
from cortexd.config.settings import ANY_MODEL
from cortexd.connection import Variant, wire
from cortexd.domain.messages import ToolCall, Usage
from cortexd.domain.money import to_usd
from cortexd.domain.outcomes import Outcome
from cortexd.domain.steps import step_of
from cortexd.errors import CortexError
from cortexd.ledger import AttemptRecord, LedgerState, Settled, Stats, StoredRequest, UsageRow
from cortexd.pool import ReplicaView
from cortexd.requests.in_flight import Ticket
from cortexd.requests.results import Completion, Condition, Decision
from cortexd.requests.setup import Setup
from cortexd.routing import Candidate, Forecast, Health, Learning, Standing, State

_USAGE_FIGURES = ("requests", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
_DIGITS = 2  # of what others' outcomes are part of
_ALWAYS_COUNTED = ("claude", "kimi_k2")


def metadata(completion: Completion) -> dict[str, Any]:
    answer = completion.answer
    usage = answer.usage or Usage()
    return {
        "request_id": completion.request_id,
        "task_type": completion.task_type.value,
        "provider": completion.provider,
        "model": completion.model,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cost_usd": to_usd(completion.cost_nano),
        "cost_nano_usd": completion.cost_nano,
        "cost_known": completion.cost_known,
        "latency_ms": completion.latency_ms,
        "time_to_first_token_ms": answer.time_to_first_token_ms,
        "finish_reason": completion.finish_reason,
        "tool_calls": [_tool_call(call) for call in answer.tool_calls],
        "reasoning_content": answer.reasoning or None,
        "attempts": [_attempt(record) for record in completion.attempts],
        "route_reason": completion.route_reason,
        "dropped_options": completion.dropped_options,
        "cache_hit": completion.cache_hit,
        "settled": completion.settled,
        "secrets_found": _counts(completion.secrets_found),
        "outcome_wanted": completion.outcome_wanted or None,
    }


def raw_metadata(completion: Completion, lane: str, lost: Sequence[str]) -> dict[str, Any]:
    """Of an answer in a vendor's own words."""
    return {**metadata(completion), "lane": lane, "lost": tuple(lost)}


def stored(request: StoredRequest, outcomes: Sequence[tuple[str, Outcome]]) -> dict[str, Any]:
    """A request as the ledger has it, with what each source said of it."""
    return {
        "request_id": request.request_id,
        "task_type": request.task_type,
        "state": request.state.value,
        "started_at": request.started_at.isoformat(),
        "provider": request.provider,
        "model": request.model,
        "cost_nano_usd": request.cost_nano,
        "cost_known": request.cost_known,
        "outcomes": [{"source": source, "score": one.score, "weight": one.weight} for source, one in outcomes],
    }


def _counts(found: Mapping[str, int] | None) -> dict[str, Any] | None:
    return None if found is None else dict(found)


def _tool_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "name": call.name, "arguments": call.arguments}


def _attempt(record: AttemptRecord) -> dict[str, Any]:
    failure = {"error": record.error} if record.error else {}
    return {
        "provider": record.provider,
        "model": record.model,
        "outcome": record.outcome,
        "cost_nano_usd": record.cost_nano,
        "cost_known": record.cost_known,
        "latency_ms": record.latency_ms,
        **failure,
    }


def decision(made: Decision) -> dict[str, Any]:
    first, learning = made.plan.candidates[0], made.plan.learning
    standings = {item.target: item.standing for item in learning.judged} if learning else {}
    return {
        "task_type": made.question.task_type.value,
        "provider": first.provider,
        "model": first.model,
        "reason": first.reason,
        "action": made.action,
        "strategy": made.plan.strategy.value,
        "stands_in_for": made.plan.stands_in_for,
        "secrets_found": _counts(made.question.guard.found),
        "candidates": [
            {
                "rank": rank,
                "provider": item.provider,
                "model": item.model,
                "reason": item.reason,
                "score": _score(item),
                "state": item.state.value,
                "last_failure": item.last_failure or None,
                "worst_case_cost_usd": to_usd(item.worst_case_nano),
                "prompt_cost_usd": _usd(item.prompt_estimate_nano),
                **_forecast(item.forecast),
                **_standing(standings.get(item.target)),
            }
            for rank, item in enumerate(made.plan.candidates, 1)
        ],
        "learned": None if learning is None else _learning(learning),
        "left_out": [
            {"provider": item.provider, "model": item.model, "reason": item.reason} for item in made.plan.left_out
        ],
    }


def _forecast(likely: Forecast) -> dict[str, Any]:
    """What an answer is likely to take; what is not known is left out."""
    return {
        "input_tokens": likely.input_tokens,
        "output_tokens": likely.output_tokens,
        "cached_share": likely.cached_share,
        "likely_cost_usd": _usd(likely.cost_nano),
        "first_token_ms": likely.first_token_ms,
        "tokens_per_s": likely.tokens_per_s,
        "likely_ms": likely.ms,
        "quality": likely.quality,
    }


def _score(item: Candidate) -> float | None:
    if item.standing is None:
        return item.score
    known = item.standing.score  # nothing of the mean's other digits, which prompts of other lengths would tell
    return round(round(known.mean, _DIGITS) - known.penalty, 4)


def _learning(made: Learning) -> dict[str, Any]:
    """What outcomes decide, or would; of each one that there is to choose among where it stands."""
    decided = made.decided
    return {
        "mode": decided.mode.value,
        "baseline": str(decided.baseline),
        "greedy": str(decided.greedy),
        "chosen": str(decided.chosen),
        "why": decided.why,
        "looks_left": step_of(made.looks_left),
        "judged": [
            {"provider": item.provider, "model": item.model, "score": _score(item), **_standing(item.standing)}
            for item in made.judged
        ],
    }


def _standing(known: Standing | None) -> dict[str, Any]:
    """What outcomes have shown, in figures that tell nobody another's single report."""
    if known is None:
        return {}
    return {
        "outcomes": step_of(known.score.count),
        "outcome_mean": round(known.score.mean, _DIGITS),
        "outcome_sigma": round(known.score.sigma, _DIGITS),
        "penalty": round(known.score.penalty, 4),
        "price_penalty": round(known.price, 4),
        "time_penalty": round(known.time, 4),
        "switch_penalty": round(known.switch, 4),
        "switch_cost_usd": _usd(known.switch_nano),
        "greedy": known.greedy,
        "chosen": known.chosen,
    }


def _usd(nano: int | None) -> float | None:
    return None if nano is None else to_usd(nano)


def stats(figures: Stats) -> dict[str, Any]:
    """The specification's shape; claude and kimi_k2 are always there."""
    providers: dict[str, Any] = {name: _provider_stats(0, 0, 0) for name in _ALWAYS_COUNTED}
    for name, row in figures.providers.items():
        providers[name] = _provider_stats(row.requests, row.tokens, row.cost_nano)
    return {
        "total_requests": figures.total_requests,
        "total_cost_usd": to_usd(figures.total_cost_nano),
        "total_cost_nano_usd": figures.total_cost_nano,
        "providers": providers,
    }


def condition(now: Condition) -> dict[str, Any]:
    """What everybody may know of how the service is."""
    return {
        "uptime_s": now.uptime_s,
        "queued_requests": now.queued_requests,
        "ledger_writable": now.ledger.writable,
        **_less_than_well(now.ledger),
    }


def _less_than_well(ledger: LedgerState) -> dict[str, Any]:
    """Since when it cannot be written, what this machine keeps until it can be, and which of its fleet's settings it
    lacks; nothing where all is well."""
    found = {
        "ledger_since": ledger.since and int(ledger.since.timestamp()),
        "ledger_waiting": ledger.waiting or None,
        "settings_missing": ledger.settings_missing,
    }
    return {name: value for name, value in found.items() if value is not None}


def _provider_stats(requests: int, tokens: int, cost_nano: int) -> dict[str, Any]:
    return {"requests": requests, "tokens": tokens, "cost_usd": to_usd(cost_nano), "cost_nano_usd": cost_nano}


def cost_details(settled: Settled, subscription: int, sequence: int) -> dict[str, Any]:
    return {
        "subscription": subscription,
        "cost_nano_usd": settled.cost_nano,
        "cost_known": settled.cost_known,
        "seq": sequence,
        "day_usd": to_usd(settled.user_day_nano),
        "month_usd": to_usd(settled.user_month_nano),
        "day_nano_usd": settled.user_day_nano,
        "month_nano_usd": settled.user_month_nano,
    }


def item(answer: Completion | CortexError) -> list[Any]:
    """One answer of a batch, content and metadata."""
    if isinstance(answer, Completion):
        return [wire.string(answer.content), wire.dictionary(metadata(answer))]
    return ["", wire.dictionary({"error_name": wire.error_name(answer), "error_message": wire.error_text(answer)})]


def request(ticket: Ticket) -> dict[str, Any]:
    age_s = time.monotonic() - ticket.began
    return {
        "request_id": ticket.key[1],
        "task_type": ticket.task_type.value,
        "state": ticket.state,
        "age_ms": round(age_s * 1000),
        "deadline_ms": max(0, round((ticket.deadline_s - age_s) * 1000)),
        "detached": ticket.detached,
        "provider": ticket.provider or None,
        "model": ticket.model or None,
    }


def usage(row: UsageRow) -> dict[str, Any]:
    figures = {name: getattr(row, name) for name in _USAGE_FIGURES}
    cost = {"cost_usd": to_usd(row.cost_nano), "cost_nano_usd": row.cost_nano, "cost_known": row.cost_known}
    return {**row.keys, **figures, **cost}


def budget(view: BudgetView) -> dict[str, Any]:
    state, limit = view.state, view.state.limit
    shown = {
        "scope": limit.scope,
        "name": limit.name or None,
        "period": limit.period.value,
        "limit_usd": to_usd(limit.nano),
        "limit_nano_usd": limit.nano,
        "resets_at": view.resets_at.isoformat(timespec="seconds"),
        "severity": view.severity,
        "at_limit": view.at_limit and view.at_limit.value,
        "all_machines": view.all_machines or None,
    }
    figures = {"remaining": state.left_nano}
    if view.figures:
        figures |= {"spent": state.spent_nano, "reserved": state.reserved_nano}
    if limit.step_nano:
        figures["step"] = limit.step_nano
    return shown | _dollars(figures)


def hold(view: HoldView) -> dict[str, Any]:
    """A question of BudgetHeld, as ListHolds gives it."""
    first = view.first
    shown: dict[str, Any] = {
        "hold_id": view.hold_id,
        "scope": view.limit.scope,
        "period": view.limit.period.value,
        "requests": view.requests,
        "until": view.until.isoformat(timespec="seconds"),
        "request_id": first.request_id,
        "task_type": first.task_type,
        "app": first.app or None,
        "provider": first.provider,
        "model": first.model,
    }
    amounts = {"may_cost": view.nano, "limit": view.limit.nano, "left": view.left_nano, "more": view.more_nano}
    return shown | _dollars(amounts)


def _dollars(amounts: Mapping[str, int]) -> dict[str, Any]:
    """Each for showing, and exact."""
    return {
        key: value
        for name, nano in amounts.items()
        for key, value in ((f"{name}_usd", to_usd(nano)), (f"{name}_nano_usd", nano))
    }


def verification(name: str, outcome: Completion | CortexError) -> dict[str, Any]:
    if isinstance(outcome, CortexError):
        return {"ok": False, "provider": name, "error": wire.error_text(outcome)}
    return {
        "ok": True,
        "provider": name,
        "model": outcome.model,
        "latency_ms": outcome.latency_ms,
        "cost_usd": to_usd(outcome.cost_nano),
        "cost_nano_usd": outcome.cost_nano,
    }


def providers(setup: Setup, health: Health, *, endpoints: bool) -> list[dict[str, Any]]:
    """What ListProviders answers: everything but keys; endpoints for who may see them."""
    config, catalog = setup.config, setup.catalog
    return [
        {
            "name": name,
            "api": item.api,
            "state": (health.state(name) if item.configured else State.UNCONFIGURED).value,
            "configured": item.configured,
            "has_key": item.key is not None,
            "local": item.local,
            "default_model": _model(item.model),
            "endpoint": item.base_url if endpoints else None,
            "models": _models(item, catalog),
            "context_tokens": {model.id: model.context_tokens for model in catalog.models_of(name)},
            "asked_at": _when(setup.said.get(name)),
            "last_failure": health.last_failure(name) or None,
            "hint": None if item.configured else how_to_configure(item),
            "replicas": [_replica(view, manager=endpoints) for view in setup.replicas(name)] or None,
        }
        for name, item in config.providers.items()
    ]


def _replica(view: ReplicaView, *, manager: bool) -> dict[str, Any]:
    """`manager`: for who may see how it is configured."""
    return {
        "endpoint": view.address if manager else None,
        "credential": view.credential or None if manager else None,
        "has_key": view.has_key,
        "state": view.state.value,
        "local": view.local,
        "in_flight": view.in_flight,
        "max_in_flight": view.max_in_flight,
        "latency_ms": view.latency_ms,
        "share": view.share,
        "last_failure": view.last_failure or None,
    }


def _models(settings: ProviderSettings, catalog: Catalog) -> tuple[str, ...]:
    known = (model.id for model in catalog.models_of(settings.name))
    return tuple(filter(None, dict.fromkeys([_model(settings.model), *known])))


def _model(own: str) -> str:
    """A provider's own; "" where it has not said yet which it has."""
    return "" if own == ANY_MODEL else own


def _when(said: Said | None) -> str | None:
    return None if said is None else said.at.isoformat(timespec="seconds")


def preferences(wishes: Mapping[str, Any]) -> dict[str, Any]:
    """A user's own wishes; `providers` is a{ss}, for which plain values have no form."""
    shown = {key: tuple(value) if isinstance(value, list) else value for key, value in wishes.items()}
    if named := wishes.get("providers"):
        shown["providers"] = Variant("a{ss}", {wire.string(task): wire.string(name) for task, name in named.items()})
    else:
        shown.pop("providers", None)
    return shown

"""Months of made-up requests in a ledger, and what reports of them must say, added up the slow way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random

from cortexd.domain.apps import APP, APP_VERIFIED
from cortexd.domain.messages import Usage
from cortexd.ledger import AttemptRecord, Ledger, NewRequest, UsageQuery, UsageRow
from tests.unit.test_ledger_parts import CLAUDE, KIMI, attempt, expire_leases, request, settings

NOW = datetime.now().astimezone()
TODAY = NOW.date()
PLACES = (CLAUDE, KIMI, ("claude", "claude-haiku"), ("mirror", CLAUDE[1]), ("mirror", KIMI[1]))
USERS = ((1000, "ann"), (1001, "bob"), (1001, "bert"), (1002, "cem"))
TASKS = ("user_chat", "error_debugging")


@dataclass(frozen=True)
class Past:
    """A settled request. `lost_nano`: what one that was never settled is charged."""

    request: NewRequest
    attempts: tuple[AttemptRecord, ...]
    lost_nano: int = 0

    @property
    def day(self) -> date:
        return self.request.started_at.astimezone().date()

    @property
    def known(self) -> bool:
        return not self.lost_nano and all(made.cost_known for made in self.attempts)


async def live(directory: Path, chance: Random, count: int = 200, days: int = 150) -> tuple[Ledger, list[Past]]:
    """An open ledger with so many requests of the last days; some of them lost, by opening it again."""
    ledger = await Ledger.open(settings(directory))
    history = [_past(chance, days) for _ in range(count)]

    async def settle(past: Past) -> None:
        key = await ledger.reserve(past.request, past.lost_nano or 2**62)
        if not past.lost_nano:
            await ledger.settle(key, "done", past.attempts)

    await asyncio.gather(*(settle(past) for past in history))
    await ledger.close()
    expire_leases(settings(directory).path)
    return await Ledger.open(settings(directory)), history


def _past(chance: Random, days: int) -> Past:
    uid, user = chance.choice(USERS)
    labels = {"job": f"job-{chance.randrange(5)}"} if chance.random() < 0.7 else {}
    started = NOW - timedelta(days=chance.randrange(days), seconds=chance.randrange(86_400))
    if app := ("", "aider", "codex")[started.second % 3]:
        labels |= {APP: app, **({APP_VERIFIED: "script"} if started.minute % 2 else {})}
    made = request(uid, user=user, task_type=chance.choice(TASKS), started_at=started, labels=labels)
    if chance.random() < 0.05:
        return Past(made, (), lost_nano=chance.randrange(1, 9_000))
    return Past(made, tuple(_attempt(chance) for _ in range(chance.choice((0, 1, 1, 1, 2, 3)))))


def _attempt(chance: Random) -> AttemptRecord:
    tokens = [chance.randrange(1000) for _ in range(5)]
    usage = None if chance.random() < 0.1 else Usage(*tokens)
    cost = chance.randrange(2 ** chance.randrange(1, 61))
    return attempt(cost, chance.choice(PLACES), usage=usage, cost_known=chance.random() < 0.95)


def expected(history: Sequence[Past], query: UsageQuery, pruned_before: date = date.min) -> list[UsageRow]:
    """The report of `query`, where requests before a day are kept as daily sums only."""
    groups: dict[tuple[tuple[str, str | int], ...], list[tuple[Past, AttemptRecord | None]]] = {}
    if not query.group_by:
        groups[()] = []
    for past in history:
        named = not query.app or (past.day >= pruned_before and past.request.labels.get(APP) == query.app)
        if named and query.uid in (None, past.request.uid) and query.since <= past.day <= query.until:
            for share in past.attempts or (None,):
                groups.setdefault(_keys(past, share, query, past.day < pruned_before), []).append((past, share))
    return [_row(keys, groups[keys]) for keys in sorted(groups)]


def _keys(
    past: Past, share: AttemptRecord | None, query: UsageQuery, pruned: bool
) -> tuple[tuple[str, str | int], ...]:
    made = past.request
    values: dict[str, tuple[tuple[str, str | int], ...]] = {
        "day": (("day", past.day.isoformat()),),
        "hour": (("hour", past.day.isoformat() if pruned else made.started_at.astimezone().strftime("%Y-%m-%dT%H")),),
        "task_type": (("task_type", made.task_type),),
        "provider": (("provider", share.provider if share else ""),),
        "model": (("model", share.model if share else ""),),
        "app": _app({} if pruned else made.labels),
        "label": (("label", "" if pruned else made.labels.get(query.label, "")),),
        "uid": (("uid", made.uid), ("user", made.user)),
    }
    return tuple(pair for name in query.group_by for pair in values[name])


def _app(labels: Mapping[str, str]) -> tuple[tuple[str, str | int], ...]:
    return ((APP, labels.get(APP, "")), (APP_VERIFIED, APP_VERIFIED in labels))


def _row(keys: tuple[tuple[str, str | int], ...], shares: list[tuple[Past, AttemptRecord | None]]) -> UsageRow:
    tried = [share for _, share in shares if share]
    used = [share.usage for share in tried if share.usage]
    known = [share.cost_known if share else past.known for past, share in shares]
    return UsageRow(
        keys=dict(keys),
        requests=len({past.request.request_id for past, _ in shares}),
        input_tokens=sum(usage.input_tokens for usage in used),
        output_tokens=sum(usage.output_tokens for usage in used),
        cached_tokens=sum(usage.cached_tokens for usage in used),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in used),
        cost_nano=sum(share.cost_nano for share in tried) + sum(past.lost_nano for past, share in shares if not share),
        cost_known=all(known),
    )

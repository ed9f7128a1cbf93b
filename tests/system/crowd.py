"""Crowds of users against budgets: their requests and how those ended, limits set and read."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cortexd.connection import BusError
from cortexd.errors import BudgetExceeded
from tests.system.program import ERROR, MANAGER, USAGE, Json, Program, Reply, dictionary
from tests.system.users import let_through

USERS = ("alice", "bob", "carol")
MAX_TOKENS = 100


@pytest.fixture(scope="module", autouse=True, name="everybody_may_ask")
def everybody_may_ask_fixture(namespace: Path) -> Iterator[None]:
    """Ordinary questions, without a password."""
    with ExitStack() as rules:
        for user in ("bob", "carol"):  # alice's group may anyway
            rules.enter_context(let_through(user))
        yield


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How the requests of a crowd ended."""

    replies: list[Reply]
    errors: Counter[str]
    refusals: list[BudgetExceeded]

    @classmethod
    def of(cls, ended: Sequence[Reply | BaseException]) -> Outcomes:
        replies = [one for one in ended if isinstance(one, Reply)]
        errors = [one for one in ended if isinstance(one, BusError)]
        assert len(replies) + len(errors) == len(ended), ended
        texts = [one.text for one in errors if one.name == f"{ERROR}.BudgetExceeded"]
        names = Counter(one.name.rpartition(".")[2] for one in errors)
        return cls(replies, names, [BudgetExceeded.from_text(text) for text in texts])

    @property
    def cost_nano(self) -> int:
        return sum(reply.cost_nano for reply in self.replies)


def crowd(programs: Sequence[Program], numbers: range) -> list[asyncio.Task[Reply]]:
    """A request per number, all at once, each with an id of its own."""
    return [
        asyncio.create_task(
            programs[number % len(programs)].complete(
                "user_chat", f"crowd {number}", request_id=f"crowd-{number}", max_tokens=MAX_TOKENS
            )
        )
        for number in numbers
    ]


async def ended(tasks: Sequence[asyncio.Task[Reply]]) -> Outcomes:
    async with asyncio.timeout(90):
        return Outcomes.of(await asyncio.gather(*tasks, return_exceptions=True))


async def budgets(program: Program) -> dict[tuple[str, str], Json]:
    """By scope and period."""
    [rows] = await program.call(USAGE, "GetBudget")
    return {(row["scope"], row["period"]): row for row in rows}


async def set_budget(program: Program, **budget: Any) -> None:
    assert await program.call(MANAGER, "SetBudget", "a{sv}", dictionary(budget)) == []


def usd(nano: int) -> str:
    return f"{nano // 10**9}.{nano % 10**9:09}"


async def worst_nano(program: Program) -> int:
    """What one request of a crowd may cost at most."""
    decision = await program.route("user_chat", "crowd 999", max_tokens=MAX_TOKENS)
    worst_usd: float = decision["candidates"][0]["worst_case_cost_usd"]
    return round(worst_usd * 10**9)

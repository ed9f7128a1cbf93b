"""A fleet whose prices, speeds and grades are known: what each strategy makes of the specification's tasks.

Simulated servers over HTTP, the real daemon, its ledger and its forecasts. The figures are printed (pytest -s).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from cortexd.domain.tasks import TaskType
from simulated import Behaviour
from tests.system.program import Json, Program, program_fixture  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401

pytestmark = pytest.mark.slow

_TASKS: Mapping[TaskType, int] = {  # of forty requests
    TaskType.USER_CHAT: 12,
    TaskType.REQUIREMENT_PARSING: 4,
    TaskType.SYSTEM_OPERATION: 6,
    TaskType.ERROR_DEBUGGING: 6,
    TaskType.CODE_GENERATION: 4,
    TaskType.DEPENDENCY_RESOLUTION: 3,
    TaskType.CONFIGURATION: 3,
    TaskType.TOOL_EXECUTION: 2,
}
_TALK = (TaskType.USER_CHAT, TaskType.REQUIREMENT_PARSING)
_PROMPT = "The package manager says that it cannot go on. What went wrong, and how do I fix it? " * 20


@dataclass(frozen=True, slots=True)
class Member:
    """`price`: USD per million tokens, input and output; None: the catalogue's. `talk` and `work`: its grades."""

    model: str
    talk: float
    work: float
    delay_s: float
    output_tokens: int
    price: tuple[str, str] | None = None

    def grade(self, task: TaskType) -> float:
        return self.talk if task in _TALK else self.work


# Grades after the specification: Claude for talk, Kimi for system work; the others are worse, and quicker or cheaper.
FLEET = {
    "claude": Member("claude-sonnet-5-5", 0.92, 0.5, 0.12, 400),
    "kimi_k2": Member("kimi-k2.6", 0.85, 0.66, 0.06, 500),
    "swift": Member("swift-1", 0.6, 0.45, 0.01, 400, ("0.60", "2.40")),
    "cheap": Member("cheap-1", 0.55, 0.4, 0.25, 450, ("0.15", "0.60")),
}
_SLOWEST = "cheap"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of forty requests: USD, milliseconds, and the mean grade of those who answered."""

    usd: float
    p95_ms: float
    mean_ms: float
    quality: float

    def beats(self, other: Outcome) -> bool:
        """No worse in any respect, beyond what times differ by chance, and clearly better in one."""
        no_worse = self.usd <= other.usd and self.quality >= other.quality and self.mean_ms <= other.mean_ms * 1.1
        better = self.usd < other.usd * 0.9 or self.quality > other.quality + 0.02 or self.mean_ms < other.mean_ms * 0.9
        return no_worse and better


def config(shared: Shared) -> str:
    return "".join(_settings(name, member, shared.simulated.url(name)) for name, member in FLEET.items())


def _settings(name: str, member: Member, url: str) -> str:
    grades = ", ".join(f"{task} = {member.grade(task)}" for task in TaskType)
    text = f'[providers.{name}.models."{member.model}"]\nquality = {{ {grades} }}\n'
    if member.price is None:
        return text
    rate = f'{{ input_usd_per_million = "{member.price[0]}", output_usd_per_million = "{member.price[1]}" }}'
    at = f'api = "openai"\nbase_url = "{url}"\nmodel = "{member.model}"\nlocal = true\nrate = {rate}\n'
    return f"[providers.{name}]\n{at}{text}"


def behave(shared: Shared) -> None:
    """An answer of its length, in five pieces over its time."""
    for name, member in FLEET.items():
        shared.simulated.reset(name)
        plain = Behaviour(
            size_bytes=1000,
            output_tokens=member.output_tokens,
            delay_s=member.delay_s / 2,
            chunks=5,
            chunk_delay_s=member.delay_s / 10,
        )
        keyless = replace(plain, keys=("none",), models=(member.model,))
        shared.behave(name, plain if member.price is None else keyless)


async def run(program: Program, **options: str) -> Outcome:
    """The forty requests, one after the other."""
    replies = [
        (task, await program.complete(task.value, _PROMPT, **options))
        for task, count in _TASKS.items()
        for _ in range(count)
    ]
    times = sorted(reply.metadata["latency_ms"] for _, reply in replies)
    grades = [FLEET[reply.metadata["provider"]].grade(task) for task, reply in replies]
    usd = sum(reply.cost_nano for _, reply in replies) / 1e9
    return Outcome(usd, times[-len(times) // 20 - 1], sum(times) / len(times), sum(grades) / len(grades))


def table(outcomes: Mapping[str, Outcome]) -> str:
    lines = [f"{'':12}{'USD':>10}{'p95 ms':>10}{'mean ms':>10}{'quality':>10}"]
    lines += [
        f"{name:12}{one.usd:10.4f}{one.p95_ms:10.0f}{one.mean_ms:10.0f}{one.quality:10.3f}"
        for name, one in outcomes.items()
    ]
    return "\n".join(lines)


class TestFleet:
    async def test_each_strategy_is_best_at_its_own(self, shared: Shared, program: Program) -> None:
        """`cost` saves 40 % against Claude alone, `latency` halves the p95 of the slowest, nobody beats `quality` in
        grades, and no other is better than `balanced` in everything. A restart forgets none of it."""
        behave(shared)
        shared.reload(config(shared))
        for name in FLEET:  # nothing is known of anybody before
            for task in _TASKS:
                await program.complete(task.value, _PROMPT, provider=name)
        outcomes = {
            "claude alone": await run(program, provider="claude"),
            "slowest": await run(program, provider=_SLOWEST),
        }
        for strategy in ("table", "cost", "latency", "quality", "balanced"):
            outcomes[strategy] = await run(program, strategy=strategy)
        shown = table(outcomes)
        print(f"\n{shown}")
        assert outcomes["cost"].usd <= 0.6 * outcomes["claude alone"].usd, shown
        assert outcomes["latency"].p95_ms <= 0.5 * outcomes["slowest"].p95_ms, shown
        assert outcomes["quality"].quality == max(one.quality for one in outcomes.values()), shown
        assert not [name for name, one in outcomes.items() if one.beats(outcomes["balanced"])], shown

    async def test_what_was_learnt_survives_a_restart(self, shared: Shared, program: Program) -> None:
        """The route has the same figures again, once the ledger has been read."""
        behave(shared)
        shared.reload(config(shared))
        for name in FLEET:
            for _ in range(3):
                await program.complete("user_chat", _PROMPT, provider=name)
        before = await program.route("user_chat", _PROMPT, strategy="latency")
        shared.daemon.restart()
        after: list[Json] = []
        async with asyncio.timeout(20):
            while after != before["candidates"]:
                after = (await program.route("user_chat", _PROMPT, strategy="latency"))["candidates"]
        figures = {row["provider"]: row for row in before["candidates"]}
        assert set(figures) == set(FLEET)
        assert all(row["likely_ms"] >= FLEET[name].delay_s * 1000 for name, row in figures.items())
        assert figures["kimi_k2"]["first_token_ms"] < figures["kimi_k2"]["likely_ms"]
        assert figures["kimi_k2"]["tokens_per_s"] <= 500 / 0.024 * 1.05  # four pauses after the first piece
        assert before["candidates"][0]["provider"] == "swift"

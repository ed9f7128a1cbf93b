"""Costs to the nano-dollar: the answer's metadata, GetStats, the ledger's file, the providers' own bill, and prices
typed in here from the vendors' lists."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from simulated import Behaviour, Fault
from tests.system.program import USAGE, Program, Reply, program_fixture, refused  # noqa: F401
from tests.system.shared import EVERYBODY, Shared, shared_fixture, shared_of_module_fixture  # noqa: F401

CONFIG = '[daemon]\npreload_sdks = true\n[signals]\npublish_totals = "exact"\n'
TASKS = {"claude": "user_chat", "kimi_k2": "code_generation"}
TOOL = {"name": "look", "description": "looks", "parameters": '{"type": "object"}'}


@dataclass(frozen=True, slots=True)
class Case:
    """Tokens that a provider reports, and what they cost by its price list, in nano-dollars."""

    provider: str
    tokens: dict[str, int]
    nano: int
    model: str | None = None
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def prompt(self) -> int:
        return sum(self.tokens.get(name, 0) for name in ("input_tokens", "cache_read_tokens", "cache_write_tokens"))


def case(provider: str, nano: int, model: str | None = None, **tokens: int) -> Case:
    options = {"provider": provider, **({"model": model} if model else {})}
    return Case(provider, tokens, nano, model, tuple(options.items()))


# A dollar per million tokens is 1,000 nano-dollars per token.
CASES = {
    "sonnet": case("claude", 1_000 * 2_000 + 200 * 10_000, input_tokens=1_000, output_tokens=200),
    "sonnet, cache read": case(
        "claude", 7 * 2_000 + 9_001 * 100 + 3 * 10_000, input_tokens=7, cache_read_tokens=9_001, output_tokens=3
    ),
    "sonnet, cache written": case(
        "claude", 7 * 2_000 + 5_003 * 2_500 + 3 * 10_000, input_tokens=7, cache_write_tokens=5_003, output_tokens=3
    ),
    "sonnet, both": case(
        "claude",
        11 * 2_000 + 101 * 100 + 1_009 * 2_500 + 13 * 10_000,
        input_tokens=11, cache_read_tokens=101, cache_write_tokens=1_009, output_tokens=13,
    ),
    "sonnet, reasoning is part of the output": case(
        "claude", 10 * 2_000 + 500 * 10_000, input_tokens=10, output_tokens=500, reasoning_tokens=450
    ),
    "opus": case(
        "claude", 3 * 4_000 + 7 * 200 + 9 * 5_000 + 11 * 20_000, "claude-opus-5-5",
        input_tokens=3, cache_read_tokens=7, cache_write_tokens=9, output_tokens=11,
    ),
    "haiku, short": case(
        "claude", 3 * 100 + 7 * 10 + 8 * 125 + 11 * 500, "claude-haiku-5-5",
        input_tokens=3, cache_read_tokens=7, cache_write_tokens=8, output_tokens=11,
    ),
    "haiku, at the limit": case(
        "claude", 40_000 * 100 + 50_000 * 10 + 10_000 * 125 + 500, "claude-haiku-5-5",
        input_tokens=40_000, cache_read_tokens=50_000, cache_write_tokens=10_000, output_tokens=1,
    ),
    "haiku, one above": case(
        "claude", 40_001 * 500 + 50_000 * 50 + 10_000 * 625 + 2_500, "claude-haiku-5-5",
        input_tokens=40_001, cache_read_tokens=50_000, cache_write_tokens=10_000, output_tokens=1,
    ),
    "kimi": case("kimi_k2", 1_001 * 950 + 77 * 4_000, input_tokens=1_001, output_tokens=77),
    "kimi, cached tokens are part of the prompt": case(
        "kimi_k2", 13 * 950 + 4_096 * 160 + 77 * 4_000, input_tokens=13, cache_read_tokens=4_096, output_tokens=77
    ),
    "kimi, reasoning": case(
        "kimi_k2", 13 * 950 + 900 * 4_000, input_tokens=13, output_tokens=900, reasoning_tokens=890
    ),
    "kimi code, cached": case(
        "kimi_k2", 13 * 950 + 1_024 * 190 + 5 * 4_000, "kimi-k2.7-code",
        input_tokens=13, cache_read_tokens=1_024, output_tokens=5,
    ),
    "haiku, a few tokens": case(
        "claude", 1 * 100 + 3 * 500, "claude-haiku-5-5", input_tokens=1, output_tokens=3
    ),
    "millions": case("claude", 900_000 * 2_000 + 128_000 * 10_000, input_tokens=900_000, output_tokens=128_000),
}  # fmt: skip


def assert_told_alike(shared: Shared, reply: Reply, expected: Case) -> None:
    """The same figures in the metadata and in the ledger's attempt."""
    metadata, tokens = reply.metadata, expected.tokens
    assert (reply.cost_nano, metadata["cost_known"]) == (expected.nano, True)
    assert metadata["cost_usd"] == expected.nano / 10**9
    [attempt] = shared.books().attempts_of(metadata["request_id"])
    assert (attempt["cost_nano"], attempt["cost_known"]) == (expected.nano, 1)
    figures = (
        expected.prompt,
        tokens["output_tokens"],
        tokens.get("cache_read_tokens", 0),
        tokens.get("reasoning_tokens", 0),
    )
    names = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
    assert tuple(metadata[name] for name in names) == figures
    assert tuple(attempt[name] for name in names) == figures


class TestPrices:
    @pytest.mark.parametrize("name", CASES)
    async def test_one_request(self, shared: Shared, program: Program, name: str) -> None:
        """Both vendors' accounting, every price: what we say is what the list and the provider say."""
        expected = CASES[name]
        shared.behave(expected.provider, Behaviour.from_json(expected.tokens))
        await program.call(USAGE, "ResetStats")
        reply = await program.complete("user_chat", "hello", **dict(expected.options))
        assert_told_alike(shared, reply, expected)
        assert shared.simulated.billed(expected.provider).nano == expected.nano
        stats = await program.stats()
        assert (stats["total_requests"], stats["total_cost_nano_usd"]) == (1, expected.nano)
        used = {"requests": 1, "tokens": expected.prompt + expected.tokens["output_tokens"],
                "cost_nano_usd": expected.nano, "cost_usd": expected.nano / 10**9}  # fmt: skip
        assert stats["providers"][expected.provider] == used

    async def test_nothing_at_all(self, shared: Shared, program: Program) -> None:
        """No answer is made of no tokens: figures of zero are no known cost."""
        for provider in EVERYBODY:
            shared.behave(provider, Behaviour(input_tokens=0, output_tokens=0))
            reply = await program.complete("user_chat", "hello", provider=provider)
            assert (reply.cost_nano > 0, reply.metadata["cost_known"]) == (True, False)

    @pytest.mark.parametrize("name", [name for name, item in CASES.items() if item.provider == "claude"])
    async def test_a_stream_costs_the_same(self, shared: Shared, program: Program, name: str) -> None:
        """Claude's long answers are streamed; their usage comes in two parts."""
        expected = CASES[name]
        shared.behave("claude", Behaviour.from_json(expected.tokens))
        reply = await program.complete("user_chat", "hello", max_tokens=60_000, **dict(expected.options))
        assert shared.simulated.received("claude")[0].json()["stream"] is True
        assert_told_alike(shared, reply, expected)

    async def test_tool_calls(self, shared: Shared, program: Program) -> None:
        """A tool call is output like any other, its result prompt like any other."""
        for provider, (rate_in, rate_out) in {"claude": (2_000, 10_000), "kimi_k2": (950, 4_000)}.items():
            shared.behave(provider, Behaviour(times=1, tool_calls=(("look", '{"path": "/etc"}'),)))
            reply = await program.complete("user_chat", "hello", provider=provider, tools=[TOOL])
            tokens = reply.metadata["input_tokens"], reply.metadata["output_tokens"]
            assert min(tokens) > 0
            assert reply.cost_nano == tokens[0] * rate_in + tokens[1] * rate_out
            assert reply.cost_nano == shared.simulated.billed(provider).nano

    @pytest.mark.parametrize(
        ("rates", "nano"), [(("0.333", "1.5"), 15 * 333 + 7 * 1_500), (("0.0005", "0.001"), 15), (("0", "0"), 0)]
    )
    async def test_the_operators_own_rate(
        self, shared: Shared, program: Program, rates: tuple[str, str], nano: int
    ) -> None:
        """It stands above the catalogue's price, for reads from the cache too. 14.5 nano-dollars are 15."""
        rate = f'rate = {{ input_usd_per_million = "{rates[0]}", output_usd_per_million = "{rates[1]}" }}'
        shared.reload(f"{CONFIG}[providers.claude]\n{rate}\n")
        try:
            shared.behave("claude", Behaviour(input_tokens=10, cache_read_tokens=5, output_tokens=7))
            reply = await program.complete("user_chat", "hello")
        finally:
            shared.reload(CONFIG)
        assert (reply.cost_nano, reply.metadata["cost_known"]) == (nano, True)

    async def test_a_model_without_a_price(self, shared: Shared, program: Program) -> None:
        """Unknown is not nothing: the worst case at the dearest known price is booked, and cost_known is false."""
        shared.behave("kimi_k2", Behaviour(models=("kimi-k9",), input_tokens=10, output_tokens=5))
        reply = await program.complete("user_chat", "hello", provider="kimi_k2", model="kimi-k9", max_tokens=100)
        assert not reply.metadata["cost_known"]
        assert reply.cost_nano >= 5 * 4_000 + 100 * 20_000
        assert (reply.metadata["input_tokens"], reply.metadata["output_tokens"]) == (10, 5)

    async def test_the_model_that_was_asked_for_is_the_one_that_is_paid(self, shared: Shared, program: Program) -> None:
        """Whatever model an answer claims to come from."""
        shared.behave("claude", Behaviour(model="claude-haiku-5-5", input_tokens=10, output_tokens=5))
        reply = await program.complete("user_chat", "hello")
        assert (reply.metadata["model"], reply.cost_nano) == ("claude-haiku-5-5", 10 * 2_000 + 5 * 10_000)

    async def test_more_than_was_reserved(self, shared: Shared, program: Program) -> None:
        """Usage beyond the reservation is booked as it is."""
        shared.behave("claude", Behaviour(input_tokens=10, output_tokens=1_000_000))
        reply = await program.complete("user_chat", "hello", max_tokens=1)
        assert reply.cost_nano == 10 * 2_000 + 1_000_000 * 10_000
        shared.books().assert_balanced()


class TestManyAtOnce:
    async def test_200_mixed(self, shared: Shared, program: Program) -> None:
        """200 requests at once, on both providers, some with a fallback: every sum is the same, whoever adds it up."""
        charged_before = shared.books().charged_nano
        total_before = await program.property("TotalRequests")
        await program.call(USAGE, "ResetStats")
        shared.behave(
            "claude",
            Behaviour(times=60, input_tokens=101, output_tokens=7, cache_read_tokens=3),
            Behaviour(times=20, status=500, delay_s=0.2),
            Behaviour(times=20, input_tokens=1, output_tokens=1, cache_write_tokens=999, delay_s=0.2),
            Behaviour(input_tokens=13, output_tokens=17, reasoning_tokens=11),
        )
        shared.behave(
            "kimi_k2",
            Behaviour(times=50, input_tokens=11, cache_read_tokens=1_003, output_tokens=5),
            Behaviour(input_tokens=7, output_tokens=3, delay_s=0.1),
        )
        tasks = ("user_chat", "code_generation", "requirement_parsing", "error_debugging")
        # half of them at a time: the bus lets one connection have 128 calls under way
        replies: list[Reply] = []
        for _ in range(2):
            batch = (program.complete(tasks[number % 4], f"hello {number}") for number in range(100))
            replies += await asyncio.gather(*batch)
        costs = sum(reply.cost_nano for reply in replies)
        books = shared.books()
        books.assert_balanced()
        assert costs == shared.billed_nano() == books.charged_nano - charged_before
        stats = await program.stats()
        assert (stats["total_requests"], stats["total_cost_nano_usd"]) == (200, costs)
        for name in EVERYBODY:
            figures = stats["providers"][name]
            bill = shared.simulated.billed(name)
            assert (figures["cost_nano_usd"], figures["tokens"]) == (bill.nano, bill.tokens.prompt + bill.tokens.output)
        failed = [row for reply in replies for row in reply.metadata["attempts"] if row["outcome"] == "server_error"]
        assert len(failed) == 20
        assert {row["cost_nano_usd"] for row in failed} == {0}
        assert await program.property("TotalRequests") == total_before + 200
        assert round(await program.property("TotalCostUsd") * 10**9) == books.charged_nano

    async def test_failures_beside_answers(self, shared: Shared, program: Program) -> None:
        """Where a provider may have billed what it did not deliver, we have booked at least as much."""
        charged_before = shared.books().charged_nano
        for name in EVERYBODY:
            shared.behave(
                name,
                Behaviour(times=5, fault=Fault.MALFORMED_JSON),
                Behaviour(times=5, status=529),
                Behaviour(times=5, fault=Fault.RESET_MID_BODY),
            )
        done = await asyncio.gather(
            *(program.complete(TASKS[EVERYBODY[number % 2]], "hello") for number in range(40)), return_exceptions=True
        )
        books = shared.books()
        books.assert_balanced()
        booked = books.charged_nano - charged_before
        billed = [
            bill(name).nano
            for name in EVERYBODY
            for bill in (shared.simulated.billed, shared.simulated.billed_undelivered)
        ]
        assert booked >= sum(billed)
        answered = [reply for reply in done if isinstance(reply, Reply)]
        assert answered
        known = sum(
            row["cost_nano_usd"] for reply in answered for row in reply.metadata["attempts"] if row["cost_known"]
        )
        assert known == shared.billed_nano()


class TestStats:
    async def test_reset(self, shared: Shared, program: Program) -> None:
        """ResetStats starts the counters again; the ledger and the machine's totals keep everything."""
        await program.complete("user_chat", "hello")
        kept = len(shared.books().rows), await program.property("TotalCostUsd")
        await program.call(USAGE, "ResetStats")
        stats = await program.stats()
        nothing = {"requests": 0, "tokens": 0, "cost_usd": 0.0, "cost_nano_usd": 0}
        assert stats == {
            "total_requests": 0,
            "total_cost_usd": 0.0,
            "total_cost_nano_usd": 0,
            "providers": {"claude": nothing, "kimi_k2": nothing},
        }
        assert kept == (len(shared.books().rows), await program.property("TotalCostUsd"))

    async def test_failed_requests_are_counted(self, shared: Shared, program: Program) -> None:
        """A request that nobody answered is one request, and one of each provider that was asked."""
        await program.call(USAGE, "ResetStats")
        for name in EVERYBODY:
            shared.behave(name, Behaviour(status=500))
        with refused("NoProviderAvailable"):
            await program.complete("user_chat", "hello")
        stats = await program.stats()
        assert (stats["total_requests"], stats["total_cost_nano_usd"]) == (1, 0)
        assert [stats["providers"][name]["requests"] for name in EVERYBODY] == [1, 1]

    async def test_they_outlive_a_restart(self, shared: Shared, program: Program) -> None:
        """Counters and totals come from the ledger."""
        await program.complete("user_chat", "hello")
        before = await program.stats(), await program.property("TotalRequests"), await program.property("TotalCostUsd")
        shared.daemon.restart()
        after = await program.stats(), await program.property("TotalRequests"), await program.property("TotalCostUsd")
        assert before == after

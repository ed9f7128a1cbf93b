"""Requests that cost nothing: as many as an honest batch has, and then so many a minute."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cortexd.connection import BusError
from cortexd.errors import RateLimited
from simulated import Behaviour, ControlClient
from tests.system.books import read_books
from tests.system.crowd import everybody_may_ask_fixture  # noqa: F401
from tests.system.daemon import SIMULATED_KEYS, Daemon
from tests.system.namespace import PYTHON
from tests.system.people import Completed
from tests.system.program import ERROR, NAME, Program, dictionary, messages, refused
from tests.system.users import programs_of

MakeDaemon = Callable[..., Daemon]
AsUser = Callable[..., Completed]
AT_ONCE = 300  # ten minutes' worth, and one more every two seconds
KEYS = {**SIMULATED_KEYS, "mine": "sk-sim-mine-of-the-tests"}


def with_free(daemon: MakeDaemon, simulated: ControlClient, more: str = "") -> Daemon:
    """Beside the two providers that cost money a free endpoint of the machine's own."""
    mine = f'api = "openai"\nbase_url = "{simulated.url("kimi_k2")}"\nmodel = "kimi-k2.6"\nlocal = true\n'
    limits = f"max_free_requests_per_minute_per_user = {AT_ONCE // 10}\n"
    config = f"[daemon]\npreload_sdks = true\n[limits]\n{limits}[providers.mine]\n{mine}{more}"
    return daemon(config, keys=KEYS)


async def batch(program: Program, count: int) -> list[str | None]:
    """The error of each item, None for an answer."""
    requests = [["user_chat", messages(f"item {number}")] for number in range(count)]
    options = dictionary({"provider": "mine", "parallel": 32})
    [answers] = await program.call(NAME, "CompleteBatch", "a(saa{sv})a{sv}", requests, options)
    return [metadata.get("error_name") for _, metadata in answers]


async def errors_of(program: Program, count: int, **options: object) -> set[str]:
    """What so many requests, one after the other, end in."""
    names = set()
    for number in range(count):
        try:
            await program.complete("user_chat", f"question {number}", **options)
        except BusError as error:
            names.add(error.name.removeprefix(f"{ERROR}."))
    return names


class TestFreeRequests:
    async def test_a_loop_is_refused_without_a_row(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """After so many free answers bob is refused at the door, for anything; alice is not, and nothing is written."""
        running = with_free(daemon, simulated)
        async with programs_of("bob", "alice") as (bob, alice):
            assert await batch(bob, AT_ONCE) == [None] * AT_ONCE
            for prompt in ("free", "or not"):
                with refused("RateLimited") as text:
                    for _ in range(20):
                        await bob.complete("user_chat", prompt, provider="mine" if prompt == "free" else "claude")
                assert 0 < int(RateLimited.from_text(text[0]).details["retry_after_ms"]) <= 2_000
            rows = len(read_books(running.ledger_file).rows)
            asked = simulated.counts("kimi_k2").requests
            assert rows == asked + simulated.counts("claude").requests
            await alice.complete("user_chat", "hello", provider="mine")

    @pytest.mark.parametrize("why", ["by_a_provider", "by_a_budget"])
    async def test_refused_ones_count(self, daemon: MakeDaemon, simulated: ControlClient, why: str) -> None:
        """What a provider refuses, and what a budget has no room for, is no way around it."""
        more = '[budgets.each_user]\nday_usd = "0"\n' if why == "by_a_budget" else ""
        with_free(daemon, simulated, more)
        if not more:
            simulated.behave("claude", Behaviour(status=400))
        async with programs_of("bob") as [bob]:
            options = {"provider": "claude", "fallback": False}
            first = await errors_of(bob, AT_ONCE - 20, **options)
            assert first == {"BudgetExceeded" if more else "ProviderFailed"}
            assert "RateLimited" in await errors_of(bob, 60, **options)

    async def test_paid_ones_do_not(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """Money bounds them already."""
        with_free(daemon, simulated)
        async with programs_of("bob") as [bob]:
            assert await errors_of(bob, AT_ONCE + 20, provider="claude") == set()

    async def test_batches_wait(
        self, daemon: MakeDaemon, simulated: ControlClient, as_user: AsUser, namespace: Path
    ) -> None:
        """What is above in a batch, of the service's own or of cortexctl's, waits for the hint and is answered."""
        with_free(daemon, simulated)
        async with programs_of("alice") as [alice]:
            assert await batch(alice, AT_ONCE + 2) == [None] * (AT_ONCE + 2)
        lines = [json.dumps({"prompt": f"line {number}", "provider": "mine"}) for number in range(3)]
        file = namespace / "free.jsonl"
        file.write_text("\n".join(lines))
        done = as_user("alice", [PYTHON, "-m", "cortexd.cli", "batch", str(file)], timeout=60)
        assert done.returncode == 0, done.stderr
        assert len([line for line in done.stdout.splitlines() if "content" in json.loads(line)]) == 3

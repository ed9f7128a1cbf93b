"""kill -9 at any moment: what was answered is settled, what was under way is lost at its worst case, nothing twice."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable

import pytest

from cortexd.connection import BusError
from cortexd.errors import AnswerExpired
from simulated import Behaviour, ControlClient
from tests.eventually import assert_eventually, assert_eventually_async
from tests.system.books import Row, read_books
from tests.system.daemon import SIMULATED_KEYS, Daemon, name_owner
from tests.system.program import STANDARD, Program, Reply, refused

MakeDaemon = Callable[..., Daemon]
REQUESTS = 50
LEDGER_UNUSABLE = 74
PROMPT = re.compile(r"crash-\d+-\d+")


def spread(round_number: int, *, failing: bool) -> list[Behaviour]:
    """Answers that come one after the other over half a second; of a `failing` provider every eighth is an error, so
    that the other one is asked too. (One of the two alone: a request must not meet an error at both.)"""
    statuses = [529 if failing and number % 8 == 7 else 200 for number in range(25)]
    delays = [Behaviour(times=1, delay_s=0.02 * number, status=status) for number, status in enumerate(statuses)]
    random.Random(round_number).shuffle(delays)
    return [*delays, Behaviour()]


def upstream(simulated: ControlClient) -> Counter[str]:
    """How often each prompt reached a provider."""
    bodies = [received.body for name in SIMULATED_KEYS for received in simulated.received(name)]
    return Counter(prompt for body in bodies for prompt in PROMPT.findall(body))


async def at_rest(simulated: ControlClient) -> None:
    await assert_eventually_async(
        lambda: not any(simulated.counts(name).active for name in SIMULATED_KEYS), message="the providers at rest"
    )


def ask(program: Program, prompt: str) -> asyncio.Task[Reply]:
    """A request whose id is its prompt; both providers get their share."""
    task_type = "user_chat" if int(prompt[-1]) % 2 else "code_generation"
    return asyncio.create_task(program.complete(task_type, prompt, request_id=prompt))


async def answered(requests: dict[str, asyncio.Task[Reply]]) -> dict[str, int]:
    """Prompt -> cost of those that were answered; the others ended because the service left the bus."""
    outcomes = await asyncio.gather(*requests.values(), return_exceptions=True)
    costs = {}
    for prompt, outcome in zip(requests, outcomes, strict=True):
        if isinstance(outcome, Reply):
            costs[prompt] = outcome.cost_nano
        else:
            assert isinstance(outcome, BusError), outcome
            assert outcome.name.endswith((".NoReply", ".ServiceUnknown")), outcome
    return costs


class Round:
    """Fifty requests, a kill in their middle, a restart, and the questions to the ledger."""

    def __init__(self, number: int, running: Daemon, simulated: ControlClient, program: Program) -> None:
        self.prompts = [f"crash-{number}-{index:02}" for index in range(REQUESTS)]
        self.running, self.simulated, self.program = running, simulated, program
        self.kill_after = random.Random(number).randrange(REQUESTS - 5)  # replies
        for index, name in enumerate(SIMULATED_KEYS):
            simulated.reset(name)
            simulated.behave(name, *spread(number, failing=index == number % len(SIMULATED_KEYS)))

    async def kill(self) -> dict[str, int]:
        """Prompt -> cost of each reply that came before the kill."""
        requests = {prompt: ask(self.program, prompt) for prompt in self.prompts}
        await assert_eventually_async(lambda: upstream(self.simulated), 20, "a request to reach a provider")
        await assert_eventually_async(lambda: sum(task.done() for task in requests.values()) >= self.kill_after, 20)
        self.running.kill()
        replies = await answered(requests)
        await at_rest(self.simulated)
        return replies

    def check_ledger(self, replies: dict[str, int]) -> dict[str, Row]:
        """The rows of this round, after the restart."""
        books = read_books(self.running.ledger_file)
        books.assert_balanced(after_a_kill=True)
        rows = {row["request_id"]: row for row in books.rows if row["request_id"] in self.prompts}
        assert {row["state"] for row in rows.values()} <= {"done", "failed", "lost"}
        for prompt, cost in replies.items():
            assert (rows[prompt]["state"], rows[prompt]["cost_nano"]) == ("done", cost)
        assert upstream(self.simulated).keys() <= rows.keys(), "a request reached a provider without a row"
        lost = [row for row in rows.values() if row["state"] == "lost"]
        assert all(row["cost_nano"] == row["reserved"] > 0 and not row["cost_known"] for row in lost)
        assert f"{len(lost)} requests of an earlier run were settled as lost" in self.running.log() or not lost
        return rows

    async def repeat(self, rows: dict[str, Row]) -> None:
        """Each prompt again under its id: who has a row is told its cost and pays nothing, the others are answered."""
        for name in SIMULATED_KEYS:
            self.simulated.behave(name, Behaviour())
        before = upstream(self.simulated)
        requests = {prompt: ask(self.program, prompt) for prompt in self.prompts}
        outcomes = await asyncio.gather(*requests.values(), return_exceptions=True)
        for prompt, outcome in zip(requests, outcomes, strict=True):
            if prompt in rows:
                assert isinstance(outcome, BusError), outcome
                assert outcome.name.endswith(".AnswerExpired"), outcome
                assert AnswerExpired.from_text(outcome.text).details == {"cost_nano_usd": rows[prompt]["cost_nano"]}
                assert upstream(self.simulated)[prompt] == before[prompt], "asked upstream a second time"
            else:
                assert isinstance(outcome, Reply), outcome


class TestKill:
    @pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(400)])])
    async def test_in_the_middle_of_50_requests(
        self, daemon: MakeDaemon, simulated: ControlClient, rounds: int
    ) -> None:
        """No answered request is lost, none that reached a provider is unknown, none is asked or paid for twice."""
        running = daemon()
        lost = 0
        async with await Program.open() as program:
            for number in range(rounds):
                this = Round(number, running, simulated, program)
                replies = await this.kill()
                running.start()
                rows = this.check_ledger(replies)
                lost += sum(row["state"] == "lost" for row in rows.values())
                await this.repeat(rows)
            assert lost > 0, "no kill hit a request under way"
            books, stats = read_books(running.ledger_file), await program.stats()
            assert stats["total_cost_nano_usd"] == books.charged_nano
            assert await program.property("TotalRequests") == stats["total_requests"] == len(books.rows)

    async def test_while_it_recovers(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """Killed again and again as soon as it holds the ledger, it settles each lost request once in the end."""
        running = daemon()
        async with await Program.open() as program:
            simulated.behave("claude", Behaviour(delay_s=60))
            requests = {f"crash-0-{index}1": ask(program, f"crash-0-{index}1") for index in range(10)}
            await assert_eventually_async(lambda: len(upstream(simulated)) == 10, 20, "ten requests upstream")
            running.kill()
            assert await answered(requests) == {}
            for _ in range(3):
                running.start(wait=False)
                assert_eventually(lambda: holder(running) == running.pid, message="the lock on the ledger")
                running.kill()
            running.start()
            books = read_books(running.ledger_file)
            assert books.states == ["lost"] * 10
            books.assert_balanced(after_a_kill=True)
            assert await program.property("TotalRequests") == 10

    async def test_rows_of_the_living_are_left_alone(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """A second daemon on the ledger leaves with a clear word, and the first one's request ends as if alone."""
        first = daemon()
        second = daemon(config=f'[ledger]\npath = "{first.ledger_file}"\n', start=False)
        async with await Program.open() as program:
            simulated.behave("claude", Behaviour(times=1, delay_s=2))
            under_way = ask(program, "crash-0-1")
            await assert_eventually_async(lambda: upstream(simulated), 20, "a request to reach a provider")
            second.start(wait=False)
            assert second.await_end() == LEDGER_UNUSABLE
            assert f"another cortexd (pid {first.pid}) holds the ledger {first.ledger_file}" in second.log()
            assert read_books(first.ledger_file).states != ["lost"]
            assert (await under_way).metadata["cost_known"] is True
            assert read_books(first.ledger_file).states == ["done"]
            assert name_owner() == first.pid

    @pytest.mark.slow
    async def test_frees_the_ledger(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """What one daemon left behind when it was killed, another one settles: the lock died with its holder."""
        first = daemon()
        second = daemon(config=f'[ledger]\npath = "{first.ledger_file}"\n', start=False)
        async with await Program.open() as program:
            simulated.behave("claude", Behaviour(delay_s=60))
            under_way = ask(program, "crash-0-1")
            await assert_eventually_async(lambda: upstream(simulated), 20, "a request to reach a provider")
            first.kill()
            assert await answered({"crash-0-1": under_way}) == {}
            second.start()
            assert read_books(first.ledger_file).states == ["lost"]
            with refused("AnswerExpired"):
                await ask(program, "crash-0-1")


class TestCallers:
    async def test_hear_of_it_at_once(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """A caller whose request was under way gets an error from the bus, not silence, and keeps its connection."""
        running = daemon()
        async with await Program.open() as program:
            simulated.behave("claude", Behaviour(delay_s=60))
            under_way = ask(program, "crash-0-1")
            await assert_eventually_async(lambda: upstream(simulated), 20, "a request to reach a provider")
            running.kill()
            with refused(f"{STANDARD}NoReply"):
                await under_way
            with pytest.raises(BusError, match="ServiceUnknown"):
                await program.property("Version")
            running.start()
            assert await program.property("ActiveRequests") == 0


def holder(daemon: Daemon) -> int:
    """The process that wrote itself into the ledger's lock file last."""
    text = daemon.ledger_file.with_name(daemon.ledger_file.name + ".lock").read_text().strip()
    return int(text) if text else 0

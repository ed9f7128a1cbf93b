"""What users who share a budget learn of each other, and what one of them can take from it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cortexd.connection import BusError
from cortexd.domain.money import format_usd
from cortexd.errors import BudgetExceeded
from simulated import Behaviour, ControlClient
from tests.eventually import assert_eventually_async
from tests.system.books import read_books
from tests.system.crowd import budgets, everybody_may_ask_fixture, set_budget, usd  # noqa: F401
from tests.system.daemon import Daemon
from tests.system.program import ERROR, NAME, Program, dictionary, messages
from tests.system.stream import Stream
from tests.system.users import programs_of, uid_of
from tests.system.zones import noon

MakeDaemon = Callable[..., Daemon]
PRELOAD = "[daemon]\npreload_sdks = true\n"
NOON = noon()
CENT = 10**7  # nano-dollars
LIMIT = 30 * CENT
STEP = LIMIT // 50
TOKEN = 10_000  # of Sonnet's output: the finest that a probe can tell


@dataclass(slots=True)
class Attacker:
    """Finds out how much still fits, by asking for more and less; of himself he knows every nano-dollar."""

    program: Program
    spent: int = 0
    probes: int = 0

    async def fits(self, tokens: int) -> bool:
        self.probes += 1
        try:
            reply = await self.program.complete("user_chat", "probe", max_tokens=tokens)
        except BusError as error:
            if error.name != f"{ERROR}.BudgetExceeded":
                raise
            return False
        self.spent += reply.cost_nano
        return True

    async def others_nano(self) -> tuple[int, int]:
        """More than the first, and at most the second, is what others seem to have spent and reserved."""
        decision = await self.program.route("user_chat", "probe", max_tokens=1)
        prompt = round(decision["candidates"][0]["worst_case_cost_usd"] * 10**9) - TOKEN
        low, high = 0, LIMIT // 2
        while high - low > TOKEN:
            tokens = (LIMIT - self.spent - prompt - (low + high) // 2) // TOKEN
            tried = LIMIT - self.spent - prompt - tokens * TOKEN
            low, high = (low, tried) if await self.fits(tokens) else (tried, high)
        return low, high


@asynccontextmanager
async def two(daemon: MakeDaemon, config: str = "") -> AsyncIterator[tuple[Daemon, Program, Attacker]]:
    """A daemon with 30 cents a day for everybody, alice, and bob who would like to know what she does."""
    running = daemon(f'{PRELOAD}[budgets]\n{config}\n[budgets.machine]\nday_usd = "{usd(LIMIT)}"\n', environment=NOON)
    async with programs_of("alice", "bob") as (alice, bob):
        yield running, alice, Attacker(bob)


async def spend(simulated: ControlClient, alice: Program, tokens: int) -> None:
    simulated.behave("claude", Behaviour(input_tokens=5, output_tokens=tokens))
    await alice.complete("user_chat", "hello", max_tokens=max(tokens, 1))
    simulated.behave("claude", Behaviour(input_tokens=5, output_tokens=1))


class TestOracle:
    async def test_probing_tells_a_step_and_no_more(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """Whatever alice has spent within a step, bob finds the same; he is told as much without any probe."""
        async with two(daemon) as (running, alice, bob):
            for tokens in (7_000, 100, 80, 300):  # in the twelfth step, still in it, and in the thirteenth
                await spend(simulated, alice, tokens)
                truth = read_books(running.ledger_file).charged_to(uid_of("alice"))
                low, high = await bob.others_nano()
                rounded = -(-truth // STEP) * STEP
                assert low < rounded <= high
                row = (await budgets(bob.program))["machine", "day"]
                assert row["remaining_nano_usd"] == LIMIT - rounded - bob.spent
                assert row["step_nano_usd"] == STEP
                assert "spent_nano_usd" not in row
            assert bob.probes > 50

    async def test_nor_by_moving_ones_own_spending(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """What bob spends himself is exact and beside the steps, so that it cannot be used to find their edge."""
        async with two(daemon) as (_, alice, bob):
            await spend(simulated, alice, 7_300)
            found = set()
            for tokens in range(10, 600, 80):
                simulated.behave("claude", Behaviour(input_tokens=5, output_tokens=tokens))
                bob.spent += (await bob.program.complete("user_chat", "hello", max_tokens=tokens)).cost_nano
                simulated.behave("claude", Behaviour(input_tokens=5, output_tokens=1))
                found.add(LIMIT - bob.spent - (await budgets(bob.program))["machine", "day"]["remaining_nano_usd"])
            assert found == {13 * STEP}
            low, high = await bob.others_nano()
            assert low < 13 * STEP <= high

    async def test_nor_by_what_answers_instead(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """Which cheaper model still fits, and the reason that is given for it, go by the same steps."""
        async with two(daemon, 'at_limit = "downgrade"') as (_, alice, bob):
            for tokens in (7_000, 100):
                await spend(simulated, alice, tokens)
                reply = await bob.program.complete("user_chat", "hello", max_tokens=25_000)
                assert reply.metadata["model"] == "claude-haiku-5-5"
                left = format_usd(LIMIT - 12 * STEP - bob.spent)
                assert reply.metadata["route_reason"] == f"downgraded: a budget has {left} left"
                bob.spent += reply.cost_nano

    async def test_root_sees_all(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """Who may view all usage sees the exact figures; the steps show beside them."""
        async with two(daemon) as (running, alice, _), programs_of("root") as [root]:
            await spend(simulated, alice, 7_300)
            truth = read_books(running.ledger_file).charged_nano
            row = (await budgets(root))["machine", "day"]
        assert (row["spent_nano_usd"], row["remaining_nano_usd"]) == (truth, LIMIT - truth)
        assert row["step_nano_usd"] == STEP

    async def test_an_operator_may_switch_it_off(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """Without steps the budget is used to its last nano-dollar, and everybody can find out what is left."""
        async with two(daemon, "shared_step = 0") as (running, alice, bob):
            await spend(simulated, alice, 7_301)
            truth = read_books(running.ledger_file).charged_nano
            row = (await budgets(bob.program))["machine", "day"]
            low, high = await bob.others_nano()
        assert row["remaining_nano_usd"] == LIMIT - truth
        assert "step_nano_usd" not in row
        assert low < truth <= high <= low + TOKEN


class TestOwnShare:
    async def test_streams_under_way(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """128 streams that bob opens and does not read hold no more than his share; alice asks on, and then he does."""
        async with two(daemon) as (running, alice, bob):
            simulated.behave("claude", Behaviour(reply="word " * 1000, chunks=1000, chunk_delay_s=0.05))
            streams, refusals = await opened(bob.program, 128)
            held = (await budgets(bob.program))["machine", "day"]
            assert held["remaining_nano_usd"] >= LIMIT - LIMIT // 4
            assert {error.details["cause"] for error in refusals} == {"own_share"}
            assert {error.details["retry_after_ms"] for error in refusals} == {1000}
            assert len(streams) + len(refusals) == 128
            simulated.behave("claude", Behaviour(input_tokens=5, output_tokens=1))
            await alice.complete("user_chat", "hello", max_tokens=10_000)
            for stream in streams:
                stream.close()
            await assert_eventually_async(lambda: "pending" not in read_books(running.ledger_file).states, 20)
            await bob.program.complete("user_chat", "hello", max_tokens=2_000)

    async def test_streams_abandoned(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """Stream after stream that bob closes unread: after his share of unknown costs he is refused for the day, also
        by a daemon that has started anew, while alice asks on."""
        async with two(daemon) as (running, alice, bob):
            await spend(simulated, alice, 1)
            simulated.behave("claude", Behaviour(reply="word " * 1000, chunks=1000, chunk_delay_s=0.05))
            refusals: list[BudgetExceeded] = []
            for _ in range(128):
                streams, refused = await opened(bob.program, 1)
                refusals += refused
                for stream in streams:
                    stream.close()
                await assert_eventually_async(lambda: "pending" not in read_books(running.ledger_file).states, 20)
            books = read_books(running.ledger_file)
            assert {error.details.get("cause") for error in refusals} == {"own_share"}
            assert not [error for error in refusals if "retry_after_ms" in error.details]
            assert books.charged_to(uid_of("bob")) < LIMIT // 2
            running.kill()
            running.start()
            assert [error.details["cause"] for error in (await opened(bob.program, 1))[1]] == ["own_share"]
            simulated.behave("claude", Behaviour(input_tokens=5, output_tokens=1))
            await alice.complete("user_chat", "hello", max_tokens=10_000)

    async def test_a_limit_of_ones_own_is_ones_share(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """Who has a limit of his own may have all of it under way: the operator has said how much it is."""
        async with two(daemon) as (_, _alice, bob), programs_of("root") as [root]:
            simulated.behave("claude", Behaviour(reply="word " * 1000, chunks=1000, chunk_delay_s=0.05))
            await set_budget(root, scope="user", name="bob", day_usd=usd(LIMIT // 2))
            streams, refusals = await opened(bob.program, 20)
            for stream in streams:
                stream.close()
        assert len(streams) == 7  # of two cents each
        assert {error.details.get("cause") for error in refusals} == {None}

    async def test_a_batch_waits_for_its_own(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """More at once than the share holds is no error within a batch: the rest waits until some have ended."""
        async with two(daemon) as (_, _alice, bob):
            simulated.behave("claude", Behaviour(input_tokens=5, output_tokens=1, delay_s=0.2))
            requests = [["user_chat", messages(f"item {number}")] for number in range(12)]
            options = dictionary({"max_tokens": 2_000, "parallel": 12})
            [answers] = await bob.program.call(NAME, "CompleteBatch", "a(saa{sv})a{sv}", requests, options)
        assert [metadata.get("error_name") for _, metadata in answers] == [None] * 12


async def opened(program: Program, count: int) -> tuple[list[Stream], list[BudgetExceeded]]:
    """So many streams of two cents each, as far as they are not refused."""
    streams, refusals = [], []
    for number in range(count):
        try:
            streams.append(await Stream.open(program, "user_chat", f"stream {number}", max_tokens=2_000))
        except BusError as error:
            refusals.append(BudgetExceeded.from_text(error.text))
    return streams, refusals

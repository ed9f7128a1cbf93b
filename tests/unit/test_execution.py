"""A request's life with a real ledger, real SDKs and simulated providers: what it pays, gives back and tells."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cortexd.authority import Action, Caller
from cortexd.authority.same_user import SameUser
from cortexd.bus.pipe import PipeSink, make_pipe
from cortexd.catalog import builtin_catalog
from cortexd.config import Config, builtin_config, with_keys
from cortexd.config.settings import LedgerSettings
from cortexd.errors import AnswerExpired, Cancelled, ProviderFailed, RateLimited, ShuttingDown, Timeout
from cortexd.ledger import Ledger
from cortexd.providers import loading, make_provider
from cortexd.requests.batches import Batches
from cortexd.requests.events import CostEvent
from cortexd.requests.service import Service
from cortexd.requests.setup import Setup
from cortexd.routing import Health
from simulated import Behaviour, Fault, SimulatedProviders
from tests.eventually import assert_eventually_async

KEYS = {"ANTHROPIC_API_KEY": "sk-sim-claude", "MOONSHOT_API_KEY": "sk-sim-kimi"}
HELLO = [{"role": "user", "content": "hello"}]
SONNET_OUTPUT_NANO = 10_000  # a token
SLOW = Behaviour(reply="word " * 400, chunks=400, chunk_delay_s=0.02)


class Bench:
    """One service over a ledger of its own; `events` are the costs that it told."""

    def __init__(self, config: Config, ledger: Ledger, path: Path, simulated: SimulatedProviders) -> None:
        self.config = config
        self.ledger = ledger
        self.path = path
        self.simulated = simulated
        self.events: list[CostEvent] = []
        self.authorizer = SlowAuthorizer()
        catalog = builtin_catalog().with_settings(config.providers)
        self.providers = {
            name: make_provider(item, config.network, max_answer_bytes=config.limits.max_answer_bytes)
            for name, item in config.providers.items()
        }
        self.setup = Setup(config, catalog, self.providers)
        self.health = Health()
        self.service = Service(self.setup, ledger, self.authorizer, self.health, self.events.append)

    def caller(self) -> Caller:
        return Caller(":1.1", os.getuid(), "me")

    def ask(self, **options: Any) -> asyncio.Task[Any]:
        return asyncio.create_task(self.service.complete(self.caller(), "user_chat", HELLO, options))

    async def open(self, stall_s: float = 5.0, **options: Any) -> Reader:
        read_end, write_end = make_pipe()
        sink = PipeSink(write_end, stall_s)
        try:
            request = self.service.decode(self.caller(), "user_chat", HELLO, options)
            feeding = await self.service.stream(request, sink)
        except BaseException:
            sink.close()
            os.close(read_end)
            raise
        return Reader(request.request_id, read_end, feeding)

    def cancel(self, request_id: str) -> None:
        self.service.cancel(self.caller(), request_id)

    def rows(self, query: str = "SELECT * FROM requests ORDER BY id") -> list[sqlite3.Row]:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(query).fetchall()

    async def nothing_is_left(self) -> None:
        """Every place, ticket and reservation was given back."""
        service = self.service
        await assert_eventually_async(lambda: not service.active_requests and not service.requests(self.caller()))
        assert service._admission.active(os.getuid()) == 0
        assert service._admission.queued(os.getuid()) == 0
        assert not [row for row in self.rows() if row["state"] == "pending"]

    async def close(self) -> None:
        await self.service.close(1.0)
        for provider in self.providers.values():
            await provider.aclose()
        await self.ledger.close()


class Reader:
    def __init__(self, request_id: str, descriptor: int, feeding: asyncio.Task[None]) -> None:
        self.request_id = request_id
        self.descriptor = descriptor
        self.feeding = feeding
        self._read = 0
        os.set_blocking(descriptor, False)

    def some(self) -> int:
        """Read what is there; the bytes read so far."""
        with suppress(BlockingIOError):
            self._read += len(os.read(self.descriptor, 65536))
        return self._read

    def close(self) -> None:
        os.close(self.descriptor)


class SlowAuthorizer(SameUser):
    """Takes `delay_s` to say yes, as a person does who looks for his password."""

    delay_s = 0.0

    async def authorize(self, caller: Caller, action: Action, task_types: Any = ()) -> None:
        await asyncio.sleep(self.delay_s)
        await super().authorize(caller, action, task_types)


@pytest.fixture(scope="module", name="upstream")
def upstream_fixture() -> Iterator[SimulatedProviders]:
    with SimulatedProviders() as providers:
        yield providers


def configured(upstream: SimulatedProviders, path: Path) -> Config:
    base = with_keys(builtin_config(), KEYS)
    providers = {
        name: replace(item, base_url=upstream.url(name)) if name in ("claude", "kimi_k2") else item
        for name, item in base.providers.items()
    }
    return replace(
        base,
        providers=providers,
        ledger=LedgerSettings(path=path),
        cache=replace(base.cache, enabled=True),
        limits=replace(base.limits, max_streams_per_user=4),
    )


@pytest.fixture(name="bench")
async def bench_fixture(upstream: SimulatedProviders, tmp_path: Path) -> AsyncIterator[Bench]:
    for name in ("claude", "kimi_k2"):
        upstream.reset(name)
    path = tmp_path / "ledger.sqlite3"
    config = configured(upstream, path)
    made = Bench(config, await Ledger.open(config.ledger), path, upstream)
    yield made
    await made.close()


class TestCancelling:
    async def test_at_the_moment_of_settling_the_answer_is_given(self, bench: Bench) -> None:
        """It is paid for: the caller gets it, the ledger and whoever watches agree."""
        asked = bench.ask(request_id="late")
        ledger, settle = bench.ledger, bench.ledger.settle

        async def settle_late(*arguments: Any, **options: Any) -> Any:
            bench.cancel("late")
            await asyncio.sleep(0.05)
            return await settle(*arguments, **options)

        ledger.settle = settle_late  # type: ignore[method-assign]
        assert (await asked).content.endswith("hello")
        assert [event.state for event in bench.events] == ["done"]
        assert (await bench.ask(request_id="late")).content.endswith("hello")
        await bench.nothing_is_left()

    async def test_twice_while_it_waits_is_once(self, bench: Bench) -> None:
        """The caller is answered, however often and fast it is cancelled."""
        bench.authorizer.delay_s = 5.0
        asked = bench.ask(request_id="twice")
        await assert_eventually_async(lambda: bench.service.requests(bench.caller()))
        bench.cancel("twice")
        bench.cancel("twice")
        with pytest.raises(Cancelled):
            await asked
        await bench.nothing_is_left()

    async def test_again_and_again_while_it_reserves(self, bench: Bench) -> None:
        """No reservation is left behind, wherever the cancellations come."""
        for pause in range(12):
            asked = bench.ask()
            for _ in range(3 + pause):
                await asyncio.sleep(0.0003)
                for ticket in bench.service.requests(bench.caller()):
                    if ticket.task is not None:
                        ticket.task.cancel()
            await asyncio.wait({asked}, timeout=10)
        await bench.nothing_is_left()


class TestUnwritable:
    async def test_the_cost_is_told_once_it_is_booked(self, bench: Bench) -> None:
        """The paid answer comes at once; its cost is told, as late, when the file can be written again."""
        bench.simulated.behave("claude", Behaviour(delay_s=0.3))
        asked = bench.ask()
        await assert_eventually_async(lambda: bench.simulated.counts("claude").active == 1)
        with closing(sqlite3.connect(bench.path, isolation_level=None)) as another:
            another.execute("BEGIN IMMEDIATE")
            completion = await asked
            assert not completion.settled
            assert bench.events == []
        await assert_eventually_async(lambda: bench.events, 10)
        assert [(event.late, event.settled.cost_nano) for event in bench.events] == [(True, completion.cost_nano)]
        await bench.nothing_is_left()


class TestShutDown:
    async def test_those_left_are_told_why(self, bench: Bench) -> None:
        """Not that somebody cancelled them; the ledger has them as cancelled, at what may be billed."""
        bench.simulated.behave("claude", Behaviour(fault=Fault.HANG))
        asked = bench.ask()
        await assert_eventually_async(lambda: bench.simulated.counts("claude").active == 1)
        assert not await bench.service.close(0.05)
        with pytest.raises(ShuttingDown, match="shut down before the answer came"):
            await asked
        [row] = bench.rows()
        assert (row["state"], row["cost_nano"] > 0) == ("cancelled", True)


class TestDeadline:
    async def test_of_a_cached_request_is_a_timeout(self, bench: Bench) -> None:
        """The word for it is the same with and without the option `cache`."""
        bench.simulated.behave("claude", Behaviour(delay_s=5.0))
        for cache in (False, True):
            with pytest.raises(Timeout):
                await bench.ask(deadline_ms=300, cache=cache)
        assert [row["state"] for row in bench.rows()] == ["failed", "failed"]
        assert [event.state for event in bench.events] == ["failed", "failed"]

    async def test_of_one_that_waits_for_an_equal_one(self, bench: Bench) -> None:
        """Its own deadline binds, not that of the request that makes the answer."""
        bench.simulated.behave("claude", Behaviour(delay_s=1.5))
        making = bench.ask(cache=True)
        await assert_eventually_async(lambda: bench.service.active_requests == 1)
        with pytest.raises(Timeout):
            await bench.ask(cache=True, deadline_ms=200)
        assert (await making).content.endswith("hello")
        await bench.nothing_is_left()

    async def test_past_before_anything_was_sent_costs_nothing(self, bench: Bench) -> None:
        """A person took long to type a password: nobody is asked, nothing is charged."""
        bench.authorizer.delay_s = 0.3
        with pytest.raises(Timeout):
            await bench.ask(deadline_ms=100)
        assert sum(row["cost_nano"] or 0 for row in bench.rows()) == 0
        assert bench.simulated.counts("claude").requests == 0
        await bench.nothing_is_left()


class TestStreams:
    async def test_those_being_opened_count(self, bench: Bench) -> None:
        """Each holds descriptors from the start, also while it waits for polkit or a place."""
        bench.authorizer.delay_s = 0.2
        bench.simulated.behave("claude", SLOW)
        opened = await asyncio.gather(*(bench.open() for _ in range(10)), return_exceptions=True)
        readers = [item for item in opened if isinstance(item, Reader)]
        assert len(readers) == 4
        assert all(isinstance(item, RateLimited) for item in opened if not isinstance(item, Reader))
        for reader in readers:
            reader.close()
        await bench.nothing_is_left()
        bench.authorizer.delay_s = 0.0
        again = await bench.open()
        again.close()
        await bench.nothing_is_left()

    async def test_a_reader_who_reads_nothing_ends_alone(self, bench: Bench) -> None:
        """Who has joined the request waits no longer than for the reader's patience, and has the whole answer."""
        answer = "word " * 200_000
        bench.simulated.behave("claude", Behaviour(reply=answer, chunks=400))
        reader = await bench.open(stall_s=0.2, request_id="joined")
        assert (await bench.ask(request_id="joined")).content == answer
        await asyncio.wait_for(reader.feeding, 10)
        reader.close()
        await bench.nothing_is_left()

    async def test_without_others_its_end_is_the_requests(self, bench: Bench) -> None:
        """A reader who reads nothing ends a request that nobody else waits for, chosen id or not."""
        bench.simulated.behave("claude", Behaviour(reply="word " * 200_000, chunks=400))
        reader = await bench.open(stall_s=0.2, request_id="alone")
        await asyncio.wait_for(reader.feeding, 10)
        reader.close()
        assert [row["state"] for row in bench.rows()] == ["failed"]
        await bench.nothing_is_left()


class TestReload:
    async def test_in_the_middle_of_a_beginning(self, bench: Bench) -> None:
        """A request is answered by those whom its own configuration knows."""
        service, config = bench.service, bench.config
        limits = service.accounts.limits

        async def limits_during_reload(caller: Caller, app: str = "") -> Any:
            found = await limits(caller, app)
            left = {name: item for name, item in config.providers.items() if name != "claude"}
            routing = replace(config.routing, default_provider="kimi_k2", table={})
            providers = {name: bench.providers[name] for name in left}
            service.adopt(Setup(replace(config, providers=left, routing=routing), service.catalog, providers))
            return found

        service.accounts.limits = limits_during_reload  # type: ignore[method-assign]
        completion = await bench.ask()
        assert completion.content.endswith("hello")
        await bench.nothing_is_left()


class TestLoading:
    async def test_a_cancel_before_the_library_is_loaded_costs_nothing(self, bench: Bench) -> None:
        """As after a cold start: nothing was sent, so nothing is booked."""
        busy = loading.in_background(lambda: time.sleep(0.5))  # the thread that loads libraries has other work first
        asking = bench.ask(request_id="early")
        await assert_eventually_async(lambda: any(ticket.provider for ticket in bench.service.requests(bench.caller())))
        assert not bench.providers["claude"].ready
        bench.cancel("early")
        with pytest.raises(Cancelled):
            await asking
        [row] = bench.rows()
        assert (row["state"], row["cost_nano"], row["cost_known"]) == ("cancelled", 0, 1)
        assert bench.simulated.counts("claude").requests == 0
        busy.result(5)
        await bench.nothing_is_left()

    async def test_it_is_not_the_providers_latency(self, bench: Bench) -> None:
        """Who waits for it learns nothing of how quick the provider is; the next answer tells."""
        busy = loading.in_background(lambda: time.sleep(0.2))
        await bench.ask()
        busy.result(5)
        assert bench.service.observed.timing("claude", "claude-sonnet-5-5", 0, 1).ms is None
        await bench.ask()
        assert bench.service.observed.timing("claude", "claude-sonnet-5-5", 0, 1).ms is not None


class TestBound:
    async def test_after_a_silence_is_the_worst_case(self, bench: Bench) -> None:
        """What a provider has made that did not come is anybody's guess: nobody may call it little."""
        bench.simulated.behave("claude", Behaviour(reply="word " * 100, fault=Fault.HANG_MID_BODY, cut_after=8))
        reader = await bench.open(deadline_ms=2500, max_tokens=1000)
        await assert_eventually_async(reader.feeding.done, 10)
        reader.close()
        [row] = bench.rows()
        [reserved] = bench.rows("SELECT nano FROM entries WHERE kind = 'reserve'")
        assert 1000 * SONNET_OUTPUT_NANO <= row["cost_nano"] <= reserved["nano"]

    async def test_while_it_flows_is_what_has_come(self, bench: Bench) -> None:
        """And a little more, at least what the provider billed."""
        bench.simulated.behave("claude", SLOW)
        reader = await bench.open(max_tokens=4000)
        await assert_eventually_async(lambda: reader.some() > 300)
        reader.close()
        await bench.nothing_is_left()
        [row] = bench.rows()
        [reserved] = bench.rows("SELECT nano FROM entries WHERE kind = 'reserve'")
        billed = bench.simulated.billed_undelivered("claude").nano
        assert billed is not None
        assert billed <= row["cost_nano"] < reserved["nano"]

    async def test_of_a_whole_stream_without_usage_is_what_has_come(self, bench: Bench) -> None:
        """Nobody says what it cost, but no tokenizer makes more tokens than bytes."""
        bench.simulated.behave("claude", Behaviour(reply="word " * 100, usage_without=("*",)))
        reader = await bench.open(max_tokens=4000)
        await assert_eventually_async(reader.feeding.done, 10)
        [row] = bench.rows()
        billed = bench.simulated.billed("claude").nano
        assert (row["state"], row["cost_known"]) == ("done", 0)
        assert billed <= row["cost_nano"] < 1000 * SONNET_OUTPUT_NANO

    @pytest.mark.parametrize("end", ["cancelled", "timeout"])
    async def test_of_a_plain_answer_too(self, bench: Bench, end: str) -> None:
        """The endpoint streams it, so that a cancellation or the deadline ends its work, and what had come counts."""
        bench.simulated.behave("claude", SLOW)
        limit = {"deadline_ms": 2500} if end == "timeout" else {}
        asking = bench.ask(request_id="cut", max_tokens=4000, **limit)
        await assert_eventually_async(lambda: bench.simulated.counts("claude").chunks_sent > 60)
        if end == "cancelled":
            bench.cancel("cut")
        with pytest.raises((Cancelled, Timeout)):
            await asking
        await assert_eventually_async(lambda: bench.simulated.counts("claude").client_aborts == 1)
        [row] = bench.rows()
        [reserved] = bench.rows("SELECT nano FROM entries WHERE kind = 'reserve'")
        billed = bench.simulated.billed_undelivered("claude").nano
        assert billed is not None
        assert billed <= row["cost_nano"] < reserved["nano"]
        [cut] = bench.rows("SELECT * FROM attempts")
        assert (cut["outcome"], cut["cost_known"]) == (end, 0)
        assert cut["input_tokens"] > 0

    async def test_of_a_whole_answer_is_the_worst_case(self, bench: Bench) -> None:
        """Who gives no streams makes the answer to its end, also for nobody."""
        bench.simulated.behave("claude", Behaviour(refused_fields=("stream",), reply="word " * 400, delay_s=20.0))
        asking = bench.ask(request_id="cut", max_tokens=1000)
        await assert_eventually_async(lambda: bench.simulated.counts("claude").requests == 2)
        bench.cancel("cut")
        with pytest.raises(Cancelled):
            await asking
        await assert_eventually_async(lambda: bench.simulated.counts("claude").client_aborts == 1)
        [row] = bench.rows()
        [reserved] = bench.rows("SELECT nano FROM entries WHERE kind = 'reserve'")
        assert (row["cost_nano"], row["cost_known"]) == (reserved["nano"], 0)
        assert row["cost_nano"] >= bench.simulated.billed_undelivered("claude").nano

    @pytest.mark.parametrize("whole", [False, True])
    async def test_of_an_empty_answer_is_what_the_provider_counted(self, bench: Bench, whole: bool) -> None:
        """It is a failure, but it was paid for, and nobody has to guess how much."""
        empty = Behaviour(reply="", input_tokens=40, output_tokens=3, ignores_stream=whole)
        bench.simulated.behave("claude", empty)
        with pytest.raises(ProviderFailed):
            await bench.ask(provider="claude", max_tokens=4000)
        [row] = bench.rows()
        assert (row["cost_nano"], row["cost_known"]) == (bench.simulated.billed("claude").nano, 1)
        [attempt] = bench.rows("SELECT * FROM attempts")
        assert (attempt["outcome"], attempt["input_tokens"], attempt["output_tokens"]) == ("malformed_answer", 40, 3)

    @pytest.mark.parametrize("fault", [None, Fault.EMPTY_BODY])
    async def test_nothing_at_a_free_endpoint(self, bench: Bench, fault: Fault | None) -> None:
        """Cancelled in the middle or unreadable, what costs nothing costs nothing for sure."""
        settings = replace(bench.config.providers["kimi_k2"], local=True)
        setup = bench.setup
        catalog = setup.catalog.with_settings({"kimi_k2": settings})
        bench.service.adopt(replace(setup, catalog=catalog))
        bench.simulated.behave("kimi_k2", replace(SLOW, fault=fault))
        asking = bench.ask(provider="kimi_k2", request_id="free")
        if fault is None:
            await assert_eventually_async(lambda: bench.simulated.counts("kimi_k2").chunks_sent > 20)
            bench.cancel("free")
        with pytest.raises((Cancelled, ProviderFailed)):
            await asking
        assert [(row["cost_nano"], row["cost_known"]) for row in bench.rows()] == [(0, 1)]


class TestKeptAnswers:
    async def test_arguments_of_tools_count(self, bench: Bench) -> None:
        """An answer too large to keep is not kept, whichever way it was said."""
        bench.simulated.behave("claude", Behaviour(tool_calls=(("write", '{"text": "%s"}' % ("x" * 9_000_000)),)))
        assert (await bench.ask(request_id="large")).answer.tool_calls
        with pytest.raises(AnswerExpired):
            await bench.ask(request_id="large")


class TestBatch:
    async def test_cancelled_twice_goes_on_with_the_rest(self, bench: Bench) -> None:
        """One request's Cancel, sent twice at once, is that request's alone."""
        bench.simulated.behave("claude", Behaviour(times=1, delay_s=2.0))
        requests = [("user_chat", HELLO)] * 3
        batch = asyncio.create_task(
            Batches(bench.service).complete(bench.caller(), requests, {"request_id": "b", "parallel": 1})
        )
        await assert_eventually_async(lambda: bench.simulated.counts("claude").requests)
        bench.cancel("b.0")
        bench.cancel("b.0")
        first, *rest = await batch
        assert isinstance(first, Cancelled)
        assert [type(item).__name__ for item in rest] == ["Completion", "Completion"]
        await bench.nothing_is_left()

    async def test_each_begins_with_its_turn(self, bench: Bench) -> None:
        """One that waits for the others counts for the day, and is priced by the hour, in which it is asked."""
        bench.simulated.behave("claude", Behaviour(delay_s=0.2))
        requests = [("user_chat", HELLO)] * 2
        await Batches(bench.service).complete(bench.caller(), requests, {"parallel": 1})
        first, second = bench.rows()
        assert second["started_at"] >= first["finished_at"]


class TestPreferences:
    async def test_what_was_replaced_while_it_was_read_is_not_kept(self, bench: Bench) -> None:
        """A wish for local endpoints only holds from when SetPreferences returns."""
        ledger, read = bench.ledger, bench.ledger.preferences
        accounts, uid = bench.service.accounts, os.getuid()

        async def read_slowly(uid: int) -> Any:
            found = await read(uid)
            await asyncio.sleep(0.1)
            return found

        ledger.preferences = read_slowly  # type: ignore[method-assign]
        reading = asyncio.create_task(accounts.wishes(uid))
        await asyncio.sleep(0.05)
        await accounts.set_preferences(uid, {"local_only": True}, {})
        await reading
        assert (await accounts.wishes(uid)).local_only

"""Several simulated endpoints behind one provider, over real HTTP: where calls go, and what becomes of them when one
fails."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from cortexd.config.replicas import resolved
from cortexd.config.settings import NetworkSettings, ProviderSettings, ReplicaSettings, Secret
from cortexd.domain.messages import Call, Message, Role
from cortexd.errors import Failure, ProviderError
from cortexd.pool import Pool, make_pool
from cortexd.pool.replica_health import ReplicaState
from cortexd.providers import Delta, Listener
from simulated import Behaviour, Fault, SimulatedProviders
from simulated.behaviour import RealServer
from tests.eventually import assert_eventually_async

NAMES = ("one", "two", "three")
DIRECT = NetworkSettings()
LIMIT = 1024 * 1024
KEY = Secret("sk-sim-office-0123456789")
MakePool = Callable[..., Pool]


@pytest.fixture
def endpoints(simulated: SimulatedProviders) -> Iterator[SimulatedProviders]:
    """As new, before and after."""
    for name in NAMES:
        simulated.reset(name)
    yield simulated
    for name in NAMES:
        simulated.reset(name)


@pytest.fixture
async def make(endpoints: SimulatedProviders) -> AsyncIterator[MakePool]:
    """Makes a pool of the named endpoints, each a name or settings; closes all pools at the end."""
    made: list[Pool] = []

    def build(*replicas: str | ReplicaSettings, before: Pool | None = None, **changes: Any) -> Pool:
        items = tuple(ReplicaSettings(endpoints.url(item)) if isinstance(item, str) else item for item in replicas)
        items = tuple(replace(item, key=KEY) for item in items)
        settings = ProviderSettings("office", "openai", "", "llama-9", local=True, replicas=items, key=KEY)
        settings = resolved(replace(settings, **changes))
        made.append(make_pool(settings, DIRECT, max_answer_bytes=LIMIT, before=before))
        return made[-1]

    yield build
    for pool in made:
        await pool.aclose()


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def call(text: str = "hello", **more: Any) -> Call:
    return Call("llama-9", (Message(Role.USER, text),), 20.0, **more)


def requests(endpoints: SimulatedProviders) -> list[int]:
    return [endpoints.counts(name).requests for name in NAMES]


async def all_at_once(pool: Pool, count: int, **more: Any) -> list[Any]:
    asked = [asyncio.create_task(pool.complete(call(f"call {number}", **more))) for number in range(count)]
    return await asyncio.gather(*asked, return_exceptions=True)


class TestChoice:
    async def test_calls_at_once_are_spread(self, make: MakePool, endpoints: SimulatedProviders) -> None:
        """Of thirty at once no endpoint has more than half, and each has some."""
        pool = make(*NAMES)
        for name in NAMES:
            endpoints.behave(name, Behaviour(delay_s=0.2))
        await all_at_once(pool, 30)
        assert sum(requests(endpoints)) == 30
        assert all(3 <= number <= 15 for number in requests(endpoints))

    async def test_weights(self, make: MakePool, endpoints: SimulatedProviders) -> None:
        """One with three times the weight has about three times the calls in flight."""
        pool = make(ReplicaSettings(endpoints.url("one"), weight=3.0), "two")
        for name in NAMES:
            endpoints.behave(name, Behaviour(delay_s=0.3))
        await all_at_once(pool, 40)
        first, second, _ = requests(endpoints)
        assert 24 <= first <= 36
        assert first + second == 40

    async def test_one_affinity_stays(self, make: MakePool, endpoints: SimulatedProviders) -> None:
        """Calls of a session, one after the other, meet at one endpoint; of many sessions each endpoint has some."""
        pool = make(*NAMES)
        for _ in range(6):
            await pool.complete(call(affinity="a session"))
        assert sorted(requests(endpoints)) == [0, 0, 6]
        for number in range(30):
            await pool.complete(call(affinity=f"session {number}"))
        assert all(requests(endpoints))

    async def test_one_affinity_stays_when_another_endpoint_leaves(
        self, make: MakePool, endpoints: SimulatedProviders
    ) -> None:
        """Only the sessions of the one that left go elsewhere."""
        pool = make(*NAMES)
        homes: dict[str, str] = {}
        for number in range(12):
            before = requests(endpoints)
            await pool.complete(call(affinity=f"session {number}"))
            after = requests(endpoints)
            homes[f"session {number}"] = next(n for n, a, b in zip(NAMES, before, after, strict=True) if a != b)
        smaller = make("one", "two", before=pool)
        for session, home in homes.items():
            before = requests(endpoints)
            await smaller.complete(call(affinity=session))
            now = next(n for n, a, b in zip(NAMES, before, requests(endpoints), strict=True) if a != b)
            assert now == home or home == "three"


class TestPrivacy:
    async def test_local_calls_go_to_local_endpoints(self, make: MakePool, endpoints: SimulatedProviders) -> None:
        """However many there are; other calls go anywhere."""
        pool = make(
            ReplicaSettings(endpoints.url("one"), local=True), ReplicaSettings(endpoints.url("two"), local=False)
        )
        settings = pool.replicas[1].settings
        assert not settings.local
        await all_at_once(pool, 20, local_only=True)
        assert requests(endpoints) == [20, 0, 0]

    async def test_none_is_local(self, make: MakePool, endpoints: SimulatedProviders) -> None:
        """A call that must stay local is refused rather than sent elsewhere."""
        pool = make(ReplicaSettings(endpoints.url("one"), local=False))
        with pytest.raises(ProviderError):
            await pool.complete(call(local_only=True, waits=False))
        assert requests(endpoints) == [0, 0, 0]

    async def test_an_endpoint_that_fails_sends_no_local_call_elsewhere(
        self, make: MakePool, endpoints: SimulatedProviders
    ) -> None:
        """The retry keeps to the same rule."""
        pool = make(
            ReplicaSettings(endpoints.url("one"), local=True), ReplicaSettings(endpoints.url("two"), local=False)
        )
        endpoints.behave("one", Behaviour(status=500))
        with pytest.raises(ProviderError):
            await pool.complete(call(local_only=True))
        assert requests(endpoints)[1] == 0


class TestFailure:
    async def test_what_was_never_sent_is_asked_elsewhere(
        self, make: MakePool, endpoints: SimulatedProviders, nobody: str
    ) -> None:
        """A dead endpoint costs nobody an answer, and is left alone then."""
        pool = make("one", ReplicaSettings(nobody))
        answers = await all_at_once(pool, 12)
        assert all(getattr(answer, "content", "") for answer in answers)
        assert requests(endpoints)[0] == 12
        assert pool.view()[1].state is ReplicaState.OPEN

    @pytest.mark.parametrize(
        "fault", [Behaviour(status=429, retry_after="30"), Behaviour(status=503, retry_after="30")], ids=["429", "503"]
    )
    async def test_retry_after_closes_one_endpoint(
        self, make: MakePool, endpoints: SimulatedProviders, fault: Behaviour
    ) -> None:
        """For as long as it said; the calls go to the other one, and nobody hears of it."""
        pool = make("one", "two")
        endpoints.behave("one", fault)
        for _ in range(10):
            await pool.complete(call())
        first, second, _ = requests(endpoints)
        assert (first <= 1, second) == (True, 10)

    async def test_what_may_have_been_billed_is_the_callers_to_ask_again(
        self, make: MakePool, endpoints: SimulatedProviders
    ) -> None:
        """A call that is cut off is raised with the endpoint to avoid: no try that may cost money stays unknown."""
        pool = make("one", "two")
        for name in ("one", "two"):
            endpoints.behave(name, Behaviour(fault=Fault.RESET_MID_BODY, times=1))
        with pytest.raises(ProviderError) as caught:
            await pool.complete(call())
        failed = caught.value
        assert (failed.failure, failed.may_have_billed) == (Failure.CONNECTION, True)
        assert failed.again in {item.id for item in pool.replicas}
        first = requests(endpoints)[:2]
        with pytest.raises(ProviderError):
            await pool.complete(call(avoids=frozenset({failed.again})))
        assert [now - before for now, before in zip(requests(endpoints)[:2], first, strict=True)] == first[::-1]

    async def test_once_a_word_was_heard_the_caller_is_asked(
        self, make: MakePool, endpoints: SimulatedProviders
    ) -> None:
        """A stream that breaks after it began is the caller's to judge: he hears that another could go on."""
        pool = make("one", "two")
        for name in ("one", "two"):
            endpoints.behave(name, Behaviour(fault=Fault.RESET_MID_BODY, cut_after=4, reply="word " * 40))
        heard: list[Delta] = []

        async def hear(deltas: Any) -> None:
            heard.extend(deltas)

        with pytest.raises(ProviderError) as caught:
            await pool.complete(call(), Listener(hear))
        assert heard
        assert caught.value.again in {item.id for item in pool.replicas}
        assert sum(requests(endpoints)) == 1

    async def test_a_refused_request_is_no_endpoints_fault(self, make: MakePool, endpoints: SimulatedProviders) -> None:
        """It goes nowhere else, and marks nobody."""
        pool = make("one", "two")
        for name in ("one", "two"):
            endpoints.behave(name, Behaviour(status=400))
        for _ in range(6):
            with pytest.raises(ProviderError):
                await pool.complete(call())
        assert sum(requests(endpoints)) == 6
        assert {item.state for item in pool.view()} == {ReplicaState.OK}

    async def test_an_outage_of_all_is_not_amplified(self, make: MakePool, endpoints: SimulatedProviders) -> None:
        """Of a hundred calls that all fail the endpoints see few beyond a hundred."""
        pool = make(*NAMES)
        for name in NAMES:
            endpoints.behave(name, Behaviour(status=500))
        failed = await all_at_once(pool, 100)
        assert all(isinstance(item, ProviderError) for item in failed)
        assert sum(requests(endpoints)) <= 100 + 41

    async def test_bad_prompts_close_a_pool_for_nobody(self, make: MakePool, endpoints: SimulatedProviders) -> None:
        """Where every endpoint failed at the same requests, all are asked all the same."""
        pool = make("one", "two")
        for name in ("one", "two"):
            endpoints.behave(name, Behaviour(status=500))
        await all_at_once(pool, 12)
        assert {item.state for item in pool.view()} == {ReplicaState.OPEN}
        for name in ("one", "two"):
            endpoints.reset(name)
            endpoints.behave(name, Behaviour(delay_s=0.3))
        answers = await all_at_once(pool, 12)
        assert all(getattr(answer, "content", "") for answer in answers)
        assert all(number >= 3 for number in requests(endpoints)[:2])

    async def test_local_endpoints_that_all_load_are_waited_for(
        self, make: MakePool, endpoints: SimulatedProviders
    ) -> None:
        """As a single one: a call that comes too early is answered once one of them is ready."""
        pool = make("one", "two")
        loading = Behaviour(server=RealServer.LLAMA_CPP, status=503, error_message="Loading model", times=2)
        for name in ("one", "two"):
            endpoints.behave(name, loading)
        assert (await pool.complete(call())).content

    async def test_one_that_hangs_is_found_by_what_is_usual(
        self, make: MakePool, endpoints: SimulatedProviders
    ) -> None:
        """Calls that wait there for a first word are given up, raised to be asked again, and it gets no more."""
        pool = make("one", "two")
        for _ in range(10):
            await pool.complete(call())
        endpoints.behave("one", Behaviour(fault=Fault.HANG))
        results = await all_at_once(pool, 20)
        moved = [item for item in results if isinstance(item, ProviderError)]
        hanging = next(item for item in pool.replicas if item.id == endpoints.url("one"))
        assert moved
        assert all((item.again, item.may_have_billed) == (hanging.id, True) for item in moved)
        assert hanging.health.last_failure == Failure.TIMEOUT
        await assert_eventually_async(lambda: endpoints.counts("one").active == 0)
        before = requests(endpoints)[0]
        for _ in range(5):
            await pool.complete(call(avoids=frozenset({hanging.id})))
        assert requests(endpoints)[0] == before

    async def test_one_that_returns_is_looked_at_first(self, make: MakePool, endpoints: SimulatedProviders) -> None:
        """Calls bring it back once it answers: by a look that costs nothing, one trial, then a growing share."""
        pool = make("one", "two")
        endpoints.behave("one", Behaviour(status=500))
        lost = pool.replicas[0]
        while lost.health.state(time.monotonic()) is not ReplicaState.OPEN:
            await pool.complete(call())
        endpoints.behave("one", Behaviour(delay_s=0.05))
        before = endpoints.counts("one").answered
        seen: set[ReplicaState] = set()
        async with asyncio.timeout(20):
            while lost.health.state(time.monotonic()) is not ReplicaState.RETURNING:
                await pool.complete(call())
                seen.add(lost.health.state(time.monotonic()))
        assert ReplicaState.OPEN in seen
        assert endpoints.counts("one").answered == before + 1

    async def test_one_that_stays_away_gets_no_request(
        self, make: MakePool, endpoints: SimulatedProviders, nobody: str
    ) -> None:
        """Looked at in vain again and again, it costs no caller a moment."""
        pool = make("one", ReplicaSettings(nobody))
        lost = pool.replicas[1]
        looks: set[float] = set()
        async with asyncio.timeout(20):
            while len(looks) < 3:
                await pool.complete(call())
                looks.add(lost.health.open_until)
        assert pool.view()[1].state is ReplicaState.OPEN


class TestOtherModels:
    """Endpoints that do not all have the same models."""

    @pytest.fixture
    def unlike(self, make: MakePool, endpoints: SimulatedProviders) -> Pool:
        """Two, of which the second alone has llama-9 and the first alone qwen-9."""
        endpoints.behave("one", Behaviour(models=("qwen-9",)))
        endpoints.behave("two", Behaviour(models=("llama-9",)))
        return make("one", "two")

    async def test_one_that_has_the_model_is_asked(self, unlike: Pool, endpoints: SimulatedProviders) -> None:
        """Whoever of the others is asked first: he is asked once, and not taken for ill."""
        for _ in range(20):
            await unlike.complete(call())
            await unlike.complete(replace(call(), model="qwen-9"))
        assert [endpoints.counts(name).answered for name in ("one", "two")] == [20, 20]
        assert all(endpoints.counts(name).requests <= 21 for name in ("one", "two"))
        assert [item.state for item in unlike.view()] == [ReplicaState.OK] * 2
        assert not any(item.last_failure for item in unlike.view())

    async def test_nobody_has_it(self, unlike: Pool, endpoints: SimulatedProviders) -> None:
        """Each is asked once, and the caller told; then one is asked, who may have got it meanwhile."""
        lost = replace(call(), model="gemma-9")
        for expected in (2, 3):
            with pytest.raises(ProviderError) as caught:
                await unlike.complete(lost)
            assert (caught.value.failure, caught.value.status) == (Failure.REFUSED, 404)
            assert sum(requests(endpoints)) == expected
        for name in ("one", "two"):
            endpoints.behave(name, Behaviour())
        await unlike.complete(lost)
        assert [item.state for item in unlike.view()] == [ReplicaState.OK] * 2

    async def test_who_has_it_fails(self, unlike: Pool, endpoints: SimulatedProviders) -> None:
        """Then the others, who said that they have not, are not asked instead."""
        while not unlike.replicas[0].lacks("llama-9"):
            await unlike.complete(call())
        endpoints.behave("two", Behaviour(status=500))
        before = endpoints.counts("one").requests
        with pytest.raises(ProviderError) as caught:
            await unlike.complete(call())
        assert caught.value.failure is Failure.SERVER
        assert endpoints.counts("one").requests == before

    async def test_who_has_it_is_full(self, unlike: Pool, endpoints: SimulatedProviders) -> None:
        """A place elsewhere is none for this model, and a call that waits for one holds up no other model's."""
        while not unlike.replicas[0].lacks("llama-9") or not unlike.replicas[1].lacks("qwen-9"):
            await unlike.complete(call())
            await unlike.complete(replace(call(), model="qwen-9"))
        for item in unlike.replicas:
            item.most = 1
        for name, model in (("one", "qwen-9"), ("two", "llama-9")):
            endpoints.behave(name, Behaviour(fault=Fault.HANG, times=1), Behaviour(models=(model,)))
        stuck = [asyncio.create_task(unlike.complete(replace(call(), model=name))) for name in ("llama-9", "qwen-9")]
        await assert_eventually_async(lambda: all(endpoints.counts(name).active for name in ("one", "two")))
        waiting = [asyncio.create_task(unlike.complete(replace(call(), model=name))) for name in ("llama-9", "qwen-9")]
        await assert_eventually_async(lambda: len(unlike._waiting) == 2)
        stuck[1].cancel()
        await waiting[1]
        assert unlike.full("llama-9")
        assert not unlike.full("qwen-9")
        stuck[0].cancel()
        await waiting[0]


class TestListing:
    """Endpoints that say which models they have, where any will do ("*")."""

    @pytest.fixture
    def unlike(self, make: MakePool, endpoints: SimulatedProviders) -> Pool:
        """Two that share a model, of different contexts, and have one each that the other lacks."""
        endpoints.behave("one", Behaviour(models=("llama-9", "qwen-9"), context_tokens=8192))
        endpoints.behave("two", Behaviour(models=("llama-9", "gemma-9"), context_tokens=4096))
        return make("one", "two", model="*")

    async def test_all_models_are_said(self, unlike: Pool) -> None:
        """Each once, in the order of the endpoints, with the context that fits wherever a call may go."""
        said = await unlike.models()
        assert [(model.id, model.context_tokens) for model in said] == [
            ("llama-9", 4096),
            ("qwen-9", 8192),
            ("gemma-9", 4096),
        ]

    async def test_a_call_goes_where_its_model_is(self, unlike: Pool, endpoints: SimulatedProviders) -> None:
        """Nobody else is asked, not even once; a model of both is answered by either."""
        await unlike.models()
        for _ in range(8):
            await unlike.complete(replace(call(), model="gemma-9"))
        assert requests(endpoints) == [0, 8, 0]
        await asyncio.gather(*(unlike.complete(call(f"call {number}")) for number in range(30)))
        assert all(requests(endpoints)[:2])

    async def test_who_has_it_fails(self, unlike: Pool, endpoints: SimulatedProviders) -> None:
        """Then nobody else is asked for what is not there."""
        await unlike.models()
        endpoints.behave("two", Behaviour(status=500))
        with pytest.raises(ProviderError) as caught:
            await unlike.complete(replace(call(), model="gemma-9"))
        assert caught.value.failure is Failure.SERVER
        assert endpoints.counts("one").requests == 0

    async def test_a_name_of_the_operators(self, make: MakePool, endpoints: SimulatedProviders) -> None:
        """Where he names the model, an endpoint may have it under another name: both are asked."""
        endpoints.behave("one", Behaviour(listing='{"data": [{"id": "llama-9.gguf"}]}'))
        pool = make("one", "two")
        await pool.models()
        await all_at_once(pool, 20)
        assert all(requests(endpoints)[:2])

    async def test_one_that_is_away_is_heard_when_it_is_back(self, unlike: Pool, endpoints: SimulatedProviders) -> None:
        """Until then the others' models are there; whoever listens is told that there are more."""
        told: list[bool] = []
        unlike.on_models = lambda: told.append(True)
        endpoints.behave("one", Behaviour(status=503))
        assert [model.id for model in await unlike.models()] == ["llama-9", "gemma-9"]
        while unlike.replicas[0].health.state(time.monotonic()) is not ReplicaState.OPEN:
            await unlike.complete(call())
        endpoints.behave("one", Behaviour(models=("llama-9", "qwen-9")))
        async with asyncio.timeout(20):
            while not told:
                await unlike.complete(call())
        assert "qwen-9" in [model.id for model in await unlike.models()]

    async def test_nobody_answers(self, unlike: Pool, endpoints: SimulatedProviders) -> None:
        """That is the failure of one of them."""
        for name in ("one", "two"):
            endpoints.behave(name, Behaviour(status=503))
        with pytest.raises(ProviderError) as caught:
            await unlike.models()
        assert caught.value.failure is Failure.OVERLOADED


class TestCapacity:
    async def test_it_says_at_once_that_it_is_full(self, make: MakePool, endpoints: SimulatedProviders) -> None:
        """Whoever has another choice need not wait: nothing is sent, nobody is marked."""
        pool = make("one", max_in_flight=2)
        endpoints.behave("one", Behaviour(fault=Fault.HANG))
        stuck = [asyncio.create_task(pool.complete(call())) for _ in range(2)]
        await assert_eventually_async(lambda: endpoints.counts("one").active == 2)
        assert pool.full() == "2 of 2 places are taken"
        with pytest.raises(ProviderError) as caught:
            await pool.complete(call(waits=False))
        assert (caught.value.failure, caught.value.may_have_billed) == (Failure.FULL, False)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        assert not pool.full()
        assert endpoints.counts("one").requests == 2

    async def test_a_queue_behind_it_is_full_too(self, make: MakePool, endpoints: SimulatedProviders) -> None:
        """Without max_in_flight an endpoint that takes half a second for each first token is full for who would be
        behind four others, and the operator waits for a second at most."""
        pool = make("one", queue_delay_s=1.0)
        endpoints.behave("one", Behaviour(delay_s=0.5))
        for _ in range(3):
            await pool.complete(call())
        endpoints.behave("one", Behaviour(fault=Fault.HANG))
        stuck = [asyncio.create_task(pool.complete(call(f"{n}"))) for n in range(4)]
        await assert_eventually_async(lambda: endpoints.counts("one").active == 4)
        assert "longer than 1 s" in pool.full()
        with pytest.raises(ProviderError) as caught:
            await pool.complete(call(waits=False))
        assert caught.value.failure is Failure.FULL
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        assert not pool.full()

    async def test_who_waits_gets_a_place(self, make: MakePool, endpoints: SimulatedProviders) -> None:
        """Forty calls through places for three: never more at once, all answered."""
        pool = make("one", "two", max_in_flight=None)
        pool.replicas[0].most, pool.replicas[1].most = 1, 2
        for name in ("one", "two"):
            endpoints.behave(name, Behaviour(delay_s=0.01))
        answers = await all_at_once(pool, 40)
        assert all(getattr(answer, "content", "") for answer in answers)
        assert [endpoints.counts(name).max_concurrent for name in ("one", "two")] == [1, 2]

    async def test_the_queue_has_an_end(self, make: MakePool, endpoints: SimulatedProviders) -> None:
        """What comes above max_queued is told so, and costs nothing."""
        pool = make("one", max_in_flight=1, max_queued=2)
        endpoints.behave("one", Behaviour(delay_s=0.2))
        results = await all_at_once(pool, 5)
        refused = [item.failure for item in results if isinstance(item, ProviderError)]
        assert refused == [Failure.FULL, Failure.FULL]

    async def test_who_leaves_the_queue_leaves_his_place(self, make: MakePool, endpoints: SimulatedProviders) -> None:
        """A call that is cancelled while it waits takes nobody's place, and none is lost."""
        pool = make("one", max_in_flight=1)
        endpoints.behave("one", Behaviour(fault=Fault.HANG, times=1), Behaviour())
        first, second, third = [asyncio.create_task(pool.complete(call(f"{n}"))) for n in range(3)]
        await assert_eventually_async(lambda: endpoints.counts("one").active == 1)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        first.cancel()
        assert (await third).content
        assert pool.view()[0].in_flight == 0

    async def test_all_may_leave_at_once(self, make: MakePool, endpoints: SimulatedProviders) -> None:
        """Who is served and who waits, at one stroke: a place that becomes free then is kept for nobody who left."""
        pool = make("one", max_in_flight=1)
        endpoints.behave("one", Behaviour(delay_s=20.0))
        asked = [asyncio.create_task(pool.complete(call(waits=True))) for _ in range(4)]
        await assert_eventually_async(lambda: endpoints.counts("one").active == 1)
        for task in asked:
            task.cancel()
        ended = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(error) for error in ended] == [asyncio.CancelledError] * 4
        assert pool.view()[0].in_flight == 0
        endpoints.reset("one")
        assert (await pool.complete(call())).content.endswith("hello")

    async def test_nothing_is_sent_while_it_waits(self, make: MakePool, endpoints: SimulatedProviders) -> None:
        """Its listener says so, by which nothing is booked where the deadline ends the wait."""
        pool = make("one", max_in_flight=1)
        endpoints.behave("one", Behaviour(fault=Fault.HANG))
        waiting = Listener()
        stuck = [asyncio.create_task(pool.complete(call(), listener)) for listener in (Listener(), waiting)]
        await assert_eventually_async(lambda: endpoints.counts("one").active == 1)
        assert waiting.unsent
        await pool.aclose()
        closed = await asyncio.gather(*stuck, return_exceptions=True)
        assert [type(item) for item in closed] == [ProviderError, ProviderError]


class TestReload:
    async def test_endpoints_that_stay_keep_their_state(self, make: MakePool, endpoints: SimulatedProviders) -> None:
        """Calls in flight, breaker and connections go over to the new pool; who is removed finishes its calls."""
        pool = make("one", "two", max_in_flight=4)
        endpoints.behave("two", Behaviour(status=429, retry_after="60"))
        endpoints.behave("one", Behaviour(delay_s=0.5))
        under_way = [asyncio.create_task(pool.complete(call(f"{n}"))) for n in range(3)]
        await assert_eventually_async(lambda: endpoints.counts("one").active == 3)
        later = make("two", "one", "three", before=pool, max_in_flight=6)
        states = {item.address + item.state: item.in_flight for item in later.view()}
        assert len(states) == 2  # one address, two states
        assert later.replicas[1] is pool.replicas[0]
        assert (later.replicas[1].in_flight, later.replicas[1].most) == (3, 6)
        assert later.replicas[0].health.state(0) is ReplicaState.OPEN
        await pool.aclose()
        assert [bool(answer.content) for answer in await asyncio.gather(*under_way)] == [True] * 3
        assert later.replicas[1].in_flight == 0

    async def test_a_look_that_a_reload_cuts_off_is_made_again(
        self, make: MakePool, endpoints: SimulatedProviders
    ) -> None:
        """Wherever it is cut off: an endpoint that is back must not stay away for good."""
        pool = make("one", "two")
        [down, _] = pool.replicas
        down.health.failed(ProviderError(Failure.CONNECTION, ""), time.monotonic() - 60, 0.0, 1)
        pool._probes.begin(down)
        larger = make("one", "two", "three", before=pool)
        await pool.aclose()
        assert down in larger.replicas
        down.health.open_until = 0.0  # its next pause is over
        larger._probes.begin(down)
        await assert_eventually_async(lambda: down.health.state(time.monotonic()) is ReplicaState.PROBING)

    async def test_what_another_key_reaches_is_another_endpoint(
        self, make: MakePool, endpoints: SimulatedProviders
    ) -> None:
        """Nothing is known of how it will do."""
        pool = make("one")
        assert make("one", before=pool, timeout_s=3.0).replicas[0] is not pool.replicas[0]

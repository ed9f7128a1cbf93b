"""Faults on demand, as a plain HTTP client sees them, and what the simulated providers count meanwhile."""

from __future__ import annotations

import asyncio
import errno
import io
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from simulated import Behaviour, Fault, SimulatedProviders

HEADERS = {
    "claude": {"x-api-key": "sk-sim-claude", "anthropic-version": "2026-10-21"},
    "kimi_k2": {"authorization": "Bearer sk-sim-kimi"},
}
PATHS = {"claude": "/v1/messages", "kimi_k2": "/chat/completions"}
BODIES: dict[str, dict[str, Any]] = {
    "claude": {"model": "claude-sonnet-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]},
    "kimi_k2": {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "hello"}]},
}
BOTH = pytest.mark.parametrize("name", ["claude", "kimi_k2"])
MANY_CHUNKS = 10_000


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as opened:
        yield opened


class Caller:
    """Posts to an instance and gives (status, headers, body)."""

    def __init__(self, simulated: SimulatedProviders, session: aiohttp.ClientSession) -> None:
        self._simulated = simulated
        self._session = session

    def open(self, name: str, **fields: Any) -> Any:
        url = self._simulated.url(name) + PATHS[name]
        return self._session.post(url, json={**BODIES[name], **fields}, headers=HEADERS[name])

    async def __call__(self, name: str, **fields: Any) -> tuple[int, Any, bytes]:
        async with self.open(name, **fields) as response:
            return response.status, response.headers, await response.read()


@pytest.fixture
def call(simulated: SimulatedProviders, session: aiohttp.ClientSession) -> Caller:
    return Caller(simulated, session)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


class TestStatuses:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (401, "authentication_error"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (429, "rate_limit_error"),
            (500, "api_error"),
            (503, "api_error"),
            (529, "overloaded_error"),
        ],
    )
    async def test_anthropic(self, simulated: SimulatedProviders, call: Caller, status: int, kind: str) -> None:
        """Every status comes with Anthropic's error object for it."""
        simulated.behave("claude", Behaviour(status=status))
        got, headers, body = await call("claude")
        answer = json.loads(body)
        assert (got, answer["type"], answer["error"]["type"]) == (status, "error", kind)
        assert answer["request_id"] == headers["request-id"]

    @pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503, 529])
    async def test_openai(self, simulated: SimulatedProviders, call: Caller, status: int) -> None:
        """Every status comes with OpenAI's error object."""
        simulated.behave("kimi_k2", Behaviour(status=status))
        got, _, body = await call("kimi_k2")
        assert (got, set(json.loads(body)["error"])) == (status, {"message", "type", "param", "code"})

    @BOTH
    async def test_retry_after(self, simulated: SimulatedProviders, call: Caller, name: str) -> None:
        """A 429 says Retry-After, any other status where it is asked to."""
        simulated.behave(
            name,
            Behaviour(status=429, times=1),
            Behaviour(status=429, retry_after="Fri, 31 Dec 1999 23:59:59 GMT", times=1),
            Behaviour(status=429, retry_after="", times=1),
            Behaviour(status=503, retry_after="7", times=1),
            Behaviour(status=503, times=1),
        )
        said = [(await call(name))[1].get("retry-after") for _ in range(5)]
        assert said == ["1", "Fri, 31 Dec 1999 23:59:59 GMT", None, "7", None]

    @BOTH
    async def test_failures_are_not_billed(self, simulated: SimulatedProviders, call: Caller, name: str) -> None:
        """An error status costs nothing."""
        simulated.behave(name, Behaviour(status=529))
        await call(name)
        assert simulated.billed(name).requests == simulated.billed_undelivered(name).requests == 0
        assert simulated.counts(name).statuses == {"529": 1}


class TestHowLongABehaviourHolds:
    async def test_times_then_back(self, simulated: SimulatedProviders, call: Caller) -> None:
        """A behaviour with `times` holds for that many requests, then the one that stays is back."""
        simulated.behave("claude", Behaviour(reply="standing"))
        simulated.behave("claude", Behaviour(status=500, times=2), Behaviour(status=429, times=1))
        assert [(await call("claude"))[0] for _ in range(4)] == [500, 500, 429, 200]
        assert b"standing" in (await call("claude"))[2]

    async def test_a_new_list_replaces_the_waiting_one(self, simulated: SimulatedProviders, call: Caller) -> None:
        """Setting behaviours drops those that were still waiting."""
        simulated.behave("claude", Behaviour(status=500, times=5))
        simulated.behave("claude", Behaviour(status=429, times=1))
        assert [(await call("claude"))[0] for _ in range(2)] == [429, 200]

    async def test_instances_are_apart(self, simulated: SimulatedProviders, call: Caller) -> None:
        """What one instance is told does not touch another."""
        simulated.behave("claude", Behaviour(status=500))
        assert [(await call(name))[0] for name in ("claude", "kimi_k2")] == [500, 200]

    async def test_reset_forgets(self, simulated: SimulatedProviders, call: Caller) -> None:
        """After a reset, behaviour, counts, bill and recorded requests are gone."""
        simulated.behave("claude", Behaviour(reply="x"))
        await call("claude")
        simulated.reset("claude")
        assert (simulated.counts("claude").requests, simulated.billed("claude").nano) == (0, 0)
        assert simulated.received("claude") == []
        assert b"You said" in (await call("claude"))[2]


class TestBrokenAnswers:
    @BOTH
    @pytest.mark.parametrize("stream", [False, True])
    async def test_reset(self, simulated: SimulatedProviders, call: Caller, name: str, stream: bool) -> None:
        """The connection is reset before an answer; nothing is billed, and it is not the client that left."""
        simulated.behave(name, Behaviour(fault=Fault.RESET, times=1))
        with pytest.raises(aiohttp.ClientOSError) as caught:
            await call(name, stream=stream)
        assert caught.value.errno == errno.ECONNRESET
        await until(lambda: simulated.counts(name).active == 0)
        assert simulated.billed_undelivered(name).requests == 0
        assert simulated.counts(name).client_aborts == 0

    @BOTH
    @pytest.mark.parametrize("stream", [False, True])
    async def test_reset_mid_body(self, simulated: SimulatedProviders, call: Caller, name: str, stream: bool) -> None:
        """Status and a part of the body arrive, then a reset; the work is billed as undelivered."""
        simulated.behave(name, Behaviour(fault=Fault.RESET_MID_BODY, chunks=10, cut_after=5, times=1))
        async with call.open(name, stream=stream) as response:
            assert response.status == 200
            part = await response.content.readany()
            with pytest.raises((aiohttp.ClientPayloadError, ConnectionResetError)):
                await response.read()
        assert part
        await until(lambda: simulated.billed_undelivered(name).requests == 1)
        assert simulated.billed(name).requests == 0
        assert simulated.counts(name).client_aborts == 0

    @BOTH
    @pytest.mark.parametrize("fault", [Fault.HANG, Fault.HANG_MID_BODY])
    @pytest.mark.parametrize("stream", [False, True])
    async def test_hang(
        self, simulated: SimulatedProviders, call: Caller, name: str, fault: Fault, stream: bool
    ) -> None:
        """The instance waits until the client leaves, notices that, and bills only where work was done."""
        simulated.behave(name, Behaviour(fault=fault))
        asking = asyncio.create_task(call(name, stream=stream))
        await until(lambda: simulated.counts(name).active == 1)
        assert not asking.done()
        asking.cancel()
        await until(lambda: simulated.counts(name).client_aborts == 1)
        assert simulated.counts(name).active == 0
        assert simulated.billed_undelivered(name).requests == (fault is Fault.HANG_MID_BODY)

    @BOTH
    async def test_malformed_json(self, simulated: SimulatedProviders, call: Caller, name: str) -> None:
        """A whole body that is half a JSON text; the work is billed as undelivered."""
        simulated.behave(name, Behaviour(fault=Fault.MALFORMED_JSON))
        status, headers, body = await call(name)
        assert (status, headers["content-type"]) == (200, "application/json")
        with pytest.raises(json.JSONDecodeError):
            json.loads(body)
        assert (simulated.billed(name).requests, simulated.billed_undelivered(name).requests) == (0, 1)

    @BOTH
    async def test_malformed_stream(self, simulated: SimulatedProviders, call: Caller, name: str) -> None:
        """The last event of the stream is cut in the middle, and nothing ends it."""
        simulated.behave(name, Behaviour(fault=Fault.MALFORMED_JSON, chunks=4))
        _, _, body = await call(name, stream=True)
        *good, broken = [line.removeprefix(b"data: ") for line in body.splitlines() if line.startswith(b"data: ")]
        assert [json.loads(event) for event in good]
        with pytest.raises(json.JSONDecodeError):
            json.loads(broken)

    @BOTH
    async def test_an_early_end(self, simulated: SimulatedProviders, call: Caller, name: str) -> None:
        """A stream that ends in good order after a part: every event is whole, the last ones are missing."""
        simulated.behave(name, Behaviour(reply="abcdef", fault=Fault.END_EARLY, chunks=6, cut_after=4))
        _, _, body = await call(name, stream=True)
        assert all(json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: "))
        assert not any(end in body for end in (b"[DONE]", b"message_stop", b'"stop"'))
        assert simulated.billed_undelivered(name).requests == 1

    @BOTH
    @pytest.mark.parametrize("stream", [False, True])
    async def test_empty_body(self, simulated: SimulatedProviders, call: Caller, name: str, stream: bool) -> None:
        """200 with nothing; the work is billed as undelivered."""
        simulated.behave(name, Behaviour(fault=Fault.EMPTY_BODY))
        status, _, body = await call(name, stream=stream)
        assert (status, body) == (200, b"")
        assert simulated.billed_undelivered(name).requests == 1

    @BOTH
    async def test_wrong_content_type(self, simulated: SimulatedProviders, call: Caller, name: str) -> None:
        """200 with a web page."""
        simulated.behave(name, Behaviour(fault=Fault.WRONG_CONTENT_TYPE))
        status, headers, body = await call(name)
        assert (status, headers["content-type"], body[:9]) == (200, "text/html; charset=utf-8", b"<!doctype")

    @BOTH
    async def test_error_on_200(self, simulated: SimulatedProviders, call: Caller, name: str) -> None:
        """200 with the vendor's error object."""
        simulated.behave(name, Behaviour(fault=Fault.ERROR_ON_200, error_message="no luck"))
        status, _, body = await call(name)
        assert (status, json.loads(body)["error"]["message"]) == (200, "no luck")

    async def test_stream_error_anthropic(self, simulated: SimulatedProviders, call: Caller) -> None:
        """A stream turns into an error event after some text, with the error type asked for."""
        simulated.behave("claude", Behaviour(fault=Fault.STREAM_ERROR, chunks=6, cut_after=3))
        _, _, body = await call("claude", stream=True)
        events = [line.removeprefix(b"event: ").decode() for line in body.splitlines() if line.startswith(b"event: ")]
        assert events == [
            "message_start",
            "ping",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "error",
        ]
        assert b"overloaded_error" in body

    async def test_stream_error_openai(self, simulated: SimulatedProviders, call: Caller) -> None:
        """A stream turns into an error object and no [DONE] follows."""
        simulated.behave("kimi_k2", Behaviour(fault=Fault.STREAM_ERROR, error_message="gone"))
        _, _, body = await call("kimi_k2", stream=True)
        *_, last = [line for line in body.splitlines() if line]
        assert json.loads(last.removeprefix(b"data: "))["error"]["message"] == "gone"


class TestLeavingEarly:
    @BOTH
    async def test_slow_then_answered(self, simulated: SimulatedProviders, call: Caller, name: str) -> None:
        """A slow instance answers in the end, and its requests run side by side."""
        simulated.behave(name, Behaviour(delay_s=0.2))
        answers = await asyncio.gather(*(call(name) for _ in range(5)))
        assert [status for status, _, _ in answers] == [200] * 5
        assert simulated.counts(name).max_concurrent == 5

    @BOTH
    async def test_leaving_a_slow_one(self, simulated: SimulatedProviders, call: Caller, name: str) -> None:
        """Who leaves while a plain answer is being made pays for all of it, undelivered."""
        simulated.behave(name, Behaviour(delay_s=60, input_tokens=100, output_tokens=50))
        asking = asyncio.create_task(call(name))
        await until(lambda: simulated.counts(name).active == 1)
        asking.cancel()
        await until(lambda: simulated.counts(name).client_aborts == 1)
        assert simulated.billed_undelivered(name).tokens.output == 50

    @BOTH
    async def test_leaving_a_stream(self, simulated: SimulatedProviders, call: Caller, name: str) -> None:
        """Who leaves a stream is noticed, gets no more, and pays for the input and the part that was made."""
        behaviour = Behaviour(
            chunks=MANY_CHUNKS, chunk_delay_s=0.001, input_tokens=100, output_tokens=MANY_CHUNKS, reply="x" * 20_000
        )
        simulated.behave(name, behaviour)
        async with call.open(name, stream=True) as response:
            await response.content.readany()
            response.close()
        await until(lambda: simulated.counts(name).client_aborts == 1)
        counts, bill = simulated.counts(name), simulated.billed_undelivered(name)
        assert counts.chunks_sent < MANY_CHUNKS
        assert counts.chunks_after_abort <= 1
        assert (bill.requests, bill.tokens.input) == (1, 100)
        assert 0 <= bill.tokens.output <= counts.chunks_sent
        assert simulated.billed(name).requests == 0

    @BOTH
    async def test_leaving_a_large_answer(self, simulated: SimulatedProviders, call: Caller, name: str) -> None:
        """A large plain answer that is not read to its end counts as undelivered, not as billed."""
        simulated.behave(name, Behaviour(size_bytes=40_000_000))
        async with call.open(name) as response:
            await response.content.readany()
            response.close()
        await until(lambda: simulated.billed_undelivered(name).requests == 1)
        assert (simulated.billed(name).requests, simulated.counts(name).answered) == (0, 0)


class TestCounts:
    async def test_open_connections(self, simulated: SimulatedProviders, call: Caller) -> None:
        """Kept-alive connections are counted until the client closes them."""
        simulated.behave("claude", Behaviour(delay_s=0.2))
        await asyncio.gather(*(call("claude") for _ in range(3)))
        assert simulated.counts("claude").open_connections >= 3
        await call._session.close()
        await until(lambda: simulated.counts("claude").open_connections == 0)

    async def test_recorded_requests_are_bounded(self, simulated: SimulatedProviders, call: Caller) -> None:
        """The last 1,000 requests are kept, bodies up to 128 KB."""
        for text in ("x" * 200_000, "small"):
            await call("kimi_k2", messages=[{"role": "user", "content": text}])
        large, small = simulated.received("kimi_k2")
        assert (large.cut, len(large.body)) == (True, 131_072)
        assert small.json()["messages"][0]["content"] == "small"
        assert small.headers["content-type"] == "application/json"
        for _ in range(1_000):
            await call("kimi_k2")
        assert len(simulated.received("kimi_k2", last=2_000)) == 1_000
        assert not any(request.cut for request in simulated.received("kimi_k2"))

    async def test_too_large_a_request(self, simulated: SimulatedProviders, session: aiohttp.ClientSession) -> None:
        """A body over 32 MB gets 413 in the vendor's format."""
        url = simulated.url("claude") + PATHS["claude"]
        large = io.BytesIO(b"x" * 33_600_000)
        async with session.post(url, data=large, headers=HEADERS["claude"]) as response:
            assert response.status == 413
            assert (await response.json())["error"]["type"] == "request_too_large"

    def test_misspelt_behaviour(self, simulated: SimulatedProviders) -> None:
        """An unknown fault or field is refused at once."""
        with pytest.raises(ValueError, match="hangs"):
            Behaviour(fault="hangs")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="unknown behaviour fields: relpy"):
            Behaviour.from_json({"relpy": "x"})

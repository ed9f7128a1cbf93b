"""Every way in which a provider fails, on both vendors: which failure it is, and whether it may have billed."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from cortexd.domain.messages import Answer, Call
from cortexd.errors import Failure, ProviderError
from cortexd.providers import Provider
from cortexd.providers.listening import Listener
from simulated import Behaviour, Fault, SimulatedProviders
from tests.contract.conftest import HostileServer, MakeProvider, call, made_ready
from tests.contract.kinds import each
from tests.eventually import assert_eventually_async


async def failure_of(provider: Provider, request: Call) -> ProviderError:
    """The error that an attempt ends in."""
    with pytest.raises(ProviderError) as failed:
        await provider.complete(request)
    return failed.value


class TestStatus:
    @each
    @pytest.mark.parametrize(
        ("status", "failure"),
        [
            (400, Failure.REFUSED),
            (401, Failure.AUTHENTICATION),
            (403, Failure.AUTHENTICATION),
            (404, Failure.REFUSED),
            (413, Failure.REFUSED),
            (429, Failure.RATE_LIMITED),
            (500, Failure.SERVER),
            (502, Failure.SERVER),
            (503, Failure.OVERLOADED),
            (529, Failure.OVERLOADED),
        ],
    )
    async def test_a_status_is_one_failure(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, status: int, failure: Failure
    ) -> None:
        """An HTTP error status names the failure; nothing was billed, and one request was made, not several; but for a
        look whether the path of the Responses API is there."""
        simulated.behave(name, Behaviour(status=status, retry_after=""))
        error = await failure_of(make(name, simulated.url(name)), call(name))
        assert (error.failure, error.status, error.may_have_billed) == (failure, status, False)
        assert error.message.startswith(f"HTTP {status}, ")
        assert error.retry_after_ms is None
        assert simulated.counts(name).requests == (2 if (name, status) == ("openai", 404) else 1)

    @each
    async def test_a_wrong_key(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """A key that the provider does not know is an authentication failure."""
        simulated.behave(name, Behaviour(keys=("sk-sim-other",)))
        error = await failure_of(make(name, simulated.url(name)), call(name))
        assert (error.failure, error.status) == (Failure.AUTHENTICATION, 401)

    @each
    async def test_when_to_come_back_as_a_date(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str
    ) -> None:
        """An HTTP date counts from now."""
        then = format_datetime(datetime.now(UTC) + timedelta(hours=5), usegmt=True)
        simulated.behave(name, Behaviour(status=429, retry_after="", headers={"retry-after": then}))
        error = await failure_of(make(name, simulated.url(name)), call(name))
        assert error.retry_after_ms is not None
        assert 4 * 3_600_000 < error.retry_after_ms <= 5 * 3_600_000

    @each
    @pytest.mark.parametrize(
        ("headers", "least", "most"),
        [
            ({"retry-after": "7"}, 7_000, 7_000),
            ({"retry-after": "1.5"}, 1_500, 1_500),
            ({"retry-after-ms": "250", "retry-after": "9"}, 250, 250),
            ({"retry-after": "99999999"}, 86_400_000, 86_400_000),
            ({"retry-after": "-5"}, 0, 0),
        ],
    )
    async def test_when_to_come_back(
        self,
        simulated: SimulatedProviders,
        make: MakeProvider,
        name: str,
        headers: dict[str, str],
        least: int,
        most: int,
    ) -> None:
        """Retry-After is understood in seconds, in milliseconds and as a date, and bounded to a day."""
        simulated.behave(name, Behaviour(status=429, retry_after="", headers=headers))
        error = await failure_of(make(name, simulated.url(name)), call(name))
        assert error.retry_after_ms is not None
        assert least <= error.retry_after_ms <= most

    @each
    async def test_a_redirect_is_not_followed(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """A redirect is a failure: a request with a key goes where the configuration says and nowhere else."""
        hostile.json("{}", "307 Temporary Redirect", f"location: {hostile.url(name)}/elsewhere\r\n")
        error = await failure_of(make(name, hostile.url(name)), call(name))
        assert (error.failure, error.status, len(hostile.requests)) == (Failure.REFUSED, 307, 1)

    @each
    @pytest.mark.parametrize(
        ("head", "nothing"),
        [
            (b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", b": keep-alive\n\n"),
            (b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata:", b" \n: wait\n"),
            (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n"),
        ],
        ids=["comments", "comments in an event", "informational responses"],
    )
    async def test_what_says_nothing_is_silence(
        self, hostile: HostileServer, make: MakeProvider, name: str, head: bytes, nothing: bytes
    ) -> None:
        """However much of it comes, timeout_s is the longest wait for something else."""
        provider = await made_ready(make, name, hostile)
        hostile.reply, hostile.pieces = head, (nothing,) * 10_000  # a millisecond each
        error = await failure_of(provider, call(name, timeout_s=0.3))
        assert (error.failure, error.may_have_billed) == (Failure.TIMEOUT, True)
        await assert_eventually_async(lambda: hostile.left == 1)

    @each
    async def test_an_endless_error_page(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """An error with a body of 40 MB is still that error, and its body is not read."""
        hostile.reply = b"HTTP/1.1 500 Oops\r\ncontent-type: text/plain\r\n\r\n"
        hostile.endless = b"x" * 65536
        error = await failure_of(make(name, hostile.url(name)), call(name))
        assert (error.failure, error.status, error.may_have_billed) == (Failure.SERVER, 500, False)
        assert len(error.message) <= 500
        await assert_eventually_async(lambda: hostile.left == 1)
        assert hostile.sent < 20 * 1024 * 1024

    @each
    async def test_a_compressed_error_body(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """A body that claims to be compressed and is not spoils no status."""
        hostile.json(b"not gzip", "503 Busy", "content-encoding: gzip\r\n")
        error = await failure_of(make(name, hostile.url(name)), call(name))
        assert (error.failure, error.status) == (Failure.OVERLOADED, 503)

    @each
    async def test_a_deeply_nested_error_body(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """An error body made to exhaust the JSON parser is still that error."""
        hostile.json("[" * 15_000, "429 Slow down", "retry-after: 3\r\n")
        error = await failure_of(make(name, hostile.url(name)), call(name))
        assert (error.failure, error.retry_after_ms) == (Failure.RATE_LIMITED, 3_000)


class TestFaults:
    @each
    @pytest.mark.parametrize("max_tokens", [100, 64_000])
    @pytest.mark.parametrize(
        ("fault", "failures", "may_have_billed"),
        [
            (Fault.RESET, {Failure.CONNECTION}, True),
            (Fault.RESET_MID_BODY, {Failure.CONNECTION}, True),
            (Fault.MALFORMED_JSON, {Failure.MALFORMED}, True),
            (Fault.EMPTY_BODY, {Failure.MALFORMED}, True),
            (Fault.WRONG_CONTENT_TYPE, {Failure.MALFORMED}, True),
            (Fault.ERROR_ON_200, {Failure.SERVER}, False),
            (Fault.STREAM_ERROR, {Failure.SERVER, Failure.OVERLOADED}, None),
        ],
    )
    async def test_a_fault(
        self,
        simulated: SimulatedProviders,
        make: MakeProvider,
        name: str,
        fault: Fault,
        failures: set[Failure],
        may_have_billed: bool | None,
        max_tokens: int,
    ) -> None:
        """Each fault is the right failure, plain and streamed, and what it may have cost is never understated."""
        simulated.behave(name, Behaviour(fault=fault))
        error = await failure_of(make(name, simulated.url(name)), call(name, max_tokens=max_tokens))
        assert error.failure in failures
        if may_have_billed is not None:
            assert error.may_have_billed is may_have_billed
        assert error.may_have_billed or simulated.billed_undelivered(name).requests == 0

    @each
    @pytest.mark.parametrize("max_tokens", [100, 64_000])
    @pytest.mark.parametrize("fault", [Fault.HANG, Fault.HANG_MID_BODY])
    async def test_a_hang_ends_at_the_deadline(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, fault: Fault, max_tokens: int
    ) -> None:
        """A provider that hangs, before or in its answer, is left at the call's own deadline, and may have billed."""
        provider = make(name, simulated.url(name))
        await provider.complete(call(name))
        simulated.behave(name, Behaviour(fault=fault))
        error = await failure_of(provider, call(name, timeout_s=0.3, max_tokens=max_tokens))
        assert (error.failure, error.may_have_billed) == (Failure.TIMEOUT, True)
        await assert_eventually_async(lambda: simulated.counts(name).open_connections == 0)

    @each
    @pytest.mark.parametrize("fault", [Fault.HANG, Fault.HANG_MID_BODY])
    async def test_cancelling_closes_the_connection(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, fault: Fault
    ) -> None:
        """A cancelled attempt ends its TCP connection, so that the provider stops working."""
        simulated.behave(name, Behaviour(fault=fault))
        attempt = asyncio.create_task(make(name, simulated.url(name)).complete(call(name)))
        await assert_eventually_async(lambda: simulated.counts(name).requests == 1)
        assert simulated.counts(name).open_connections == 1
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await assert_eventually_async(lambda: simulated.counts(name).client_aborts == 1)
        assert simulated.counts(name).open_connections == 0

    @each
    async def test_the_next_attempt_after_a_fault(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str
    ) -> None:
        """A provider that recovers is answered by the same client."""
        faults = (Fault.RESET, Fault.RESET_MID_BODY, Fault.MALFORMED_JSON)
        simulated.behave(name, *(Behaviour(times=1, fault=fault) for fault in faults))
        provider = make(name, simulated.url(name))
        for _ in faults:
            await failure_of(provider, call(name))
        assert (await provider.complete(call(name))).content


class TestNotReached:
    @each
    async def test_nobody_listens(self, make: MakeProvider, name: str, unused_port: int) -> None:
        """A refused connection is a connection failure that billed nothing."""
        error = await failure_of(make(name, f"http://127.0.0.1:{unused_port}"), call(name))
        assert (error.failure, error.may_have_billed) == (Failure.CONNECTION, False)

    @each
    async def test_no_such_host(self, make: MakeProvider, name: str) -> None:
        """A name that does not resolve is a connection failure that billed nothing."""
        error = await failure_of(make(name, "http://no-such-host.invalid"), call(name))
        assert (error.failure, error.may_have_billed) == (Failure.CONNECTION, False)

    @each
    async def test_a_host_that_never_accepts(self, make: MakeProvider, name: str, full_listener: int) -> None:
        """The connect has a limit of its own; what ran into it was not sent and not billed."""
        provider = make(name, f"http://127.0.0.1:{full_listener}", connect_timeout_s=0.3)
        error = await failure_of(provider, call(name))
        assert (error.failure, error.may_have_billed) == (Failure.CONNECTION, False)

    @each
    async def test_not_http(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """A server that does not speak HTTP gives a malformed answer."""
        hostile.reply = b"220 mail.example ESMTP\r\n\r\n"
        error = await failure_of(make(name, hostile.url(name)), call(name))
        assert (error.failure, error.may_have_billed) == (Failure.MALFORMED, True)

    @each
    async def test_closed_without_a_word(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """A connection that is closed after the request was sent may have billed."""
        error = await failure_of(make(name, hostile.url(name)), call(name))
        assert (error.failure, error.may_have_billed) == (Failure.CONNECTION, True)
        assert len(hostile.requests) == 1

    @each
    async def test_a_closed_provider(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """A provider that was closed refuses further attempts in its own words."""
        provider = make(name, simulated.url(name))
        await provider.complete(call(name))
        await provider.aclose()
        error = await failure_of(provider, call(name))
        assert (error.failure, error.may_have_billed) == (Failure.CONNECTION, False)

    @each
    async def test_closing_ends_attempts_in_flight(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str
    ) -> None:
        """Closing a provider ends what is still under way with an error, not with a hang."""
        simulated.behave(name, Behaviour(fault=Fault.HANG))
        provider = make(name, simulated.url(name))
        attempt = asyncio.create_task(failure_of(provider, call(name)))
        await assert_eventually_async(lambda: simulated.counts(name).requests == 1)
        await provider.aclose()
        assert (await asyncio.wait_for(attempt, 30)).may_have_billed

    @each
    async def test_closing_ends_attempts_that_wait(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str
    ) -> None:
        """Attempts that wait for a free connection, or have just begun, end with an error too when it is closed."""
        simulated.behave(name, Behaviour(fault=Fault.HANG))
        provider = make(name, simulated.url(name), max_connections=1)
        attempts = [asyncio.create_task(failure_of(provider, call(name))) for _ in range(3)]
        await assert_eventually_async(lambda: simulated.counts(name).requests == 1)
        attempts += [asyncio.create_task(failure_of(provider, call(name))) for _ in range(3)]
        await asyncio.sleep(0)
        await provider.aclose()
        ends = await asyncio.wait_for(asyncio.gather(*attempts), 30)
        assert {end.failure for end in ends} == {Failure.CONNECTION}
        assert [end.may_have_billed for end in ends].count(True) == 1

    @each
    async def test_closing_at_any_moment(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """Whenever it is closed, an attempt ends in an answer or in a ProviderError."""
        for step in range(30):
            provider = make(name, simulated.url(name))
            attempts = [asyncio.create_task(provider.complete(call(name))) for _ in range(2)]
            await asyncio.sleep(step * 0.002)
            await provider.aclose()
            ends = await asyncio.gather(*attempts, return_exceptions=True)
            assert all(isinstance(end, Answer | ProviderError) for end in ends), ends

    @each
    async def test_no_key(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """Without a key nothing is sent to a provider that is not local."""
        error = await failure_of(make(name, simulated.url(name), key=None), call(name))
        assert (error.failure, error.may_have_billed) == (Failure.AUTHENTICATION, False)
        assert simulated.counts(name).requests == 0


class TestWhatIsLeft:
    @each
    async def test_who_drops_an_error_drops_its_call(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str
    ) -> None:
        """At once, and not when garbage is next looked for: a prompt may be large."""
        simulated.behave(name, Behaviour(status=500))
        provider = make(name, simulated.url(name))
        gc.disable()
        try:
            assert (await self._failed(provider, name))() is None
        finally:
            gc.enable()

    async def _failed(self, provider: Provider, name: str) -> weakref.ref[object]:
        """Something that only the attempt knew."""

        async def hear(_deltas: object) -> None: ...

        with suppress(ProviderError):
            await provider.complete(call(name), Listener(hear))
        return weakref.ref(hear)


class TestManyAtOnce:
    @each
    async def test_the_fault_of_one_is_not_anothers(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str
    ) -> None:
        """Sixty attempts at once, a third of which fail: every one ends as its own provider behaved."""
        simulated.behave(name, Behaviour(times=10, status=500), Behaviour(times=10, fault=Fault.RESET), Behaviour())
        provider = make(name, simulated.url(name))
        ends = await asyncio.gather(*(provider.complete(call(name)) for _ in range(60)), return_exceptions=True)
        errors = [end for end in ends if isinstance(end, ProviderError)]
        assert sorted(error.failure for error in errors) == [Failure.CONNECTION] * 10 + [Failure.SERVER] * 10
        assert len(ends) - len(errors) == simulated.counts(name).answered == 40


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def full_listener() -> Iterator[int]:
    """A port whose backlog is full: connecting to it hangs."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]

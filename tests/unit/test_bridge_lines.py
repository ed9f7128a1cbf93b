"""The bridge's own end of HTTP over real sockets: what takes too long or too much is ended, and nobody is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from cortexd.bridge.gate import Gate
from cortexd.bridge.lines import Lines
from cortexd.bridge.listening import at_path, at_port
from cortexd.bridge.serving import Acceptor, serve
from cortexd.errors import CortexError, TooLarge

KEY, MOST = "the-key", 4
HEAD = f"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nx-api-key: {KEY}\r\n".encode()
WAIT_S = 20.0


@dataclass
class Running:
    """`ended`: is done when the bridge has left; `open` lets the handlers answer, that waits for one to begin."""

    port: int
    path: Path
    lines: Lines
    acceptor: Acceptor
    done: asyncio.Event
    ended: asyncio.Task[None]
    open: asyncio.Event
    begun: asyncio.Event

    async def say(self, data: bytes, *, tcp: bool = True) -> bytes:
        """All that comes back until the connection ends."""
        async with self.connected(tcp=tcp) as (reader, writer):
            with contextlib.suppress(ConnectionError):
                writer.write(data)
                async with asyncio.timeout(WAIT_S):
                    return await reader.read()
        return b""

    @contextlib.asynccontextmanager
    async def connected(self, *, tcp: bool = True) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        where = asyncio.open_connection("127.0.0.1", self.port) if tcp else asyncio.open_unix_connection(str(self.path))
        reader, writer = await where
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@pytest.fixture(name="run")
def run_fixture(tmp_path: Path) -> Callable[..., contextlib.AbstractAsyncContextManager[Running]]:
    @contextlib.asynccontextmanager
    async def run(idle_s: float = 0.0, body_s: float = WAIT_S, **bounds: float) -> AsyncIterator[Running]:
        may_answer, begun = asyncio.Event(), asyncio.Event()
        may_answer.set()

        async def answer(_request: web.Request) -> web.Response:
            begun.set()
            await may_answer.wait()
            return web.Response(text="answered")

        def failed(_request: object, error: CortexError) -> web.Response:
            return web.Response(status=413 if isinstance(error, TooLarge) else 403, text=error.message)

        app = web.Application(client_max_size=1000, middlewares=[Gate(os.getuid(), KEY, body_s).before(failed)])
        app.add_routes([web.route("*", "/{path:.*}", answer)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=WAIT_S)
        await runner.setup()
        sockets = [at_path(tmp_path / "api.sock"), at_port(0)]
        lines, done = Lines(os.getuid(), **{"most": MOST, "linger_s": 0.2, **bounds}), asyncio.Event()  # type: ignore[arg-type]
        assert runner.server is not None
        acceptor = Acceptor(sockets, lines.factory(runner.server, asyncio.get_running_loop()))
        ended = asyncio.create_task(serve(acceptor, lines, idle_s, done))
        yield Running(
            sockets[1].getsockname()[1], tmp_path / "api.sock", lines, acceptor, done, ended, may_answer, begun
        )
        done.set()
        await ended
        await runner.cleanup()
        for one in sockets:
            one.close()

    return run


Run = Callable[..., contextlib.AbstractAsyncContextManager[Running]]


class TestBounds:
    @pytest.mark.parametrize("sent", [b"", b"POST", HEAD[:40], HEAD])
    async def test_a_slow_head(self, run: Run, sent: bytes) -> None:
        """Who does not come to the end of it loses the connection."""
        async with run(next_request_s=0.2) as running:
            assert await running.say(sent) == b""

    async def test_a_head_that_drips(self, run: Run) -> None:
        """Each byte in time does not make the whole in time."""
        async with run(next_request_s=0.5) as running, running.connected() as (_, writer):
            with pytest.raises(ConnectionError):
                await _drip(writer)

    async def test_a_slow_body(self, run: Run) -> None:
        """Is refused, and the connection ends."""
        async with run(body_s=0.2) as running:
            said = await running.say(HEAD + b"Content-Length: 100\r\n\r\n{")
        assert b"403" in said.partition(b"\r\n")[0]
        assert b"did not come within" in said

    async def test_an_idle_connection(self, run: Run) -> None:
        """Between two requests it is kept for so long and no longer."""
        async with run(next_request_s=0.2) as running:
            said = await running.say(HEAD + b"Content-Length: 2\r\n\r\n{}")
        assert said.endswith(b"answered")

    async def test_a_long_answer_is_no_idleness(self, run: Run) -> None:
        """Whoever waits for one stays connected."""
        async with run(next_request_s=0.1) as running:
            running.open.clear()
            asking = asyncio.create_task(running.say(HEAD + b"Content-Length: 2\r\n\r\n{}"))
            await running.begun.wait()
            assert not (await asyncio.wait([asking], timeout=0.4))[0]
            running.open.set()
            assert (await asking).endswith(b"answered")

    @pytest.mark.parametrize(
        "data",
        [
            HEAD + b"X: " + b"x" * 100_000,
            HEAD + b"X" * 100_000,
            b"GET /" + b"x" * 100_000,
            HEAD + b"".join(b"X-%d: x\r\n" % number for number in range(1000)) + b"\r\n",
        ],
    )
    async def test_a_huge_head(self, run: Run, data: bytes) -> None:
        """Is refused before its end."""
        async with run() as running:
            said = await running.say(data)
        assert b" 400 " in said.partition(b"\r\n")[0] or said == b""

    async def test_a_huge_body(self, run: Run) -> None:
        """By its length, or where it has none when it has become too much."""
        chunks = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
        async with run() as running:
            for told in (
                await running.say(HEAD + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001),
                await running.say(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks * 3),
            ):
                assert b" 413 " in told.partition(b"\r\n")[0]

    async def test_so_many_connections(self, run: Run) -> None:
        """One more is ended at once, and when one has left the next is served."""
        ask = HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}"
        async with run() as running:
            async with contextlib.AsyncExitStack() as held:
                for _ in range(MOST):
                    await held.enter_async_context(running.connected())
                assert await running.say(ask) == b""
            async with asyncio.timeout(WAIT_S):
                while not (said := await running.say(ask, tcp=False)):
                    await asyncio.sleep(0)
        assert said.endswith(b"answered")


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0)


async def _drip(writer: asyncio.StreamWriter) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.05)


_CLOSE = b"Connection: close\r\n"
_BODY = b"Content-Length: 2\r\n\r\n{}"
_KEYED = f"x-api-key: {KEY}\r\n".encode()
_HEADS = {
    "HTTP/1.0 without a host": (b"GET /v1/x HTTP/1.0\r\n" + _KEYED + b"\r\n", 403, 200),
    "HTTP/1.0 with one": (b"GET /v1/x HTTP/1.0\r\nHost: localhost\r\n" + _KEYED + b"\r\n", 200, 200),
    "absolute form": (
        b"GET http://localhost/v1/x HTTP/1.1\r\nHost: localhost\r\n" + _KEYED + _CLOSE + b"\r\n", 403, 403,
    ),
    "another's absolute form": (
        b"GET http://a.test/v1/x HTTP/1.1\r\nHost: localhost\r\n" + _KEYED + _CLOSE + b"\r\n", 403, 403,
    ),
    "a tunnel": (b"CONNECT a.test:443 HTTP/1.1\r\nHost: localhost\r\n" + _KEYED + _CLOSE + b"\r\n", 403, 403),
    "a preflight": (
        b"OPTIONS /v1/x HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a.test\r\nAccess-Control-Request-Method: POST\r\n"
        b"Access-Control-Request-Headers: authorization,content-type\r\n" + _CLOSE + b"\r\n", 403, 403,
    ),
    "a WebSocket": (
        b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a.test\r\n"
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n", 403, 403,
    ),
    "health for a page": (
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n" + _CLOSE + b"\r\n", 403, 403,
    ),
    "health by a rebound name": (b"GET /health HTTP/1.1\r\nHost: a.test\r\n" + _CLOSE + b"\r\n", 403, 200),
    "health": (b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + _CLOSE + b"\r\n", 200, 200),
    "no key": (b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n" + _CLOSE + b"\r\n", 403, 200),
    "a program's": (HEAD + _CLOSE + _BODY, 200, 200),
}  # fmt: skip


class TestHeads:
    @pytest.mark.parametrize(("head", "at_port", "at_socket"), _HEADS.values(), ids=_HEADS)
    async def test_as_they_come(self, run: Run, head: bytes, at_port: int, at_socket: int) -> None:
        """At the port and at the socket; a refusal ends the connection and lets no page read it."""
        async with run() as running:
            for tcp, expected in ((True, at_port), (False, at_socket)):
                said = await running.say(head, tcp=tcp)
                assert int(said.split()[1]) == expected, said
                assert b"access-control" not in said.lower()


class TestLeaving:
    async def test_when_nobody_is_there(self, run: Run) -> None:
        """So long after the last connection, and not while there is one."""
        async with run(idle_s=0.2) as running:
            async with running.connected(tcp=False):
                assert not (await asyncio.wait([running.ended], timeout=0.5))[0]
            async with asyncio.timeout(WAIT_S):
                await running.ended

    async def test_who_comes_then_waits_in_the_socket(self, run: Run) -> None:
        """And is whoever serves it next."""
        async with run(idle_s=0.1) as running:
            await running.ended
            asking = asyncio.create_task(running.say(HEAD + _CLOSE + _BODY, tcp=False))
            assert not (await asyncio.wait([asking], timeout=0.3))[0]
            asking.cancel()
            await asyncio.wait([asking])

    async def test_who_is_there_is_heard(self, run: Run) -> None:
        """At a stop: one who has connected and not yet spoken, and one whose answer is under way."""
        async with run() as running:
            running.open.clear()
            waits = asyncio.create_task(running.say(HEAD + _CLOSE + _BODY))
            await running.begun.wait()
            async with running.connected(tcp=False) as (reader, writer):
                await _until(lambda: running.lines.unanswered)
                running.done.set()
                await _until(lambda: not running.acceptor.accepting)
                writer.write(HEAD + _CLOSE + _BODY)
                running.open.set()
                assert (await reader.read()).endswith(b"answered")
            assert (await waits).endswith(b"answered")


class TestSockets:
    def test_are_their_users_alone(self, tmp_path: Path) -> None:
        """Whatever the umask, and it is that again."""
        before = os.umask(0)
        try:
            with at_path(tmp_path / "s"):
                assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
            assert os.umask(0) == 0
        finally:
            os.umask(before)

    def test_one_that_is_left_over(self, tmp_path: Path) -> None:
        """Is taken; where somebody listens, or where no socket is, nothing is touched."""
        path = tmp_path / "s"
        at_path(path).close()
        with at_path(path):
            with pytest.raises(CortexError):
                at_path(path)
            with socket.socket(socket.AF_UNIX) as other:
                other.connect(str(path))
        (tmp_path / "file").write_text("kept")
        with pytest.raises(CortexError):
            at_path(tmp_path / "file")
        assert (tmp_path / "file").read_text() == "kept"

    def test_a_port_that_is_taken(self) -> None:
        """Is said."""
        with at_port(0) as one, pytest.raises(CortexError):
            at_port(one.getsockname()[1])

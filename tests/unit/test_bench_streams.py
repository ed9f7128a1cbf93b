"""The benchmark's readers of streams and batches: in C on a real bus, in Python on the fake provider."""

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from dbus_next import Message, Variant

from bench import programs
from bench.lab import Lab, Upstream
from bench.samples import StreamRound, StreamSide
from cortexd.connection import Connection
from tests.bus.private_dbus import NAME, PrivateBus, bus_fixture, service  # noqa: F401
from tests.eventually import assert_eventually

Line = dict[str, Any]
pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="the programs are compiled with gcc")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return programs.build(tmp_path_factory.mktemp("programs"))


@pytest.fixture
def upstream(built: Path, tmp_path: Path) -> Iterator[Upstream]:
    with Lab(built, tmp_path, quick=True).upstream() as upstream:
        yield upstream


class Service:
    """Answers OpenStream with a pipe of `lines`, CompleteBatch with an item per request, the first one failed."""

    def __init__(self, lines: list[Line]) -> None:
        self._lines = "".join(json.dumps(line) + "\n" for line in lines).encode()
        self.write_ends: list[int] = []
        self.options: dict[str, object] = {}

    def answer(self, connection: Connection, message: Message) -> None:
        if message.member == "CompleteBatch":
            connection.send(self._batch(message))
            return
        read_end, write_end = os.pipe()
        os.write(write_end, self._lines)
        self.write_ends.append(write_end)
        connection.send(Message.new_method_return(message, "sh", ["id", 0], [read_end]))
        os.close(read_end)

    def _batch(self, message: Message) -> Message:
        requests, options = message.body
        self.options = {key: value.value for key, value in options.items()}
        failed = ["", {"error_name": Variant("s", "x.Failed"), "error_message": Variant("s", "no")}]
        return Message.new_method_return(message, "a(sa{sv})", [[failed, *(["text", {}] for _ in requests[1:])]])

    def end(self) -> None:
        """What was sent is all there is of each stream."""
        while self.write_ends:
            os.close(self.write_ends.pop())


@contextlib.asynccontextmanager
async def _service(bus: PrivateBus, lines: list[Line]) -> AsyncIterator[Service]:
    serving = Service(lines)
    try:
        async with service(bus, serving.answer):
            yield serving
    finally:
        serving.end()


async def _run(built: Path, program: str, bus: PrivateBus, mode: str, *options: object) -> Line:
    arguments = [mode, "--address", bus.address, "--name", NAME, "--timeout", 2, *options]
    process = await asyncio.create_subprocess_exec(
        built / program, *map(str, arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, said = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, said.decode()
    answer: Line = json.loads(out)
    return answer


def _text(*numbers: int) -> Line:
    return {"type": "text", "text": "".join(f" word{number}" for number in numbers)}


DONE = {"type": "done", "metadata": {}}


class TestStreamer:
    async def _read(self, built: Path, bus: PrivateBus, lines: list[Line], *, chunks: int, streams: int = 1) -> Line:
        async with _service(bus, lines) as service:
            reading = asyncio.ensure_future(
                _run(built, "streamer", bus, "read", "--chunks", chunks, "--streams", streams)
            )
            while not reading.done():  # a stream ends when its write end is closed
                await asyncio.sleep(0.01)
                service.end()
            return await reading

    async def test_merged_chunks_are_counted_by_their_numbers(self, built: Path, bus: PrivateBus) -> None:
        """Five chunks in two events, twice: two good streams of five, with a first and a last moment each."""
        lines = [_text(0, 1, 2), _text(3, 4), {"type": "unheard of"}, DONE]
        done = await self._read(built, bus, lines, chunks=5, streams=2)
        assert (done["failures"], done["chunks"], done["events"], done["error"]) == (0, 10, 4, "")
        assert all(0 < first <= last for first, last in zip(done["first_ns"], done["latency_ns"], strict=True))
        assert StreamRound(cpu_s=0.0, **done).chunks == 10

    @pytest.mark.parametrize(
        ("lines", "error"),
        [
            ([_text(0, 2, 1), DONE], "out of order"),
            ([_text(0, 1), DONE], "2 of 3 chunks"),
            ([_text(0, 1, 2)], "no done"),
            ([_text(0), {"type": "error", "name": "x.Failed", "message": "gone"}], "x.Failed"),
        ],
    )
    async def test_a_stream_that_is_not_whole_is_a_failure(
        self, built: Path, bus: PrivateBus, lines: list[Line], error: str
    ) -> None:
        """Chunks out of order, missing ones, an end without `done` and an error are told, not averaged in."""
        done = await self._read(built, bus, lines, chunks=3)
        assert (done["failures"], done["latency_ns"]) == (1, [])
        assert error in done["error"]

    async def test_no_service_is_a_failure_with_its_name(self, built: Path, bus: PrivateBus) -> None:
        """A D-Bus error in place of a stream is told."""
        done = await _run(built, "streamer", bus, "read")
        assert (done["failures"], done["chunks"]) == (1, 0)
        assert done["error"].startswith("org.freedesktop.DBus.Error.")

    async def test_a_stream_that_never_ends_is_given_up(self, built: Path, bus: PrivateBus) -> None:
        """After its timeout the reader says so."""
        async with _service(bus, [_text(0)]):
            done = await _run(built, "streamer", bus, "read", "--timeout", 0.3)
        assert done["failures"] == 1
        assert "no end after" in done["error"]

    async def test_leaving_closes_the_read_end(self, built: Path, bus: PrivateBus) -> None:
        """After as many chunks as were asked for the pipe has no reader any more."""
        async with _service(bus, [_text(0, 1), _text(2)]) as service:
            left = await _run(built, "streamer", bus, "leave", "--after", 3)
            with pytest.raises(BrokenPipeError):
                os.write(service.write_ends[0], b"x")
        assert (left["failures"], left["chunks"]) == (0, 3)
        assert left["left_ns"] > 0


class TestBatch:
    async def test_failed_requests_of_a_batch_are_counted(self, built: Path, bus: PrivateBus) -> None:
        """Of ten requests in one call the one with an error name failed; the others came together."""
        async with _service(bus, []) as service:
            done = await _run(built, "caller", bus, "batch", "--calls", 10, "--in-flight", 4)
            assert service.options == {"parallel": 4}
        assert (done["calls"], done["failures"], len(done["latency_ns"])) == (10, 1, 9)

    async def test_a_refused_batch_failed_as_a_whole(self, built: Path, bus: PrivateBus) -> None:
        """A D-Bus error is the failure of every request in it."""
        done = await _run(built, "caller", bus, "batch", "--calls", 3)
        assert (done["failures"], done["latency_ns"]) == (3, [])
        assert done["error"].startswith("org.freedesktop.DBus.Error.")


class TestStreamBaseline:
    def test_the_sdk_and_raw_bytes_see_the_same_chunks(self, built: Path, upstream: Upstream, tmp_path: Path) -> None:
        """Both readers count every chunk of every stream."""
        upstream.set(chunks=300)
        with Lab(built, tmp_path, quick=True).python_worker("bench.stream_worker", upstream.url) as worker:
            rounds = [worker.streams(reader, 3) for reader in ("sdk", "raw")]
        assert [(done.streams, done.chunks, len(done.first_ns)) for done in rounds] == [(3, 900, 3), (3, 900, 3)]

    async def test_the_upstream_knows_when_a_client_left(self, upstream: Upstream) -> None:
        """The moment of an abort is on the clock that the reader's is on."""
        upstream.set(delay_us=60_000_000)
        _, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(b"POST /v1/messages HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}")
        assert_eventually(lambda: upstream.stats()["active"] == 1)
        before = upstream.stats()["abort_ns"]
        writer.close()
        await writer.wait_closed()
        assert assert_eventually(lambda: upstream.stats()["abort_ns"]) > before == 0


class TestStreamSide:
    def test_figures_are_medians_over_rounds(self) -> None:
        """CPU per stream and chunks per second of the round in the middle; chunks per line over all."""
        rounds = [StreamRound(2, 0, 400, 0.1 * n, 0.01 * n, [n * 10**6] * 2, [9], events=100) for n in (1, 2, 9)]
        side = StreamSide(rounds)
        assert (side.cpu_ms, side.first_ms, side.chunks_per_event) == (10, 2, 4)
        assert side.chunks_per_s == 2000

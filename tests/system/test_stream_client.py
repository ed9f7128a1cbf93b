"""Streams as a C program reads them: whole and in order, held up by nobody else's reader, ended when it leaves."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench import programs
from simulated import Behaviour
from tests.eventually import assert_eventually_async
from tests.system.footprint import resident_mb
from tests.system.program import Program, program_fixture  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.stream import Stream, text_of
from tests.system.users import uid_of

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="the client is compiled with gcc")

CONFIG = "[daemon]\npreload_sdks = true\n[limits]\nmax_streams_per_user = 60\nstream_stall_s = 120.0\n"
Streamer = Callable[..., Coroutine[Any, Any, dict[str, Any]]]


def numbered(words: int) -> Behaviour:
    """An answer of so many chunks, of which each is one word and all are equally long."""
    return Behaviour(reply="".join(f" word{number:05}" for number in range(words)), chunks=words)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program of bench/, which this borrows."""
    program = tmp_path_factory.mktemp("programs") / "streamer"
    command = ["gcc", *programs.FLAGS, "-o", str(program), str(programs.SOURCES / "streamer.c")]
    subprocess.run(command, check=True, timeout=120)
    return program


@pytest.fixture
def streamer(built: Path) -> Streamer:
    """bench/streamer.c as alice: it checks the chunks' numbers itself and prints what came as JSON."""

    async def run(mode: str, **options: int) -> dict[str, Any]:
        words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        process = await asyncio.create_subprocess_exec(
            built, mode, "--uid", str(uid_of("alice")), *words, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(70):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        found: dict[str, Any] = json.loads(output)
        return found

    return run


class TestWhole:
    async def test_ten_thousand_chunks(self, shared: Shared, streamer: Streamer) -> None:
        """Each arrives once, in its place, and the books have what the provider bills."""
        shared.behave("claude", numbered(10_000))
        found = await streamer("read", chunks=10_000)
        assert (found["failures"], found["chunks"]) == (0, 10_000), found["error"]
        assert shared.simulated.counts("claude").chunks_sent > 10_000
        [row] = shared.books().rows
        assert (row["uid"], row["state"]) == (uid_of("alice"), "done")
        assert row["charged"] == shared.simulated.billed("claude").nano
        shared.books().assert_balanced()

    async def test_one_after_the_other(self, shared: Shared, streamer: Streamer) -> None:
        """Many on one connection leave no descriptor behind."""
        shared.behave("claude", numbered(200))
        await streamer("read", chunks=200)
        before = descriptors(shared)
        found = await streamer("read", chunks=200, streams=50)
        assert (found["failures"], found["chunks"]) == (0, 10_000), found["error"]
        assert descriptors(shared) <= before


class TestLeaving:
    async def test_the_provider_is_left_too(self, shared: Shared, streamer: Streamer) -> None:
        """Closed after 20 chunks: the TCP connection upstream closes, nothing more is sent, the row is settled."""
        shared.behave("claude", Behaviour(reply=numbered(2_000).reply, chunks=2_000, chunk_delay_s=0.01))
        found = await streamer("leave", after=20)
        assert found["failures"] == 0, found["error"]
        await assert_eventually_async(lambda: shared.simulated.counts("claude").client_aborts == 1, 5)
        took_s = time.monotonic() - found["left_ns"] / 10**9
        await assert_eventually_async(lambda: shared.books().rows[-1]["state"] == "cancelled", 5)
        counts = shared.simulated.counts("claude")
        assert (counts.active, counts.open_connections) == (0, 0)
        assert counts.chunks_after_abort <= 1
        assert counts.chunks_sent < 20 + took_s / 0.01 + 20
        await asyncio.sleep(0.3)  # thirty chunks' time
        assert shared.simulated.counts("claude").chunks_sent == counts.chunks_sent
        row = shared.books().rows[-1]
        assert row["charged"] >= shared.simulated.billed_undelivered("claude").nano > 0
        shared.books().assert_balanced()


@dataclass(frozen=True, slots=True)
class Round:
    """Fifty streams at once."""

    took_s: float
    resident_mb: float


async def round_of_fifty(shared: Shared, program: Program) -> Round:
    began = time.monotonic()
    streams = [await Stream.open(program, "user_chat", "hello") for _ in range(50)]
    for events in await asyncio.gather(*(stream.read() for stream in streams)):
        assert text_of(events) == "word " * 200
        assert events[-1]["type"] == "done"
    return Round(time.monotonic() - began, resident_mb(shared.daemon.pid))


class TestBackpressure:
    @pytest.mark.slow
    @pytest.mark.timeout(180)
    async def test_a_reader_stalled_for_a_minute(self, shared: Shared, program: Program) -> None:
        """Fifty others beside it take the time that they took without it, again and again; the daemon's memory is flat,
        and the stalled one gets all of its answer in the end."""
        shared.behave("claude", Behaviour(reply="word " * 200, chunks=50, chunk_delay_s=0.01))
        shared.behave("kimi_k2", Behaviour(size_bytes=8_000_000, chunks=8_000))
        alone = [await round_of_fifty(shared, program) for _ in range(5)]
        stalled = await Stream.open(program, "code_generation", "much", max_tokens=500_000, max_cost_usd=100.0)
        first = await stalled.some(1000)
        until = time.monotonic() + 60
        beside = []
        while time.monotonic() < until:
            beside.append(await round_of_fifty(shared, program))
        assert len(beside) > 10
        # the quickest of many: what else the machine does slows some of them, and a queue behind the reader would all
        assert min(one.took_s for one in beside) < 1.5 * min(one.took_s for one in alone) + 0.1
        memory = [one.resident_mb for one in beside]
        assert max(memory) - memory[1] < 6, memory
        assert shared.books().request(stalled.request_id)["state"] == "pending"
        whole = first + b"".join([piece async for piece in pieces(stalled)])
        events = [json.loads(line) for line in whole.splitlines()]
        assert (text_of(events), events[-1]["type"]) == ("x" * 8_000_000, "done")
        await assert_eventually_async(lambda: shared.books().request(stalled.request_id)["state"] == "done")


async def pieces(stream: Stream) -> AsyncIterator[bytes]:
    """What is left of a stream, as it comes."""
    while piece := await stream.some():
        yield piece
    stream.close()


def descriptors(shared: Shared) -> int:
    return len(list(Path(f"/proc/{shared.daemon.pid}/fd").iterdir()))

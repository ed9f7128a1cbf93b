"""The benchmark's C programs, compiled and run: the fake provider speaks what the SDKs understand."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anthropic
import openai
import pytest
from anthropic.types import MessageParam
from openai.types.chat import ChatCompletionMessageParam

from bench import programs
from bench.lab import Lab, Upstream
from bench.processes import CannotMeasure, Child, cpu_seconds
from bench.sdk_worker import make_calls
from tests.eventually import assert_eventually, assert_eventually_async

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="the programs are compiled with gcc")

CLAUDE: list[MessageParam] = [{"role": "user", "content": "Say hello."}]
KIMI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]
TEXT = "The fake provider answers this with one short and friendly sentence."
REQUEST = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(programs.build(tmp_path_factory.mktemp("programs")), tmp_path_factory.mktemp("lab"), quick=True)


@pytest.fixture
def upstream(lab: Lab) -> Iterator[Upstream]:
    with lab.upstream() as upstream:
        yield upstream


async def _raw(upstream: Upstream, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
    writer.write(data)
    await writer.drain()
    return reader, writer


@contextlib.asynccontextmanager
async def _anthropic(upstream: Upstream) -> AsyncIterator[anthropic.AsyncAnthropic]:
    http_client = anthropic.DefaultAioHttpClient(trust_env=False)
    async with anthropic.AsyncAnthropic(
        api_key="k", base_url=upstream.url, max_retries=0, http_client=http_client
    ) as client:
        yield client


@contextlib.asynccontextmanager
async def _openai(upstream: Upstream) -> AsyncIterator[openai.AsyncOpenAI]:
    http_client = openai.DefaultAioHttpClient(trust_env=False)
    url = f"{upstream.url}/v1"
    async with openai.AsyncOpenAI(api_key="k", base_url=url, max_retries=0, http_client=http_client) as client:
        yield client


class TestFormats:
    async def test_anthropic_json(self, upstream: Upstream) -> None:
        """The Anthropic SDK reads text, model and usage of an answer."""
        async with _anthropic(upstream) as client:
            answer = await client.messages.create(model="m", max_tokens=9, messages=CLAUDE)
        [said] = answer.content
        assert said.type == "text"
        assert (said.text, answer.model) == (TEXT, "claude-sonnet-5-5")
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (12, 14)

    async def test_openai_json(self, upstream: Upstream) -> None:
        """The OpenAI SDK reads text, model and usage of an answer."""
        async with _openai(upstream) as client:
            answer = await client.chat.completions.create(model="m", messages=KIMI)
        assert (answer.choices[0].message.content, answer.model) == (TEXT, "kimi-k2.6")
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (12, 14)

    async def test_anthropic_stream(self, upstream: Upstream) -> None:
        """A stream has as many text events as it was told, and ends with its usage."""
        upstream.set(chunks=5, chunk_us=1000)
        async with (
            _anthropic(upstream) as client,
            client.messages.stream(model="m", max_tokens=9, messages=CLAUDE) as stream,
        ):
            texts = [text async for text in stream.text_stream]
            final = await stream.get_final_message()
        assert texts == [f" word{n}" for n in range(5)]
        assert (final.usage.input_tokens, final.usage.output_tokens, final.stop_reason) == (12, 14, "end_turn")

    async def test_openai_stream(self, upstream: Upstream) -> None:
        """A stream longer than one turn of the upstream comes whole, with usage because that was asked for."""
        upstream.set(chunks=500)
        async with _openai(upstream) as client:
            stream = await client.chat.completions.create(
                model="m", messages=KIMI, stream=True, stream_options={"include_usage": True}
            )
            chunks = [chunk async for chunk in stream]
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == "".join(f" word{n}" for n in range(500))
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 14
        assert upstream.stats()["chunks_sent"] == 500

    async def test_a_status_on_demand(self, upstream: Upstream) -> None:
        """Told to fail, it fails in the vendor's words, and answers again once told otherwise."""
        async with _openai(upstream) as client:
            upstream.set(status=503)
            with pytest.raises(openai.InternalServerError, match="told to fail"):
                await client.chat.completions.create(model="m", messages=KIMI)
            upstream.set(status=200)
            assert (await client.chat.completions.create(model="m", messages=KIMI)).choices

    def test_an_unknown_setting_is_refused(self, upstream: Upstream) -> None:
        """A misspelt setting is an error, not a silent default."""
        with pytest.raises(CannotMeasure, match="delay_us, chunks"):
            upstream.set(delay_ms=5)


class TestHttp:
    async def test_pipelined_requests_are_answered_in_order(self, upstream: Upstream) -> None:
        """Three requests in one packet, one of them chunked and one waiting, give three answers in their order."""
        upstream.set(delay_us=5000)
        plain = REQUEST + b"content-length: 2\r\n\r\n{}"
        chunked = (
            b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
        )
        reader, writer = await _raw(upstream, plain + chunked + plain.replace(b"host: x", b"connection: close"))
        answers = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await writer.wait_closed()
        models = [part.split(b'"')[1] for part in answers.split(b'"model":')[1:]]
        assert answers.count(b"HTTP/1.1 200 OK") == 3
        assert models == [b"claude-sonnet-5-5", b"kimi-k2.6", b"claude-sonnet-5-5"]

    async def test_a_body_split_anywhere_is_read_whole(self, upstream: Upstream) -> None:
        """A chunked request that arrives byte by byte asks for a stream all the same."""
        upstream.set(chunks=1)
        body = b'8\r\n{"stream\r\n7\r\n":true}\r\n0\r\n\r\n'
        reader, writer = await _raw(upstream, REQUEST + b"connection: close\r\ntransfer-encoding: chunked\r\n")
        for byte in b"\r\n" + body:
            writer.write(bytes([byte]))
            await writer.drain()
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await writer.wait_closed()
        assert b"text/event-stream" in answer
        assert b"message_stop" in answer

    async def test_a_client_that_leaves_is_an_abort(self, upstream: Upstream) -> None:
        """Requests that wait count as concurrent; leaving before the answer counts as an abort and closes."""
        upstream.set(delay_us=60_000_000)
        opened = [await _raw(upstream, REQUEST + b"content-length: 2\r\n\r\n{}") for _ in range(3)]
        await assert_eventually_async(lambda: upstream.stats()["active"] == 3)
        for _, writer in opened:
            writer.close()
            await writer.wait_closed()
        await assert_eventually_async(lambda: upstream.stats()["aborts"] == 3)
        stats = upstream.stats()
        assert (stats["active"], stats["max_concurrent"], stats["answered"]) == (0, 3, 0)

    async def test_what_is_no_request_is_refused(self, upstream: Upstream) -> None:
        """Noise gets a 400 and is hung up on."""
        reader, writer = await _raw(upstream, b"noise\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 400")
        writer.close()
        await writer.wait_closed()


class TestBaseline:
    async def test_failed_calls_are_counted_not_raised(self) -> None:
        """A round of calls of which every third fails reports so, with the first error's text."""
        count = iter(range(30))

        async def ask() -> str:
            if next(count) % 3 == 0:
                raise ValueError("out of luck")
            return "text"

        done = await make_calls(ask, in_flight=4, calls=30)
        assert (done["calls"], done["failures"], done["error"]) == (30, 10, "ValueError: out of luck")
        assert len(done["latency_ns"]) == 20

    def test_the_sdk_worker_makes_every_call_it_is_told(self, lab: Lab, upstream: Upstream) -> None:
        """Both vendors' SDKs ask the upstream exactly as often as they were told."""
        with lab.sdk(upstream) as sdk:
            rounds = [sdk.calls(vendor, in_flight=4, calls=10) for vendor in ("claude", "kimi_k2")]
        assert [(done.failures, len(done.latency_ns)) for done in rounds] == [(0, 10), (0, 10)]
        assert upstream.stats()["answered"] == 20


class TestProcesses:
    def test_cpu_of_another_process_is_seen(self, tmp_path: Path) -> None:
        """A process that computes uses CPU, one that sleeps does not."""
        with _child(["python3", "-c", "while True: pass"], tmp_path / "busy") as busy:
            assert assert_eventually(lambda: cpu_seconds(busy.pid) > 0.05)
        with _child(["sleep", "60"], tmp_path / "idle") as idle:
            idle.settle()
            assert cpu_seconds(idle.pid) < 0.05

    def test_a_program_that_is_up_to_date_is_not_compiled_again(self, lab: Lab) -> None:
        """Building twice leaves the programs of the first time."""
        before = {name: (lab.programs / name).stat().st_mtime_ns for name in programs.NAMES}
        programs.build(lab.programs)
        assert {name: (lab.programs / name).stat().st_mtime_ns for name in programs.NAMES} == before


@contextlib.contextmanager
def _child(command: list[str], log: Path) -> Iterator[Child]:
    child = Child(command, log)
    try:
        yield child
    finally:
        child.stop()

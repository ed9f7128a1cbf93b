"""The bridge as the vendors' own SDKs meet it: a real daemon behind it, simulated vendors behind that."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import openai
import pytest

from simulated import Behaviour, Fault
from tests.eventually import assert_eventually
from tests.system.people import as_user
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.zones import noon

CONFIG = "[daemon]\npreload_sdks = true\n"
ENVIRONMENT = noon()
TOKEN = "of-this-test"
HELLO: Any = [{"role": "user", "content": "hello"}]
TOOL: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PIXEL = base64.b64encode(bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")).decode()


KEY = f"Authorization: Bearer {TOKEN}\r\n".encode()
ASKING = "POST /v1/chat/completions HTTP/1.1"
_UNHEARD_OF = [
    ("\x16\x03\x01", b"", b"", 400),
    ("POST /v1/embeddings HTTP/1.1", KEY + b"Content-Length: 2\r\n", b"{}", 404),
    ("POST /v1/messages/batches HTTP/1.1", KEY + b"Content-Length: 2\r\n", b"{}", 404),
    ("GET /v1/messages HTTP/1.1", KEY, b"", 404),
    ("GET /v1/embeddings HTTP/1.1", b"", b"", 403),
    ("OPTIONS /v1/models HTTP/1.1", KEY + b"Origin: http://example.org\r\n", b"", 403),
    (ASKING, KEY + b"Content-Length: 2\r\nContent-Length: 3\r\n", b"{}", 400),
    (ASKING, KEY + b"Host: localhost\r\n", b"", 400),
    (ASKING, KEY + b"X: " + b"x" * 10_000 + b"\r\n", b"", 400),
    (ASKING, KEY + b"Transfer-Encoding: chunked\r\n", b"zz\r\n{}\r\n", 400),
    (ASKING, KEY + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n", b"{}", 400),
    (ASKING, KEY + b"Content-Length: 2\r\n", b"\xff{", 400),
    (ASKING, b"Authorization: Bearer \xff\r\nContent-Length: 2\r\n", b"{}", 403),
    ("GET /v1/models HTTP/1.1", b"x-api-key: \xff\r\n", b"", 403),
]


@dataclass(frozen=True, slots=True)
class Running:
    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def bridge(*arguments: str) -> Iterator[Running]:
    """One of root's own, on a port."""
    read, write = os.pipe()
    command = [sys.executable, "-m", "cortexd.bridge", "--port", "0", "--port-fd", str(write), *arguments]
    process = subprocess.Popen(command, pass_fds=(write,), env={**os.environ, "CORTEX_LLM_TOKEN": TOKEN})
    os.close(write)
    with os.fdopen(read) as told:
        port = int(told.readline())
    yield Running(process, port)
    process.terminate()
    assert process.wait(20) == 0


@pytest.fixture(scope="module", name="running")
def running_fixture(shared_of_module: object) -> Iterator[Running]:
    with bridge() as running:
        yield running


@pytest.fixture(name="chat")
async def chat_fixture(running: Running, shared: Shared) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key=TOKEN) as client:
        yield client


@pytest.fixture(name="messages")
async def messages_fixture(running: Running, shared: Shared) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=running.url, api_key=TOKEN) as client:
        yield client


class TestChat:
    async def test_an_answer_with_its_cost(self, chat: openai.AsyncOpenAI, shared: Shared) -> None:
        """As OpenAI says it; the cost, who answered and why stand in headers, and in the ledger."""
        shared.behave("claude", Behaviour(reply="good day", input_tokens=50, output_tokens=20))
        raw = await chat.chat.completions.with_raw_response.create(model="auto", messages=HELLO, max_tokens=100)
        answer = raw.parse()
        assert answer.choices[0].message.content == "good day"
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (50, 20)
        assert raw.headers["x-cortex-cost-usd"] == "0.000300000"
        assert (raw.headers["x-cortex-provider"], raw.headers["x-cortex-model"]) == ("claude", answer.model)
        assert shared.books().charged_nano >= 300_000

    async def test_a_stream(self, chat: openai.AsyncOpenAI, shared: Shared) -> None:
        """Piece by piece, with the usage at its end where it is wanted."""
        shared.behave(
            "claude", Behaviour(reply="one two three", input_tokens=50, output_tokens=20, chunks=3, chunk_delay_s=0.1)
        )
        pieces, usage = [], None
        async with await chat.chat.completions.create(
            model="auto", messages=HELLO, stream=True, stream_options={"include_usage": True}
        ) as stream:
            async for chunk in stream:
                usage = chunk.usage or usage
                pieces += [choice.delta.content or "" for choice in chunk.choices]
        assert "".join(pieces) == "one two three"
        assert len([piece for piece in pieces if piece]) > 1
        assert usage is not None
        assert usage.total_tokens == 70

    async def test_a_tool_and_its_result(self, chat: openai.AsyncOpenAI, shared: Shared) -> None:
        """The call comes with its id, and the result goes back under it."""
        tools: Any = [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": TOOL}}]
        shared.behave(
            "kimi_k2", Behaviour(times=1, tool_calls=(("weather", '{"city": "Rome"}'),)), Behaviour(reply="warm")
        )
        asked: Any = {"model": "kimi_k2", "tools": tools, "extra_headers": {"x-cortex-task": "user_chat"}}
        first = await chat.chat.completions.create(messages=HELLO, **asked)
        [call] = first.choices[0].message.tool_calls or []
        assert first.choices[0].finish_reason == "tool_calls"
        conversation = [
            *HELLO,
            first.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "30 degrees"},
        ]
        second = await chat.chat.completions.create(messages=conversation, **asked)
        assert second.choices[0].message.content == "warm"

    async def test_an_unknown_model_is_told_the_nearest(self, chat: openai.AsyncOpenAI) -> None:
        """404, as OpenAI has it."""
        with pytest.raises(openai.NotFoundError) as caught:
            await chat.chat.completions.create(model="claude-sonet", messages=HELLO)
        assert "claude/claude-sonnet" in caught.value.message
        assert caught.value.code == "model_not_found"

    async def test_what_has_no_word_is_named(self, chat: openai.AsyncOpenAI, shared: Shared) -> None:
        """In a header, so that nobody thinks that it was heeded."""
        shared.behave("claude", Behaviour())
        raw = await chat.chat.completions.with_raw_response.create(model="auto", messages=HELLO, seed=7, stop=["x"])
        assert raw.headers["x-cortex-lost"] == "seed, stop"

    async def test_models(self, chat: openai.AsyncOpenAI) -> None:
        """auto, the task types, and each model by its full name."""
        names = [model.id async for model in chat.models.list()]
        assert {"auto", "task/code_generation", "claude/claude-sonnet-5-5"} <= set(names)

    async def test_the_task_decides(self, chat: openai.AsyncOpenAI, shared: Shared) -> None:
        """task/code_generation goes where the routing table sends code."""
        shared.behave("kimi_k2", Behaviour(reply="print()"))
        answer = await chat.chat.completions.create(model="task/code_generation", messages=HELLO)
        assert answer.choices[0].message.content == "print()"


class TestResponses:
    async def test_goes_on_from_an_answer(self, chat: openai.AsyncOpenAI, shared: Shared) -> None:
        """Only what is new is sent; instructions are this request's own."""
        shared.behave("claude", Behaviour())
        first = await chat.responses.create(model="claude", input="my name is Ann", instructions="be brief")
        assert (first.status, first.usage is not None) == ("completed", True)
        second = await chat.responses.create(model="claude", input="who am I?", previous_response_id=first.id)
        [received] = [row for row in shared.simulated.received("claude") if "who am I?" in str(row.body)]
        assert "my name is Ann" in str(received.body)
        assert first.output_text in str(received.body)
        assert "be brief" not in str(received.body)
        assert second.output_text
        with pytest.raises(openai.BadRequestError):
            await chat.responses.create(model="claude", input="hello", previous_response_id="resp_of_nobody")

    async def test_a_stream_with_a_tool(self, chat: openai.AsyncOpenAI, shared: Shared) -> None:
        """The SDK's own accumulation gives the whole response; the result goes back by its call."""
        shared.behave(
            "claude", Behaviour(times=1, tool_calls=(("weather", '{"city": "Rome"}'),)), Behaviour(reply="warm")
        )
        tools: Any = [{"type": "function", "name": "weather", "description": "d", "parameters": TOOL, "strict": False}]
        async with chat.responses.stream(model="claude", input="hello", tools=tools) as stream:
            first = await stream.get_final_response()
        [call] = [item for item in first.output if item.type == "function_call"]
        assert (call.name, call.arguments) == ("weather", '{"city": "Rome"}')
        result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "30 degrees"}
        async with chat.responses.stream(
            model="claude", input=[result], previous_response_id=first.id, tools=tools
        ) as stream:
            assert (await stream.get_final_response()).output_text == "warm"


class TestMessages:
    async def test_an_answer(self, messages: anthropic.AsyncAnthropic, shared: Shared) -> None:
        """As Anthropic says it, with system text and an image."""
        shared.behave("claude", Behaviour(reply="a pixel", input_tokens=50, output_tokens=20, cache_read_tokens=10))
        image: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
        answer = await messages.messages.create(
            model="claude",
            max_tokens=100,
            system=[{"type": "text", "text": "be brief"}],
            messages=[{"role": "user", "content": [image, {"type": "text", "text": "what is this?"}]}],
        )
        assert [block.to_dict() for block in answer.content] == [{"type": "text", "text": "a pixel"}]
        assert answer.stop_reason == "end_turn"
        assert answer.usage.output_tokens == 20
        assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens) == (50, 10)

    async def test_a_stream_with_a_tool(self, messages: anthropic.AsyncAnthropic, shared: Shared) -> None:
        """The SDK's own accumulation gives the whole message; the result goes back."""
        shared.behave(
            "claude", Behaviour(times=1, tool_calls=(("weather", '{"city": "Rome"}'),)), Behaviour(reply="warm")
        )
        asked: Any = {
            "model": "claude",
            "max_tokens": 100,
            "tools": [{"name": "weather", "description": "d", "input_schema": TOOL}],
        }
        async with messages.messages.stream(messages=HELLO, **asked) as stream:
            first = await stream.get_final_message()
        [used] = [block for block in first.content if block.type == "tool_use"]
        assert (used.name, used.input, first.stop_reason) == ("weather", {"city": "Rome"}, "tool_use")
        result = {"type": "tool_result", "tool_use_id": used.id, "content": [{"type": "text", "text": "30 degrees"}]}
        conversation: Any = [
            *HELLO,
            {"role": "assistant", "content": [block.to_dict() for block in first.content]},
            {"role": "user", "content": [result]},
        ]
        async with messages.messages.stream(messages=conversation, **asked) as stream:
            assert await stream.get_final_text() == "warm"

    async def test_counting_tokens_costs_nothing(self, messages: anthropic.AsyncAnthropic, shared: Shared) -> None:
        """By the router's forecast."""
        counted = await messages.messages.count_tokens(model="claude", messages=HELLO)
        assert counted.input_tokens > 0
        assert shared.requests()["claude"] == 0

    async def test_a_used_up_budget(self, messages: anthropic.AsyncAnthropic, shared: Shared) -> None:
        """402 with the words of the service, and the SDK does not try again."""
        shared.reload(f'{CONFIG}[budgets.users.root]\nday_usd = "0"\n')
        with pytest.raises(anthropic.APIStatusError) as caught:
            await messages.messages.create(model="claude", max_tokens=100, messages=HELLO)
        assert (caught.value.status_code, caught.value.response.headers["x-should-retry"]) == (402, "false")
        assert "daily budget" in str(caught.value)
        shared.reload(CONFIG)


class TestEnds:
    async def test_a_program_that_leaves_ends_its_request(self, running: Running, shared: Shared) -> None:
        """At the provider too, and the books settle."""
        shared.behave("claude", Behaviour(delay_s=30))
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
            posting = asyncio.create_task(
                session.post(f"{running.url}/v1/chat/completions", json={"model": "auto", "messages": HELLO})
            )
            await asyncio.to_thread(assert_eventually, lambda: shared.requests()["claude"] == 1)
            posting.cancel()
        await asyncio.to_thread(
            assert_eventually, lambda: not [row for row in shared.books().rows if row["state"] == "pending"]
        )
        assert shared.books().rows[-1]["state"] == "cancelled"

    @pytest.mark.parametrize("stream", [False, True])
    async def test_one_that_leaves_beside_another(self, running: Running, shared: Shared, stream: bool) -> None:
        """Ends its own request alone, and at once."""
        shared.behave("claude", Behaviour(delay_s=30))
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
            body = {"model": "auto", "messages": HELLO, "stream": stream}
            stays, leaves = (
                asyncio.create_task(_read(session.post(f"{running.url}/v1/chat/completions", json=body)))
                for _ in range(2)
            )
            await asyncio.to_thread(assert_eventually, lambda: shared.requests()["claude"] == 2)
            leaves.cancel()
            await asyncio.to_thread(assert_eventually, lambda: _states(shared) == ["cancelled", "pending"])
            assert not stays.done()
            stays.cancel()
        await asyncio.to_thread(assert_eventually, lambda: _states(shared) == ["cancelled", "cancelled"])

    @pytest.mark.parametrize("path", ["chat/completions", "responses"])
    async def test_nothing_comes_after_an_error(self, running: Running, shared: Shared, path: str) -> None:
        """An answer that would begin anew ends the stream, and its request: no program would read on."""
        shared.behave("claude", Behaviour(reply='{"a": 1} ' * 50, chunks=40, fault=Fault.RESET_MID_BODY, cut_after=20))
        shared.behave("kimi_k2", Behaviour(reply="word " * 500, chunks=500, chunk_delay_s=0.05))
        form = {"type": "json_schema", "json_schema": {"schema": TOOL}}  # nobody can go on in the middle of one
        chat = {"messages": HELLO, "response_format": form}
        responses = {"input": "hello", "text": {"format": {"type": "json_schema", "schema": TOOL}}}
        body = {"model": "auto", "stream": True, **(responses if path == "responses" else chat)}
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
            told = await _read(session.post(f"{running.url}/v1/{path}", json=body))
        rows = [json.loads(line.removeprefix(b"data: ")) for line in told.splitlines() if line.startswith(b"data: {")]
        assert [bool(row.get("error")) or row.get("type") == "response.failed" for row in rows].index(True) == (
            len(rows) - 1
        )
        await asyncio.to_thread(assert_eventually, lambda: shared.books().rows[-1]["state"] == "failed")

    async def test_too_deep(self, running: Running) -> None:
        """What nests deeper than anybody can read is refused in the API's form."""
        deep = b'{"a":' * 900 + b"1" + b"}" * 900
        body = b'{"model": "auto", "messages": [{"role": "user", "content": ' + deep + b"}]}"
        named = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
        url = f"{running.url}/v1/chat/completions"
        async with aiohttp.ClientSession(headers=named) as client, client.post(url, data=body) as answer:
            assert (answer.status, (await answer.json())["error"]["type"]) == (400, "invalid_request_error")

    async def test_a_service_that_is_lost(self, chat: openai.AsyncOpenAI, shared: Shared) -> None:
        """What it was asked may be paid already: no SDK asks again by itself."""
        shared.behave("claude", Behaviour(delay_s=30))
        asking = asyncio.create_task(chat.chat.completions.create(model="claude", messages=HELLO))
        await asyncio.to_thread(assert_eventually, lambda: shared.requests()["claude"] == 1)
        shared.daemon.kill()
        shared.daemon.start()
        with pytest.raises(openai.InternalServerError) as caught:
            await asking
        assert (caught.value.status_code, caught.value.response.headers["x-should-retry"]) == (503, "false")
        assert shared.requests()["claude"] == 1

    async def test_a_failed_stream_says_so(self, chat: openai.AsyncOpenAI, shared: Shared) -> None:
        """What fails before its first word has a status of its own."""
        shared.behave("claude", Behaviour(status=400))
        shared.behave("kimi_k2", Behaviour(status=400))
        with pytest.raises(openai.APIError):
            [chunk async for chunk in await chat.chat.completions.create(model="auto", messages=HELLO, stream=True)]


class TestGuards:
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({}, 403),
            ({"Authorization": "Bearer another"}, 403),
            ({"Authorization": f"Bearer {TOKEN}", "Origin": "http://example.org"}, 403),
            ({"Authorization": f"Bearer {TOKEN}", "Host": "example.org"}, 403),
            ({"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/plain"}, 400),
            ({"x-api-key": TOKEN}, 200),
        ],
    )
    async def test_who_may(self, running: Running, shared: Shared, headers: dict[str, str], status: int) -> None:
        """The token, from a program and not from a web page, to this computer by its own name."""
        shared.behave("claude", Behaviour())
        body = b'{"model": "auto", "messages": [{"role": "user", "content": "hello"}]}'
        named = {"Content-Type": "application/json", **headers}
        url = f"{running.url}/v1/chat/completions"
        async with aiohttp.ClientSession(headers=named) as client, client.post(url, data=body) as answer:
            assert answer.status == status
            assert status == 200 or "message" in (await answer.json())["error"]

    @pytest.mark.parametrize(("request_line", "headers", "body", "status"), _UNHEARD_OF)
    def test_what_no_handler_reads(
        self, running: Running, shared: Shared, request_line: str, headers: bytes, body: bytes, status: int
    ) -> None:
        """Every refusal is in an API's form, also the HTTP server's own, and the bridge lives on."""
        known = f"{request_line}\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as line, line.makefile("rb") as told:
            line.sendall(known.encode() + headers + b"\r\n" + body)
            head, _, said = told.read().partition(b"\r\n\r\n")
        assert int(head.split()[1]) == status
        assert b"application/json" in head
        assert json.loads(said)["error"]["message"]
        assert (json.loads(said).get("type") == "error") == ("/messages" in request_line)

    def test_another_user_is_refused(self, running: Running, shared: Shared) -> None:
        """Though it has the token: the kernel says whose the connection is."""
        command = [sys.executable, "-c", _ASK, running.url, TOKEN]
        assert as_user("alice", command).stdout.strip() == "403"
        assert as_user("root", command).stdout.strip() == "200"


class TestRun:
    def test_a_program_needs_no_key(self, shared: Shared) -> None:
        """Its variables lead to the machine's models; its name is the label, its status ours."""
        shared.behave("claude", Behaviour(reply="good day", input_tokens=50, output_tokens=20))
        done = _run("--model", "auto", "--", sys.executable, "-c", _PROGRAM)
        assert (done.stdout, done.returncode) == ("good day\n", 7)
        row = shared.books().rows[-1]
        assert (row["state"], Path(sys.executable).name in row["labels"]) == ("done", True)

    def test_a_model_that_nobody_has(self, shared: Shared, tmp_path: Path) -> None:
        """Is told before the program begins, with the nearest names."""
        done = _run("--model", "claude/claude-sonet", "--", "touch", str(tmp_path / "began"))
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "there is no 'claude/claude-sonet'. Ask for claude/claude-sonnet-" in done.stderr
        assert not (tmp_path / "began").exists()

    def test_nothing_is_left_behind(self, shared: Shared) -> None:
        """The endpoint ends with the program, also where there is none."""
        done = _run("--", "no-such-program")
        assert (done.returncode, "command not found" in done.stderr) == (127, True)
        assert not _bridges_of("no-such-program")

    @pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
    def test_however_it_ends(self, shared: Shared, tmp_path: Path, number: signal.Signals) -> None:
        """A terminal that is closed, a kill: no endpoint stays."""
        program = tmp_path / f"waits-{number.name}"
        program.write_text("#!/bin/sh\nread -r word\n")
        program.chmod(0o755)
        command = [sys.executable, "-m", "cortexd.cli", "run", "--", str(program)]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as running:
            assert_eventually(lambda: _bridges_of(program.name) and _has_begun(str(program)))
            running.send_signal(number)
        assert_eventually(lambda: not _bridges_of(program.name))

    def test_what_cannot_be_run(self, shared: Shared, tmp_path: Path) -> None:
        """Is said in a word, with the status that a shell has for it; an unknown option is wrong use."""
        (tmp_path / "empty").touch(0o755)
        for word, status in ((str(tmp_path / "empty"), 126), (str(tmp_path), 126), ("--no-such-option", 2)):
            done = _run(word)
            assert (done.returncode, done.stderr.count("\n")) == (status, 1)


async def _read(posting: Any) -> bytes:
    async with posting as answer:
        return bytes(await answer.read())


def _states(shared: Shared) -> list[str]:
    """Of the last two requests."""
    return sorted(row["state"] for row in shared.books().rows[-2:])


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cortexd.cli", "run", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _bridges_of(program: str) -> list[str]:
    return [line for line in _processes() if "cortexd.bridge" in line and program in line]


def _has_begun(program: str) -> bool:
    return any(line.startswith("/bin/sh ") and program in line for line in _processes())


def _processes() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


_PROGRAM = """
import sys
from openai import OpenAI

answer = OpenAI().chat.completions.create(model="gpt-hard-coded", messages=[{"role": "user", "content": "hello"}])
print(answer.choices[0].message.content)
sys.exit(7)
"""
_ASK = """
import json, sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1] + "/v1/models", headers={"Authorization": "Bearer " + sys.argv[2]})
try:
    print(urllib.request.urlopen(request, timeout=10).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""

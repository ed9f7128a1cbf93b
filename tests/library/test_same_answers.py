"""The same bytes are the same answer, whether the daemon reads them or llm_router through the SDKs."""

from __future__ import annotations

import json
import random
import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from cortexd.config.settings import NetworkSettings, ProviderSettings, Secret
from cortexd.domain.messages import Answer, Call, Message, Role
from cortexd.errors import ProviderError
from cortexd.providers import Listener, Provider, make_provider
from llm_router import LLMProvider, LLMResponse, LLMRouter
from tests.library import wire_answers as wire
from tests.library.conftest import ask

MODELS = {"anthropic": "claude-sonnet-5-5", "openai": "kimi-k2.6", "responses": "gpt-5.4"}
PROVIDERS = {
    "anthropic": LLMProvider.CLAUDE,
    "openai": LLMProvider.KIMI_K2,
    "responses": LLMProvider.OPENAI,
}
each = pytest.mark.parametrize("api", list(MODELS))
LONG = 30_000  # tokens: above what Anthropic gives without a stream
ERROR = "an error"


class Server(socketserver.ThreadingTCPServer):
    """Answers every request with `reply` and closes the connection."""

    daemon_threads = True
    reply = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Exchange(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        length = 0
        while (line := self.rfile.readline()).strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        self.rfile.read(length)
        assert isinstance(self.server, Server)
        self.wfile.write(self.server.reply)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Exchange) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def id_of(id_: str) -> str:
    """A made-up id is another every time."""
    return re.sub(r"\Acall_[0-9a-f]{32}\Z", "made up", id_)


@dataclass(frozen=True)
class Heard:
    """What both sides can tell of an answer."""

    content: str
    calls: tuple[tuple[str, str, str], ...]
    tokens: int
    finish: str
    model: str
    reasoning: str

    @classmethod
    def of(cls, answer: Answer) -> Heard:
        calls = tuple((id_of(call.id), call.name, call.arguments) for call in answer.tool_calls)
        tokens = answer.usage.input_tokens + answer.usage.output_tokens if answer.usage else 0
        return cls(answer.content, calls, tokens, answer.finish_reason, answer.model, answer.reasoning)

    @classmethod
    def by_program(cls, response: LLMResponse | None, pieces: str | None = None) -> Heard:
        assert response is not None
        assert pieces is None or pieces == response.content
        calls = tuple(
            (id_of(call["id"]), call["function"]["name"], call["function"]["arguments"]) for call in response.tool_calls
        )
        said = response.reasoning_content
        return cls(response.content, calls, response.tokens_used, response.finish_reason, response.model, said)


@dataclass
class Sides:
    """The daemon's provider and a router, both on the server."""

    api: str
    server: Server
    provider: Provider
    router: LLMRouter

    async def daemon(self, reply: bytes, *, stream: bool) -> Heard | str:
        self.server.reply = reply
        told: list[Any] = []

        async def hear(deltas: Any) -> None:
            told.extend(deltas)

        call = Call(MODELS[self.api], (Message(Role.USER, "hello"),), timeout_s=10.0, max_tokens=1000)
        try:
            answer = await self.provider.complete(call, Listener(hear) if stream else None)
        except ProviderError:
            return ERROR
        assert not stream or "".join(piece for piece in told if isinstance(piece, str)) == answer.content
        return Heard.of(answer)

    def program(self, reply: bytes, *, stream: bool, max_tokens: int = 1000) -> Heard | str:
        self.server.reply = reply
        given: dict[str, Any] = {"force_provider": PROVIDERS[self.api], "max_tokens": max_tokens}
        try:
            if not stream:
                return Heard.by_program(self.router.complete(ask(), **given))
            pieces = self.router.stream(ask(), **given)
            text = "".join(pieces)
        except AssertionError:
            raise
        except Exception:  # the SDK's own: any kind
            return ERROR
        return Heard.by_program(pieces.response, text)

    async def program_in_a_loop(self, reply: bytes, *, stream: bool) -> Heard | str:
        self.server.reply = reply
        given: dict[str, Any] = {"force_provider": PROVIDERS[self.api]}
        try:
            if not stream:
                return Heard.by_program(await self.router.acomplete(ask(), **given))
            pieces = self.router.astream(ask(), **given)
            text = "".join([piece async for piece in pieces])
        except AssertionError:
            raise
        except Exception:  # the SDK's own: any kind
            return ERROR
        return Heard.by_program(pieces.response, text)


MakeSides = Callable[[str], Sides]


@pytest.fixture
async def make_sides(server: Server, openai_by_responses: None) -> Any:
    made: list[Sides] = []

    def build(api: str) -> Sides:
        url = server.url + ("" if api == "anthropic" else "/v1")
        settings = ProviderSettings("p", api, url, MODELS[api], key=Secret("sk-sim-key"))
        provider = make_provider(settings, NetworkSettings(), max_answer_bytes=16 * 1024 * 1024)
        given: dict[str, Any] = {
            "openai_api_key": "sk-sim-c",
            "openai_base_url": url,
            "openai_model": MODELS["responses"],
        }
        router = LLMRouter("sk-sim-a", "sk-sim-b", claude_base_url=url, kimi_base_url=url, **given)
        made.append(Sides(api, server, provider, router))
        return made[-1]

    yield build
    for sides in made:
        await sides.provider.aclose()
        await sides.router.aclose()


def http(body: bytes, content_type: str, framing: str = "close", *, cut: bool = False) -> bytes:
    head, size = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n", len(body)
    if framing == "length":
        return f"{head}content-length: {size + cut}\r\n\r\n".encode() + body
    if framing == "chunked":
        end = b"" if cut else b"0\r\n\r\n"
        return f"{head}transfer-encoding: chunked\r\n\r\n{size:x}\r\n".encode() + body + b"\r\n" + end
    return f"{head}\r\n".encode() + body


def events(body: bytes, framing: str = "close", *, cut: bool = False) -> bytes:
    return http(body, "text/event-stream", framing, cut=cut)


def expected(what: wire.Said) -> Heard | str:
    if not (what.calls or any(what.pieces) or what.refusal or what.finish == "length"):
        return ERROR  # an answer with nothing in it
    calls = tuple((call.id, call.name, json.dumps(call.arguments, ensure_ascii=False)) for call in what.calls)
    text = "".join((*what.pieces, what.refusal)).replace("\u0000", "\ufffd").replace("\ud800", "\ufffd")
    finish = "tool_calls" if calls and what.finish == "stop" else str(what.finish)
    finish = "content_filter" if what.refusal else finish
    return Heard(text, calls, sum(what.usage or ()), finish, "m", "".join(what.thoughts))


CASES = range(40)
FRAMINGS = ("close", "length", "chunked")
ODD = ("nonsense", "7", "[]", "null", '"text"', "{", '{"error": {"type": "overloaded_error", "message": "busy"}}')


def rolled(what: str, api: str) -> Iterator[tuple[random.Random, wire.Said, list[Any]]]:
    for number in CASES:
        rng = random.Random(f"{what} {api} {number}")
        said = wire.said(rng)
        yield rng, said, list(wire.stream(api, said, rng))


def spoil_an_event(api: str, rows: list[Any], rng: random.Random) -> bytes:
    at = rng.randrange(len(rows))
    return events(wire.frames(api, [*rows[:at], wire.spoilt(api, rows[at], rng), *rows[at + 1 :]], rng))


def put_in_an_odd_event(api: str, rows: list[Any], rng: random.Random) -> bytes:
    at = rng.randrange(len(rows) + 1)
    return events(wire.frames(api, [*rows[:at], rng.choice(ODD), *rows[at:]], rng))


def leave_one_out(api: str, rows: list[Any], rng: random.Random) -> bytes:
    at = rng.randrange(len(rows))
    return events(wire.frames(api, rows[:at] + rows[at + 1 :], rng, done=rng.random() < 0.5))


def cut_it_off(api: str, rows: list[Any], rng: random.Random) -> bytes:
    body = wire.frames(api, rows, rng)
    return events(body[: rng.randrange(len(body))], rng.choice(FRAMINGS), cut=True)


def end_without_a_reason(api: str, rows: list[Any], rng: random.Random) -> bytes:
    bare, ended = [wire.without_reason(row) for row in rows], rng.random() < 0.5
    return events(wire.frames(api, bare if ended or api == "openai" else bare[:-1], rng, done=ended))


class TestFaithful:
    @each
    async def test_streams(self, make_sides: MakeSides, api: str) -> None:
        """However a server cuts an answer into events, both hear what it says."""
        sides, wrong = make_sides(api), []
        for rng, what, rows in rolled("stream", api):
            reply = events(wire.frames(api, rows, rng, done=rng.random() < 0.8), rng.choice(FRAMINGS))
            heard = [await sides.daemon(reply, stream=True), sides.program(reply, stream=True)]
            heard.append(await sides.program_in_a_loop(reply, stream=True))
            wrong += [(what, one) for one in heard if one != expected(what)]
        assert wrong == []

    @each
    async def test_whole_answers(self, make_sides: MakeSides, api: str) -> None:
        """The same in one piece, also where a stream was asked for and the server can give none."""
        sides, wrong = make_sides(api), []
        for _, what, _ in rolled("whole", api):
            reply = http(json.dumps(wire.whole(api, what)).encode(), "application/json")
            heard = [await sides.daemon(reply, stream=stream) for stream in (False, True)]
            heard += [sides.program(reply, stream=stream) for stream in (False, True)]
            heard += [await sides.program_in_a_loop(reply, stream=stream) for stream in (False, True)]
            wrong += [(what, one) for one in heard if one != expected(what)]
        assert wrong == []

    async def test_long_answers_are_streams(self, make_sides: MakeSides) -> None:
        """A plain call for more than Anthropic gives in one piece is read from a stream."""
        sides, wrong = make_sides("anthropic"), []
        for rng, what, rows in rolled("long", "anthropic"):
            reply = events(wire.frames("anthropic", rows, rng))
            heard = sides.program(reply, stream=False, max_tokens=LONG)
            wrong += [] if heard == expected(what) else [(what, heard)]
        assert wrong == []


class TestSpoilt:
    @each
    @pytest.mark.parametrize(
        "spoil", [spoil_an_event, put_in_an_odd_event, leave_one_out, cut_it_off, end_without_a_reason]
    )
    async def test_streams(self, make_sides: MakeSides, api: str, spoil: Callable[..., bytes]) -> None:
        """A stream that something is wrong with is the same answer to both, or to both none."""
        sides, wrong, errors = make_sides(api), [], 0
        for rng, _, rows in rolled(spoil.__name__, api):
            reply = spoil(api, rows, rng)
            daemon = await sides.daemon(reply, stream=True)
            program = sides.program(reply, stream=True)
            errors += daemon == ERROR
            wrong += [] if daemon == program else [(reply, daemon, program)]
        assert wrong == []
        assert errors

    @each
    async def test_whole_answers(self, make_sides: MakeSides, api: str) -> None:
        """The same for an answer in one piece."""
        sides, wrong, errors = make_sides(api), [], 0
        for rng, what, _ in rolled("spoilt", api):
            reply = http(json.dumps(wire.spoilt(api, wire.whole(api, what), rng)).encode(), "application/json")
            daemon = await sides.daemon(reply, stream=False)
            program = await sides.program_in_a_loop(reply, stream=False)
            errors += daemon == ERROR
            wrong += [] if daemon == program else [(reply, daemon, program)]
        assert wrong == []
        assert errors

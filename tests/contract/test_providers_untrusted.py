"""Nothing that a provider sends is trusted: sizes are bounded, numbers clamped, text made safe, keys never repeated."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import tracemalloc
from dataclasses import fields
from typing import Any

import openai
import pytest

from cortexd.config.settings import ProviderSettings, Secret
from cortexd.domain.messages import Answer, Usage
from cortexd.errors import Failure, ProviderError
from cortexd.providers import Provider, preload
from cortexd.providers.vendor_clients import async_client, blocking_client
from simulated import Behaviour, Fault, SimulatedProviders
from tests.contract.conftest import DIRECT, HostileServer, MakeProvider, call
from tests.contract.kinds import KINDS, each
from tests.eventually import assert_eventually_async

KEY = "sk-sim-{name}-0123456789"
MEGABYTE = 1024 * 1024


async def end_of(provider: Provider, name: str, **changes: Any) -> Answer | ProviderError:
    """The answer or the error; nothing else may come out of an attempt."""
    try:
        return await provider.complete(call(name, **changes))
    except ProviderError as error:
        return error


def reply_of(name: str, text: object, **more: Any) -> str:
    """A vendor's answer around `text`, with fields of it replaced."""
    return KINDS[name].reply(text, **more)


class TestSizes:
    @each
    @pytest.mark.parametrize("head", ["transfer-encoding: chunked", "content-length: 41943040", "connection: close"])
    async def test_forty_megabytes_are_not_read(
        self, hostile: HostileServer, make: MakeProvider, name: str, head: str
    ) -> None:
        """An answer of 40 MB is given up soon after the bound, however its length is announced, and not buffered."""
        hostile.reply = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{head}\r\n\r\n".encode()
        chunk = b"x" * 65536
        hostile.endless = b"10000\r\n" + chunk + b"\r\n" if "chunked" in head else chunk
        provider = make(name, hostile.url(name))
        await preload(["anthropic", "openai"])
        tracemalloc.start()
        try:
            error = await end_of(provider, name)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert isinstance(error, ProviderError)
        assert (error.failure, error.may_have_billed) == (Failure.MALFORMED, True)
        assert "larger than 1048576 bytes" in error.message
        await assert_eventually_async(lambda: hostile.left == 1)
        assert hostile.sent < 20 * MEGABYTE
        assert peak < 30 * MEGABYTE

    @each
    async def test_an_answer_at_the_bound(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """An answer just within the bound is delivered whole."""
        hostile.json(reply_of(name, "x" * (MEGABYTE - 1000)))
        answer = await make(name, hostile.url(name)).complete(call(name))
        assert len(answer.content) == MEGABYTE - 1000

    @each
    async def test_a_gzip_bomb(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """A small body that inflates to 64 MB is given up at the bound."""
        hostile.json(gzip.compress(b" " * 64 * MEGABYTE), headers="content-encoding: gzip\r\n")
        error = await end_of(make(name, hostile.url(name)), name)
        assert isinstance(error, ProviderError)
        assert (error.failure, error.may_have_billed) == (Failure.MALFORMED, True)

    @each
    async def test_a_compressed_answer(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """A gateway that compresses although it was not asked to is understood."""
        hostile.json(gzip.compress(reply_of(name, "hi").encode()), headers="content-encoding: gzip\r\n")
        assert (await make(name, hostile.url(name)).complete(call(name))).content == "hi"

    @each
    async def test_a_false_encoding(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """A body that is not compressed as it claims is a malformed answer."""
        hostile.json(reply_of(name, "hi"), headers="content-encoding: gzip\r\n")
        error = await end_of(make(name, hostile.url(name)), name)
        assert isinstance(error, ProviderError)
        assert (error.failure, error.may_have_billed) == (Failure.MALFORMED, True)

    @each
    async def test_a_long_stream(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """A stream is bounded by what it says, too: beyond the bound it is given up and its connection closed."""
        simulated.behave(name, Behaviour(size_bytes=5 * MEGABYTE))
        error = await end_of(make(name, simulated.url(name)), name, max_tokens=64_000)
        assert isinstance(error, ProviderError)
        assert (error.failure, error.may_have_billed) == (Failure.MALFORMED, True)
        await assert_eventually_async(lambda: simulated.counts(name).open_connections == 0)

    @each
    async def test_a_stream_of_one_endless_line(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """A stream whose first event never ends is given up after a megabyte."""
        hostile.reply = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\ndata: "
        hostile.endless = b"x" * 65536
        error = await end_of(make(name, hostile.url(name)), name, max_tokens=64_000)
        assert isinstance(error, ProviderError)
        assert error.failure is Failure.MALFORMED
        await assert_eventually_async(lambda: hostile.left == 1)
        assert hostile.sent < 20 * MEGABYTE

    @each
    async def test_too_many_tool_calls(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """An answer with 257 tool calls is malformed; one with 256 is delivered."""
        provider = make(name, simulated.url(name))
        simulated.behave(name, Behaviour(tool_calls=(("t", "{}"),) * 256))
        answer = await provider.complete(call(name))
        assert len(answer.tool_calls) == 256
        simulated.behave(name, Behaviour(tool_calls=(("t", "{}"),) * 257))
        error = await end_of(provider, name)
        assert isinstance(error, ProviderError)
        assert (error.failure, error.may_have_billed) == (Failure.MALFORMED, True)


NASTY = "a\x00b\ud800c\uffffd\ufffe"


class TestTexts:
    @each
    @pytest.mark.parametrize("max_tokens", [100, 64_000])
    async def test_texts_are_safe(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, max_tokens: int
    ) -> None:
        """U+0000, lone surrogates and noncharacters are gone from every text of an answer, streamed or not."""
        arguments = json.dumps({"q": "\x00\ud800\uffff"}, ensure_ascii=False)
        simulated.behave(
            name, Behaviour(reply=NASTY, model=NASTY, stop_reason=NASTY, tool_calls=((f"t{NASTY}", arguments),))
        )
        answer = await make(name, simulated.url(name)).complete(call(name, max_tokens=max_tokens))
        wish = answer.tool_calls[0]
        for text in (answer.content, answer.model, answer.finish_reason, wish.id, wish.name, wish.arguments):
            text.encode()
            assert not set(text) & set("\x00\uffff\ufffe")
        assert answer.content == "a\ufffdb\ufffdc\ufffdd\ufffd"

    @each
    async def test_an_error_text_is_safe(self, simulated: SimulatedProviders, make: MakeProvider, name: str) -> None:
        """The same holds for an upstream error's text, which is also cut to 500 characters."""
        simulated.behave(name, Behaviour(status=500, error_message=NASTY * 200))
        error = await end_of(make(name, simulated.url(name)), name)
        assert isinstance(error, ProviderError)
        error.message.encode()
        assert not set(error.message) & set("\x00\uffff\ufffe")
        assert len(error.message) == 500


class TestNumbers:
    @each
    @pytest.mark.parametrize("value", [3, 3.0, 10**6])
    async def test_possible_counts_are_taken(
        self, hostile: HostileServer, make: MakeProvider, name: str, value: float
    ) -> None:
        """Token counts come out as integers, also where they came as 3.0."""
        hostile.json(reply_of(name, "hi", usage=KINDS[name].usage(value, value)))
        answer = await make(name, hostile.url(name)).complete(call(name))
        assert answer.usage is not None
        assert all(type(getattr(answer.usage, figure.name)) is int for figure in fields(Usage))
        assert answer.usage.input_tokens == answer.usage.output_tokens == value

    @each
    @pytest.mark.parametrize("value", [0, -1, 3.5, 10**8, 2**40, 2**70, 10**400, 1e300])
    async def test_impossible_counts_are_unknown(
        self, hostile: HostileServer, make: MakeProvider, name: str, value: float
    ) -> None:
        """A count that no request can have makes the usage unknown; the paid answer is still delivered."""
        hostile.json(reply_of(name, "hi", usage=KINDS[name].usage(value, value)))
        answer = await make(name, hostile.url(name)).complete(call(name))
        assert (answer.content, answer.usage) == ("hi", None)

    @each
    @pytest.mark.parametrize("value", ["12", float("nan"), float("inf"), True, [1], {}])
    async def test_what_is_no_number_is_unknown(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, value: object
    ) -> None:
        """A billed count that is no number makes the usage unknown; the paid answer is still delivered."""
        simulated.behave(name, Behaviour(reply="hi", usage={KINDS[name].counts[0]: value}))
        answer = await make(name, simulated.url(name)).complete(call(name))
        assert (answer.content, answer.usage) == ("hi", None)

    @each
    async def test_a_cache_larger_than_the_prompt(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """Parts are never larger than the whole."""
        hostile.json(reply_of(name, "hi", usage=KINDS[name].absurd))
        found = (await make(name, hostile.url(name)).complete(call(name))).usage
        assert found is not None
        assert found.cached_tokens + found.cache_write_tokens <= found.input_tokens


HARMLESS = [(name, more) for name, kind in KINDS.items() for more in kind.harmless]
HARMFUL = [(name, text) for name, kind in KINDS.items() for text in kind.harmful]


class TestShapes:
    @pytest.mark.parametrize(("name", "more"), HARMLESS)
    async def test_harmless_wrong_types(
        self, hostile: HostileServer, make: MakeProvider, name: str, more: dict[str, Any]
    ) -> None:
        """A wrong type where it does no harm costs nobody the answer."""
        hostile.json(reply_of(name, "hi", **more))
        answer = await make(name, hostile.url(name)).complete(call(name))
        assert (answer.content, answer.finish_reason) == ("hi", "stop")
        assert answer.model

    @pytest.mark.parametrize(("name", "content"), HARMFUL)
    async def test_harmful_wrong_types(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, content: str
    ) -> None:
        """A wrong type where the answer should be is a malformed answer that may have been billed."""
        simulated.behave(name, Behaviour(content_json=content, ignores_stream=True))
        error = await end_of(make(name, simulated.url(name)), name)
        assert isinstance(error, ProviderError)
        assert (error.failure, error.may_have_billed) == (Failure.MALFORMED, True)

    @each
    @pytest.mark.parametrize("body", ["", " ", "[]", "7", "null", "{}", "{", "[" * 100_000, '"', "\ufeff{}", "<html>"])
    async def test_bodies_that_are_no_answer(
        self, hostile: HostileServer, make: MakeProvider, name: str, body: str
    ) -> None:
        """A 200 with anything but an answer is malformed."""
        hostile.json(body)
        error = await end_of(make(name, hostile.url(name)), name)
        assert isinstance(error, ProviderError)
        assert (error.failure, error.may_have_billed) == (Failure.MALFORMED, True)

    async def test_parts_and_refusals(self, hostile: HostileServer, make: MakeProvider) -> None:
        """OpenAI-style content in parts is joined; a refusal is the text, with content_filter as the reason."""
        provider = make("kimi_k2", hostile.url("kimi_k2"))
        hostile.json(reply_of("kimi_k2", [{"type": "text", "text": "a"}, 7, {"type": "text", "text": "b"}]))
        assert (await provider.complete(call("kimi_k2"))).content == "ab"
        hostile.json(reply_of("kimi_k2", None, choices=[{"message": {"content": None, "refusal": "I won't"}}]))
        refused = await provider.complete(call("kimi_k2"))
        assert (refused.content, refused.finish_reason) == ("I won't", "content_filter")

    async def test_arguments_as_an_object(self, hostile: HostileServer, make: MakeProvider) -> None:
        """Tool arguments that a server sends as an object come out as JSON text; a missing id is made up."""
        calls = [{"function": {"name": "t", "arguments": {"a": 1}}}, {"id": "x", "function": {"name": "u"}}]
        hostile.json(reply_of("kimi_k2", None, choices=[{"message": {"content": None, "tool_calls": calls}}]))
        answer = await make("kimi_k2", hostile.url("kimi_k2")).complete(call("kimi_k2"))
        assert [wish.arguments for wish in answer.tool_calls] == ['{"a": 1}', "{}"]
        assert answer.tool_calls[0].id
        assert answer.tool_calls[1].id == "x"
        assert answer.finish_reason == "tool_calls"


class TestKeys:
    @each
    @pytest.mark.parametrize(
        "text",
        [
            "bad key: {key}",
            "{key}{key}",
            "you sent Authorization: Bearer {key}",
            "Incorrect API key provided: sk-proj-*****************wxyz",
            "x" * 490 + "{key}",
        ],
    )
    @pytest.mark.parametrize("place", ["401", "200", "stream"])
    async def test_a_key_is_never_repeated(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, text: str, place: str
    ) -> None:
        """A provider that repeats the key, or something like one, in its error does not make us repeat it."""
        key = KEY.format(name=name)
        fault = {"401": None, "200": Fault.ERROR_ON_200, "stream": Fault.STREAM_ERROR}[place]
        status = 401 if place == "401" else 200
        simulated.behave(name, Behaviour(status=status, fault=fault, error_message=text.format(key=key)))
        error = await end_of(make(name, simulated.url(name)), name, max_tokens=64_000)
        assert isinstance(error, ProviderError)
        told = f"{error} {error!r} {error.message}"
        assert key not in told
        assert "sk-" not in told
        assert len(error.message) <= 500

    @each
    async def test_a_traceback_shows_no_original(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A logged traceback of a failed attempt holds nothing of the SDK's own error, which repeats the key."""
        key = KEY.format(name=name)
        simulated.behave(name, Behaviour(status=401, error_message=f"bad key {key}"))
        with caplog.at_level(logging.DEBUG):
            try:
                await make(name, simulated.url(name)).complete(call(name))
            except ProviderError:
                logging.getLogger("test").exception("failed")
        assert "HTTP 401" in caplog.text
        assert key not in caplog.text

    @each
    async def test_no_prompt_in_the_log(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Even at debug level the SDKs log neither prompts nor keys."""
        with caplog.at_level(logging.DEBUG):
            await make(name, simulated.url(name)).complete(call(name, "a very private question"))
        assert "private" not in caplog.text
        assert KEY.format(name=name) not in caplog.text

    @each
    @pytest.mark.parametrize("key", ["sk-sim-with\nnewline", "sk-sim-Schlüssel", "sk sim"])
    async def test_a_key_that_no_header_can_carry(
        self, simulated: SimulatedProviders, make: MakeProvider, name: str, key: str
    ) -> None:
        """A broken key is an authentication failure that does not show the key, and nothing is sent."""
        error = await end_of(make(name, simulated.url(name), key=Secret(key)), name)
        assert isinstance(error, ProviderError)
        assert (error.failure, error.may_have_billed) == (Failure.AUTHENTICATION, False)
        assert key not in str(error)
        assert simulated.counts(name).requests == 0


class TestCookies:
    @each
    async def test_a_cookie_is_not_sent_back(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """What a provider sets with one answer does not come back with the next request."""
        hostile.json(reply_of(name, "hi"), headers="set-cookie: session=marked; Path=/\r\n")
        provider = make(name, hostile.url(name).replace("127.0.0.1", "localhost"))  # no cookies are kept for addresses
        for _ in range(2):
            await provider.complete(call(name))
        assert len(hostile.requests) == 2
        assert b"marked" not in b"".join(hostile.requests)

    async def test_nor_by_the_library(self, hostile: HostileServer) -> None:
        """The clients for threads and for one event loop keep none either."""
        hostile.json("{}", headers="set-cookie: session=marked; Path=/\r\n")
        url = hostile.url("kimi_k2").replace("127.0.0.1", "localhost")
        settings = ProviderSettings("kimi_k2", "openai", url, "m", key=Secret("sk-sim-0123456789"))
        blocking, http = blocking_client(openai.OpenAI, settings, DIRECT, MEGABYTE)
        awaited = async_client(openai.AsyncOpenAI, settings, DIRECT, MEGABYTE)
        for _ in range(2):
            await asyncio.to_thread(blocking.post, "/x", cast_to=object, body={})
            await awaited.post("/x", cast_to=object, body={})
        http.close()
        await awaited.close()
        assert len(hostile.requests) == 4
        assert b"marked" not in b"".join(hostile.requests)


class TestAccount:
    @each
    @pytest.mark.parametrize(
        ("text", "hidden"),
        [
            ("Rate limit reached for m in organization org-AbC123xyz on tokens per min.", "org-AbC123xyz"),
            ("Incorrect API key provided: ****wxyz.", "wxyz"),
            ("Your balance is $0.12, ask billing@example.com", "0.12"),
            ("Your balance is $0.12, ask billing@example.com", "billing"),
            ("project proj_a1b2c3 is over its limit", "a1b2c3"),
        ],
    )
    async def test_it_is_the_operators(
        self,
        simulated: SimulatedProviders,
        make: MakeProvider,
        caplog: pytest.LogCaptureFixture,
        name: str,
        text: str,
        hidden: str,
    ) -> None:
        """The caller learns the kind of failure and the provider's words, the journal also whose account it is."""
        simulated.behave(name, Behaviour(status=429, error_message=text))
        error = await end_of(make(name, simulated.url(name)), name)
        assert isinstance(error, ProviderError)
        assert (error.failure, error.status) == (Failure.RATE_LIMITED, 429)
        assert hidden not in error.message
        assert text.split()[0] in error.message
        assert hidden in caplog.text or "key" in text

    @each
    async def test_where_an_endpoint_is_stays_unsaid(
        self, make: MakeProvider, caplog: pytest.LogCaptureFixture, name: str
    ) -> None:
        """A connection that does not come about names neither host nor address nor port to the caller."""
        error = await end_of(make(name, "http://localhost:9/v1"), name)
        assert isinstance(error, ProviderError)
        assert error.failure is Failure.CONNECTION
        assert not [part for part in ("localhost", "127.0.0.1", "::1", ":9", " 9") if part in error.message]
        assert "localhost:9" in caplog.text

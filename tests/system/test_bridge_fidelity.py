"""What a program says to its vendor through the bridge arrives byte for byte, and so does what the vendor says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from simulated import Behaviour, ControlClient
from tests.eventually import assert_eventually
from tests.system.fidelity import FIGURES, TALKS, Talk
from tests.system.raw import PROVIDERS, Served, serving
from tests.system.test_bridge import TOKEN, Running, bridge

NANO = {"anthropic": 641_000, "openai": 268_100, "responses": 545_000}  # of FIGURES, by the vendors' price lists
each = pytest.mark.parametrize(("form", "talk"), TALKS.items(), ids=TALKS)


@pytest.fixture(scope="module", name="served_by_module")
def served_by_module_fixture(namespace: Path, simulated_of_session: ControlClient) -> Iterator[Served]:
    with serving(namespace / "fidelity", simulated_of_session) as served:
        yield served


@pytest.fixture(name="served")
def served_fixture(served_by_module: Served) -> Served:
    served_by_module.as_new()
    return served_by_module


@pytest.fixture(scope="module", name="running")
def running_fixture(served_by_module: Served) -> Iterator[Running]:
    with bridge() as running:
        yield running


@pytest.fixture(name="program")
async def program_fixture(running: Running) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(running.url, headers=headers) as session:
        yield session


async def ask(program: aiohttp.ClientSession, talk: Talk, body: str, status: int = 200) -> tuple[bytes, dict[str, str]]:
    async with program.post(talk.path, data=body.encode(), headers=talk.headers) as answer:
        told = await answer.read()
        assert answer.status == status, told
        return told, {name.lower(): value for name, value in answer.headers.items()}


async def settled(served: Served, request_id: str) -> int:
    """What the books have for it, in nano-dollars."""
    await asyncio.to_thread(assert_eventually, lambda: served.books().request(request_id)["state"] != "pending")
    row = served.books().request(request_id)
    assert (row["state"], row["cost_known"]) == ("done", 1)
    return int(row["cost_nano"])


class TestBytes:
    @each
    async def test_whole(self, form: str, talk: Talk, served: Served, program: aiohttp.ClientSession) -> None:
        """The vendor gets the body but for its model, the program the vendor's answer; the cost is the vendor's own."""
        served.behave(form, replace(FIGURES, script=(talk.whole,)))
        told, headers = await ask(program, talk, talk.asked(PROVIDERS[form], stream=False))
        assert served.sent(form) == talk.asked(talk.model, stream=False)
        assert told == talk.whole.encode()
        assert headers["x-cortex-lane"] == "raw"
        assert "x-cortex-lost" not in headers
        assert headers["x-cortex-cost-usd"] == f"0.{NANO[form]:09d}"
        assert await settled(served, headers["x-request-id"]) == NANO[form]

    @each
    async def test_stream(self, form: str, talk: Talk, served: Served, program: aiohttp.ClientSession) -> None:
        """The same, event by event, comments and unknown ones too; the usage that nobody asked for is kept back."""
        served.behave(form, replace(FIGURES, script=talk.events))
        told, headers = await ask(program, talk, talk.asked(PROVIDERS[form], stream=True))
        sent, counted = served.sent(form), '"stream_options":{"include_usage":true},' if talk.unasked else ""
        assert sent == "{" + counted + talk.asked(talk.model, stream=True).removeprefix("{")
        assert told == "".join(event for event in talk.events if event != talk.unasked).encode()
        assert headers["x-cortex-lane"] == "raw"
        assert await settled(served, headers["x-request-id"]) == NANO[form]

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_cache_of_an_hour(self, served: Served, program: aiohttp.ClientSession, stream: bool) -> None:
        """What is written for so long costs twice the input, and is known."""
        served.behave("anthropic", replace(FIGURES, hour_write_tokens=30))
        kept = {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
        body = {"model": "claude", "max_tokens": 90, "stream": stream, "system": [kept]}
        body["messages"] = [{"role": "user", "content": "hello"}]
        _, headers = await ask(program, TALKS["anthropic"], json.dumps(body))
        assert headers["x-cortex-lane"] == "raw"
        assert await settled(served, headers["x-request-id"]) == NANO["anthropic"] + 30 * 4_000

    async def test_a_stream_whose_usage_is_asked_for(self, served: Served, program: aiohttp.ClientSession) -> None:
        """Leaves and comes as it is, with the program's other options of it."""
        talk = TALKS["openai"]
        served.behave("openai", replace(FIGURES, script=talk.events))
        options = ', "stream_options" : { "include_usage" : true,"include_obfuscation":false }}'
        body = talk.asked("kimi_k2", stream=True).removesuffix("}") + options
        told, _ = await ask(program, talk, body)
        assert served.sent("openai") == body.replace('"kimi_k2"', '"kimi-k2.6"')
        assert told == "".join(talk.events).encode()

    @each
    async def test_headers(self, form: str, talk: Talk, served: Served, program: aiohttp.ClientSession) -> None:
        """Betas go along; the key is the machine's, and never the bridge's."""
        served.behave(form, replace(FIGURES, script=(talk.whole,)))
        await ask(program, talk, talk.asked(PROVIDERS[form], stream=False))
        received = served.simulated.received(PROVIDERS[form])[-1].headers
        assert talk.headers.items() <= received.items()
        assert TOKEN not in str(received)


class TestConversations:
    @pytest.mark.parametrize("stream", [False, True])
    async def test_goes_on_from_the_vendors_own_items(
        self, stream: bool, served: Served, program: aiohttp.ClientSession
    ) -> None:
        """By the name of the vendor's answer, with its reasoning as it came."""
        talk = TALKS["responses"]
        served.behave("responses", replace(FIGURES, script=talk.events if stream else (talk.whole,)))
        body = '{"model":"openai", "stream":%s,"input":[{"role":"user","content":"h\\u0065llo"}]}'
        await ask(program, talk, body % str(stream).lower())
        served.behave("responses", replace(FIGURES, script=(talk.whole,)))
        await ask(program, talk, '{"model":"openai","input":"go on", "previous_response_id":"resp_2"}')
        output = talk.whole.partition('"output":[')[2].partition('],"usage"')[0]
        assert served.sent("responses") == (
            '{"model":"gpt-5.4","input":[{"role":"user","content":"h\\u0065llo"},'
            + output
            + ',{"role":"user","content":"go on"}], "previous_response_id":null}'
        )


class TestTranslated:
    async def test_another_api_says_what_was_lost(self, served: Served, program: aiohttp.ClientSession) -> None:
        """The same body at a model behind another API: an answer in the body's words, and a header with the rest."""
        talk = TALKS["anthropic"]
        served.behave("openai", replace(FIGURES, reply="Warm and cold.", thinking="hm"))
        told, headers = await ask(program, talk, talk.asked("kimi_k2", stream=False))
        assert b'"text":"Warm and cold."' in told
        assert (headers["x-cortex-lane"], headers["x-cortex-provider"]) == ("translated", "kimi_k2")
        lost = set(headers["x-cortex-lost"].split(", "))
        assert {"content.thinking", "content.redacted_thinking", "cache_control", "x_of_tomorrow"} <= lost

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_body_that_its_vendor_refuses(
        self, stream: bool, served: Served, program: aiohttp.ClientSession
    ) -> None:
        """Servers that are only like OpenAI's: the same in words that suit the model, and what was left out is said."""
        served.behave("openai", Behaviour(reply="Warm and cold.", refused_fields=("seed",)))
        body = '{"model":"kimi_k2","seed":7,"stream":%s,"messages":[{"role":"user","content":"hello"}]}'
        told, headers = await ask(program, TALKS["openai"], body % str(stream).lower())
        assert b"Warm" in told
        assert (headers["x-cortex-lane"], headers["x-cortex-lost"], served.asked("openai")) == ("translated", "seed", 2)

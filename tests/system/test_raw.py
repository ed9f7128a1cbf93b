"""Requests in a vendor's own words: the same life as every other one, and not a byte lost where that can be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulated import Behaviour, ControlClient
from tests.system.program import NAME, Json, Program, program_fixture, refused  # noqa: F401
from tests.system.raw import PROVIDERS, Served, body_of, bytes_of, complete_raw, open_raw, serving

each = pytest.mark.parametrize("form", list(PROVIDERS))
OWN: dict[str, Json] = {"anthropic": {"stop_sequences": ["zz"]}, "openai": {"stop": ["zz"]}, "responses": {"top_p": 0.5}}
"""What only that API has."""
SAID = Behaviour(reply="Well said.", input_tokens=70, output_tokens=50)


@pytest.fixture(scope="module", name="served_by_module")
def served_by_module_fixture(namespace: Path, simulated_of_session: ControlClient) -> Iterator[Served]:
    with serving(namespace / "raw", simulated_of_session) as served:
        yield served


@pytest.fixture(name="served")
def served_fixture(served_by_module: Served) -> Served:
    served_by_module.as_new()
    return served_by_module


class TestWhole:
    @each
    async def test_it_passes_as_it_is(self, form: str, served: Served, program: Program) -> None:
        """The provider gets the body but for its model, the program that provider's own answer; so says the bill."""
        served.behave(form, SAID)
        body = body_of(form).replace("hello", "gr\\u00fc\\u00DFe").replace(": ", " :  ")
        raw = await complete_raw(program, form, body, provider=PROVIDERS[form])
        assert served.sent(form) == body.replace("any", raw.metadata["model"])
        assert "Well said." in json.dumps(raw.answer)
        assert (raw.metadata["lane"], raw.metadata["lost"], raw.metadata["input_tokens"]) == ("raw", [], 70)
        plain = await program.complete("user_chat", "hello", provider=PROVIDERS[form])
        assert raw.metadata["cost_nano_usd"] == plain.cost_nano > 0
        assert raw.metadata["cost_known"]
        assert served.books().request(raw.metadata["request_id"])["cost_nano"] == plain.cost_nano

    @each
    @pytest.mark.parametrize("provider", list(PROVIDERS.values()))
    async def test_anybody_can_answer(self, form: str, provider: str, served: Served, program: Program) -> None:
        """Who has another API gets a translation, and its answer comes in the words of the body."""
        for name in PROVIDERS:
            served.behave(name, SAID)
        raw = await complete_raw(program, form, body_of(form, **OWN[form]), provider=provider)
        own = provider == PROVIDERS[form]
        assert raw.metadata["lane"] == ("raw" if own else "translated")
        assert raw.metadata["lost"] == ([] if own else [*OWN[form]])
        assert set(raw.answer) >= {"id", "model", "usage"}
        assert "Well said." in raw.content


class TestStream:
    @each
    @pytest.mark.parametrize("provider", list(PROVIDERS.values()))
    async def test_it_ends_as_the_whole_one(self, form: str, provider: str, served: Served, program: Program) -> None:
        """Head, bytes in whole events, metadata; figures and cost are those of the whole answer."""
        for name in PROVIDERS:
            served.behave(name, SAID)
        whole = await complete_raw(program, form, body_of(form), provider=provider)
        events = await (await open_raw(program, form, provider=provider)).read()
        head, done = events[0], events[-1]
        assert {event["type"] for event in events[1:-1]} == {"raw"}
        assert all(event["data"].endswith(b"\n\n") for event in events[1:-1])
        assert (head["type"], head["provider"], head["lane"]) == ("head", provider, whole.metadata["lane"])
        assert b"Well" in bytes_of(events)
        for key in ("cost_nano_usd", "cost_known", "input_tokens", "output_tokens", "lane", "lost", "finish_reason"):
            assert done["metadata"][key] == whole.metadata[key]

    async def test_unasked_usage_is_kept_back(self, served: Served, program: Program) -> None:
        """The vendor is asked for it, since money needs it; the program hears of it where it asked too."""
        usage = b'"choices": []'
        plain = await (await open_raw(program, "openai", provider="kimi_k2")).read()
        assert json.loads(served.sent("openai"))["stream_options"] == {"include_usage": True}
        assert usage not in bytes_of(plain).replace(b'"choices":[]', usage)
        asked = body_of("openai", stream=True, stream_options={"include_usage": True})
        told = await (await open_raw(program, "openai", asked, provider="kimi_k2")).read()
        assert usage in bytes_of(told).replace(b'"choices":[]', usage)
        assert plain[-1]["metadata"]["cost_known"]
        assert plain[-1]["metadata"]["cost_nano_usd"] == told[-1]["metadata"]["cost_nano_usd"]

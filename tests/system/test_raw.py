"""Requests in a vendor's own words: the same life as every other one, and not a byte lost where that can be."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from simulated import Behaviour, ControlClient, Fault
from tests.eventually import assert_eventually_async
from tests.secrets_made import MAKERS
from tests.system.program import ERROR, NAME, Json, Program, program_fixture, refused  # noqa: F401
from tests.system.raw import PROVIDERS, Served, body_of, bytes_of, complete_raw, open_raw, serving
from tests.system.test_holds import answer, one_hold, set_own
from tests.system.users import programs_of

each = pytest.mark.parametrize("form", list(PROVIDERS))
OWN: dict[str, Json] = {
    "anthropic": {"stop_sequences": ["zz"]},
    "openai": {"stop": ["zz"]},
    "responses": {"top_p": 0.5},
}
"""What only that API has."""
TOKEN = MAKERS["github_token"](Random(5)).secret
NOT_ASKED = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
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

    @each
    async def test_a_refused_body_is_asked_in_other_words(self, form: str, served: Served, program: Program) -> None:
        """What the provider does not take is left out then, and the metadata says so; it is one attempt."""
        raw = await complete_raw(program, form, body_of(form, nonsense=1), provider=PROVIDERS[form])
        assert (raw.metadata["lane"], raw.metadata["lost"]) == ("translated", ["nonsense"])
        assert (served.asked(form), len(raw.metadata["attempts"])) == (2, 1)


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

    @each
    async def test_the_next_one_answers_before_the_first_byte(
        self, form: str, served: Served, program: Program
    ) -> None:
        """Nobody hears of the first one but the metadata."""
        served.behave(form, Behaviour(status=529), Behaviour(status=529))
        events = await (await open_raw(program, form, provider=PROVIDERS[form], fallback=True)).read()
        heads = [event for event in events if event["type"] == "head"]
        assert [event["lane"] for event in heads] == [events[-1]["metadata"]["lane"]] == ["translated"]
        assert events[-1]["metadata"]["attempts"][0]["outcome"] == "overloaded"

    @each
    @pytest.mark.parametrize("fault", [Fault.RESET_MID_BODY, Fault.STREAM_ERROR, Fault.END_EARLY])
    async def test_a_break_is_told_in_the_apis_own_words(
        self, form: str, fault: Fault, served: Served, program: Program
    ) -> None:
        """What was told stands; the last event is an error of that API, and the line after it says which."""
        slow = Behaviour(reply="one two " * 50, chunks=40, fault=fault, cut_after=20, chunk_delay_s=0.005)
        served.behave(form, slow)
        events = await (await open_raw(program, form, fallback=True, provider=PROVIDERS[form])).read()
        assert [events[0]["type"], events[-1]["type"]] == ["head", "error"]
        assert events[-1]["name"] == f"{ERROR}.ProviderFailed"
        told = bytes_of(events)
        last = json.loads(told.strip().splitlines()[-1].removeprefix(b"data: "))
        assert "error" in json.dumps(last)
        assert told.count(b"one two ") > 0
        assert sum(map(served.asked, PROVIDERS)) == 1
        [row] = served.books().attempts_of(served.books().rows[-1]["request_id"])
        assert row["cost_nano"] >= served.simulated.billed_undelivered(PROVIDERS[form]).nano

    @each
    async def test_who_leaves_ends_it(self, form: str, served: Served, program: Program) -> None:
        """The connection upstream closes, and what was used is booked."""
        served.behave(form, Behaviour(reply="word " * 1000, chunks=1000, chunk_delay_s=0.02))
        stream = await open_raw(program, form, provider=PROVIDERS[form])
        await stream.some()
        stream.close()
        await assert_eventually_async(lambda: served.simulated.counts(PROVIDERS[form]).client_aborts == 1, 5)
        await assert_eventually_async(lambda: served.books().request(stream.request_id)["state"] == "cancelled", 5)
        billed = served.simulated.billed_undelivered(PROVIDERS[form]).nano
        assert served.books().request(stream.request_id)["cost_nano"] >= billed

    async def test_cancel_is_told(self, served: Served, program: Program) -> None:
        """In the API's own words, and by its name."""
        served.behave("anthropic", Behaviour(reply="word " * 1000, chunks=1000, chunk_delay_s=0.02))
        stream = await open_raw(program, "anthropic", provider="claude", request_id="to-cancel")
        await stream.some()
        await program.call(NAME, "Cancel", "s", "to-cancel")
        events = await stream.read()
        assert events[-1]["name"] == f"{ERROR}.Cancelled"


class TestAgain:
    @each
    @pytest.mark.parametrize("stream", [False, True])
    async def test_the_same_id_gets_the_same_bytes(
        self, form: str, stream: bool, served: Served, program: Program
    ) -> None:
        """It is paid once; the same id with one other byte is refused."""
        name, body = f"again-{form}-{stream}", body_of(form, stream=stream)

        async def ask(text: str) -> bytes:
            options = {"provider": PROVIDERS[form], "request_id": name}
            if stream:
                return bytes_of(await (await open_raw(program, form, text, **options)).read())
            return (await complete_raw(program, form, text, **options)).content.encode()

        assert await ask(body) == await ask(body)
        assert served.asked(form) == 1
        with refused("RequestIdReused"):
            await ask(body + " ")

    @each
    @pytest.mark.parametrize("stream", [False, True])
    async def test_an_equal_body_may_be_answered_from_the_cache(
        self, form: str, stream: bool, served: Served, program: Program
    ) -> None:
        """With the same bytes, at no cost."""
        body = body_of(form, prompt=f"cached {form} {stream}", stream=stream)

        async def ask() -> tuple[bytes, Json]:
            options: Json = {"provider": PROVIDERS[form], "cache": True}
            if stream:
                events = await (await open_raw(program, form, body, **options)).read()
                return bytes_of(events), events[-1]["metadata"]
            raw = await complete_raw(program, form, body, **options)
            return raw.content.encode(), raw.metadata

        (first, paid), (again, free) = await ask(), await ask()
        assert (first, paid["lane"], free["lane"]) == (again, "raw", "raw")
        assert (paid["cache_hit"], free["cache_hit"], free["cost_nano_usd"], served.asked(form)) == (False, True, 0, 1)

    async def test_two_join_one_stream(self, served: Served, program: Program) -> None:
        """The second one gets all bytes, too."""
        served.behave("anthropic", Behaviour(reply="word " * 50, chunks=50, chunk_delay_s=0.01))
        options = {"provider": "claude", "request_id": "joined"}
        first = await open_raw(program, "anthropic", **options)
        second = await open_raw(program, "anthropic", **options)
        one, other = await asyncio.gather(first.read(), second.read())
        assert bytes_of(one) == bytes_of(other)
        assert served.asked("anthropic") == 1
        assert one[-1] == other[-1]


class TestRefused:
    @pytest.mark.parametrize(
        ("name", "form", "body", "options"),
        [
            ("InvalidArgument", "gemini", body_of("openai"), {}),
            ("InvalidArgument", "openai", "no JSON", {}),
            ("InvalidArgument", "openai", "[]", {}),
            ("InvalidArgument", "openai", body_of("openai", stream=True), {}),
            ("InvalidArgument", "openai", '{"model": "a", "model": "b", "messages": []}', {}),
            ("InvalidArgument", "openai", body_of("openai", service_tier="priority"), {}),
            ("InvalidArgument", "openai", body_of("openai", MAX_TOKENS=100_000), {}),
            ("InvalidArgument", "openai", body_of("openai", models=["dearer"]), {}),
            ("InvalidArgument", "responses", body_of("responses", previous_response_id="resp_1"), {}),
            ("InvalidArgument", "openai", body_of("openai"), {"temperature": 0.5}),
            ("InvalidArgument", "openai", body_of("openai"), {"max_tokens": 5}),
            ("InvalidArgument", "openai", body_of("openai"), {"on_break": "continue"}),
            ("InvalidArgument", "openai", body_of("openai"), {"headers": {"authorization": "mine"}}),
            ("InvalidArgument", "openai", body_of("openai"), {"headers": {"openai-beta": "a\nb: c"}}),
            ("InvalidArgument", "openai", body_of("openai"), {"temprature": 0.5}),
            ("UnknownProvider", "openai", body_of("openai"), {"provider": "nobody"}),
            ("TooLarge", "openai", body_of("openai", prompt="x" * (8 * 1024 * 1024)), {}),
            ("BudgetExceeded", "anthropic", body_of("anthropic"), {"provider": "claude", "max_cost_usd": 0.0000001}),
        ],
    )
    async def test_nothing_leaves(
        self, name: str, form: str, body: str, options: Json, served: Served, program: Program
    ) -> None:
        """The error says what to do, and nobody was asked."""
        with refused(name):
            await complete_raw(program, form, body, **options)
        assert sum(map(served.asked, PROVIDERS)) == 0

    async def test_a_stream_that_is_none(self, served: Served, program: Program) -> None:
        """A body for a whole answer opens no stream, and leaves no descriptor."""
        before = len(list(Path(f"/proc/{served.daemon.pid}/fd").iterdir()))
        with refused("InvalidArgument") as text:
            await open_raw(program, "openai", body_of("openai"))
        assert "CompleteRaw" in text[0]
        assert len(list(Path(f"/proc/{served.daemon.pid}/fd").iterdir())) <= before

    @each
    async def test_what_the_vendor_refuses_marks_nobody(self, form: str, served: Served, program: Program) -> None:
        """Its words are told, and it stays well."""
        served.behave(form, Behaviour(status=400, error_message="no such word"))
        with refused("ProviderFailed") as text:
            await complete_raw(program, form, body_of(form), provider=PROVIDERS[form])
        assert "no such word" in text[0]
        assert (await program.providers())[PROVIDERS[form]]["state"] == "ok"


class TestMoney:
    async def test_three_answers_are_reserved_three_times(self, served: Served, program: Program) -> None:
        """So that a sum which has room for one is no room for three."""
        one, three = body_of("openai"), body_of("openai", n=3)
        whole = await self._worst_case(program, one)
        assert await self._worst_case(program, three) > 2 * whole

    async def test_the_larger_of_two_limits_is_reserved(self, served: Served, program: Program) -> None:
        """Whichever of them the vendor obeys."""
        both = body_of("openai", max_tokens=20_000, max_completion_tokens=1)
        assert await self._worst_case(program, both) > 10 * await self._worst_case(program, body_of("openai"))

    async def _worst_case(self, program: Program, body: str) -> float:
        """As the refusal of a sum that has no room says it, in dollars."""
        with refused("BudgetExceeded") as text:
            await complete_raw(program, "openai", body, provider="kimi_k2", max_cost_usd=0.000001)
        return float(re.findall(r"\$([0-9.]+)", text[0])[0])

    async def test_without_a_limit_the_models_own_counts(self, served: Served, program: Program) -> None:
        """Nothing less is reserved than the vendor may write."""
        body = json.dumps({"model": "any", "messages": [{"role": "user", "content": "hello"}]})
        assert await self._worst_case(program, body) > 10 * await self._worst_case(program, body_of("openai"))

    async def test_what_no_usage_tells_is_not_known(self, served: Served, program: Program) -> None:
        """Server tools cost beside tokens."""
        tools = [{"type": "web_search_20250305", "name": "web_search"}]
        raw = await complete_raw(program, "anthropic", body_of("anthropic", tools=tools), provider="claude")
        assert (raw.metadata["lane"], raw.metadata["cost_known"]) == ("raw", False)
        assert raw.metadata["cost_nano_usd"] > 0

    async def test_a_cap_of_ones_own_holds_it(self, served: Served, program: Program) -> None:
        """Nothing leaves until the user's word; then it is answered as ever."""
        await set_own(program, day_usd="0.0000001", at_limit="ask")
        try:
            waiting = asyncio.create_task(complete_raw(program, "anthropic", body_of("anthropic"), provider="claude"))
            hold = await one_hold(program)
            assert (hold["provider"], served.asked("anthropic")) == ("claude", 0)
            await answer(program, hold["hold_id"], "once")
            assert (await waiting).metadata["lane"] == "raw"
        finally:
            await set_own(program, remove=True)


class TestPrivacy:
    async def test_models_elsewhere_get_placeholders(self, served: Served, program: Program) -> None:
        """Also for what stands where no message has a word for it; the answer has the secret again."""
        body = body_of("anthropic", prompt=f"my token is {TOKEN}", metadata={"user_id": f"and {TOKEN}"})
        raw = await complete_raw(program, "anthropic", body, provider="claude", secrets="redact")
        assert TOKEN not in served.sent("anthropic")
        assert (raw.metadata["lane"], raw.metadata["secrets_found"]) == ("translated", {"github_token": 1})
        assert TOKEN in raw.content
        beside = body_of("anthropic", metadata={"user_id": f"and {TOKEN}"})
        found = await complete_raw(program, "anthropic", beside, provider="claude", secrets="redact")
        assert (found.metadata["secrets_found"], TOKEN in served.sent("anthropic")) == ({"github_token": 1}, False)

    async def test_local_ones_get_it_as_it_is(self, served: Served, program: Program) -> None:
        """Nothing leaves the machine there."""
        served.simulated.behave("office", Behaviour(keys=("none",)))
        body = body_of("openai", prompt=f"my token is {TOKEN}")
        raw = await complete_raw(program, "openai", body, provider="office", secrets="redact")
        assert (raw.metadata["lane"], TOKEN in served.simulated.received("office")[-1].body) == ("raw", True)


class TestRights:
    async def test_a_system_task_needs_its_own_right(self, served: Served) -> None:
        """As Complete has it: bob may ask, and may not ask for that."""
        async with programs_of("bob") as [bob]:
            with refused(NOT_ASKED, "AccessDenied"):
                await complete_raw(bob, "anthropic", body_of("anthropic"), "system_operation")
        assert sum(map(served.asked, PROVIDERS)) == 0

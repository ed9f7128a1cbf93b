"""A stream that breaks after its first word: begun again, gone on with or ended, and what each costs."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from cortexd.domain.messages import Answer, OnBreak, ToolCall
from cortexd.errors import InvalidArgument
from cortexd.providers import Delta
from cortexd.routing.continuing import INSTRUCTION, ToldSeam
from cortexd.validation import parse_options
from simulated import Behaviour, Fault
from tests.unit.failing import OTHER, Event, adopt, assert_balanced, each_kind, kinds, stream, text_of, warm_up
from tests.unit.test_execution import HELLO, Bench, bench_fixture, upstream_fixture  # noqa: F401

TEXT = "One two three four five six seven eight nine ten eleven twelve."
REST = "<and on from here>"
SECRET = "sk-ant-api03-" + "Zq8_vT3xR7mN2kLw" * 4
CONFIDED = [{"role": "user", "content": f"my key is {SECRET}"}]
TOOL = {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}
BREAKS = (Fault.END_EARLY, Fault.RESET_MID_BODY, Fault.STREAM_ERROR, Fault.MALFORMED_JSON, Fault.BARE_DONE)


def broken(provider: str, at: int = 20, reply: str = TEXT, fault: Fault = Fault.END_EARLY, **more: Any) -> Behaviour:
    """Says `at` characters of the reply, each in an event of its own, and breaks."""
    opening = provider == "claude"  # the event that begins a block of text
    return Behaviour(reply=reply, chunks=len(reply), cut_after=at + opening, fault=fault, **more)


def before_of(events: list[Event]) -> str:
    """What was told up to the break."""
    told = ""
    for event in events:
        if event["type"] in ("continue", "fallback", "error"):
            return told
        told += event.get("text", "")
    raise AssertionError(f"nothing broke: {events}")


def asked_of(bench: Bench, provider: str) -> dict[str, Any]:
    """The last request that it got."""
    body: dict[str, Any] = bench.simulated.received(provider)[-1].json()
    return body


def words_of(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


class TestContinue:
    @each_kind
    @pytest.mark.parametrize("fault", BREAKS)
    async def test_the_next_goes_on(self, bench: Bench, first: str, fault: Fault) -> None:
        """The reader sees one text, and an event that says which model goes on; that one was shown what was said."""
        await warm_up(bench)
        await adopt(bench, first, on_break=OnBreak.CONTINUE)
        bench.simulated.behave(first, broken(first, fault=fault, chunk_delay_s=0.002))
        bench.simulated.behave(OTHER[first], Behaviour(reply=REST))
        events = await stream(bench, max_tokens=1000)
        told = before_of(events)
        assert told
        assert TEXT.startswith(told)
        assert kinds(events) == ["text", "continue", "text", "done"]
        [event] = [event for event in events if event["type"] == "continue"]
        assert event["provider"] == OTHER[first]
        assert text_of(events) == told + REST
        body = asked_of(bench, OTHER[first])
        assert [words_of(message) for message in body["messages"]] == ["hello", told, INSTRUCTION]
        assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
        assert (body.get("max_tokens") or body.get("max_completion_tokens")) == 1000 - len(told) // 4
        metadata = events[-1]["metadata"]
        assert metadata["provider"] == OTHER[first]
        assert metadata["route_reason"] == f"goes on where {first} broke off"
        assert [item["provider"] for item in metadata["attempts"]] == [first, OTHER[first]]
        assert metadata["cost_nano_usd"] == sum(item["cost_nano_usd"] for item in metadata["attempts"])
        await assert_balanced(bench)

    async def test_one_that_would_cost_more_than_is_left_is_refused(self, bench: Bench) -> None:
        """max_cost_usd bounds the request: what broke off has cost, too. The error says so, and nobody is asked."""
        await warm_up(bench)
        await adopt(bench, "claude", on_break=OnBreak.CONTINUE)
        bench.simulated.behave("claude", broken("claude"))
        asked_before = bench.simulated.counts("kimi_k2").requests
        events = await stream(bench, max_tokens=300, max_cost_usd=0.0035)
        assert kinds(events) == ["text", "error"]
        assert "left of max_cost_usd" in events[-1]["message"]
        assert bench.simulated.counts("kimi_k2").requests == asked_before
        bench.simulated.behave("claude", broken("claude"))
        assert kinds(await stream(bench, max_tokens=300, max_cost_usd=0.02)) == ["text", "continue", "text", "done"]
        await assert_balanced(bench)

    async def test_who_joined_has_the_whole_answer(self, bench: Bench) -> None:
        """As one that came from one model."""
        await warm_up(bench)
        await adopt(bench)
        bench.simulated.behave("claude", broken("claude", chunk_delay_s=0.02))
        bench.simulated.behave("kimi_k2", Behaviour(reply=REST))
        options = {"on_break": "continue", "request_id": "joined"}
        reading = asyncio.create_task(stream(bench, **options))
        while not bench.service.requests(bench.caller()):
            await asyncio.sleep(0)
        completion = await bench.ask(**options)
        assert completion.content == text_of(await reading) == TEXT[:20] + REST
        await assert_balanced(bench)

    @each_kind
    async def test_a_repetition_is_left_out(self, bench: Bench, first: str) -> None:
        """Models like to begin with the last words, or with the cut word."""
        await warm_up(bench)
        for at, again in ((20, TEXT[:20]), (24, TEXT[4:24]), (12, "three"), (45, "")):
            await adopt(bench, first, on_break=OnBreak.CONTINUE)
            bench.simulated.behave(first, broken(first, at=at))
            rest = TEXT[at:] if again != "three" else TEXT[13:]
            bench.simulated.behave(OTHER[first], Behaviour(reply=again + rest, chunks=len(again + rest)))
            events = await stream(bench)
            assert text_of(events) == TEXT, at
        await assert_balanced(bench)

    async def test_a_second_break_too(self, bench: Bench) -> None:
        """A third goes on with what both have said."""
        await warm_up(bench)
        office = {"key": bench.config.providers["claude"].key, "base_url": bench.simulated.url("office", "openai")}
        await adopt(bench, "claude, kimi_k2, deepseek", {"deepseek": office}, on_break=OnBreak.CONTINUE)
        bench.simulated.behave("claude", broken("claude", at=10))
        bench.simulated.behave("kimi_k2", broken("kimi_k2", at=10, reply=TEXT[10:]))
        bench.simulated.behave("office", Behaviour(reply=TEXT[20:]))
        events = await stream(bench)
        assert text_of(events) == TEXT
        assert kinds(events) == ["text", "continue", "text", "continue", "text", "done"]
        assert words_of(asked_of(bench, "office")["messages"][-2]) == TEXT[:20]
        await bench.nothing_is_left()

    @each_kind
    async def test_after_a_tool_call_it_starts_again(self, bench: Bench, first: str) -> None:
        """Wherever it breaks: a call that was told cannot be gone on with, half a call is none."""
        await warm_up(bench)
        calls = (("look", '{"at": "the sky"}'), ("look", '{"at": "the sea"}'))
        seen = set()
        for at in range(1, 14):
            await adopt(bench, first, on_break=OnBreak.CONTINUE)
            spoken = Behaviour(reply="So ", chunks=3, tool_calls=calls, cut_after=at, fault=Fault.END_EARLY)
            bench.simulated.behave(first, spoken)
            bench.simulated.behave(OTHER[first], Behaviour(reply=REST))
            events = await stream(bench, tools=[TOOL])
            types = kinds(events)
            if "continue" not in types and "fallback" not in types:
                continue  # Anthropic's events: nothing but the last was missing
            broke = next(kind for kind in types if kind in ("continue", "fallback"))
            told = types[: types.index(broke)]
            assert (broke == "fallback") is ("tool_call" in told), events
            assert text_of(events).endswith(REST)
            seen.add(broke)
        # OpenAI's form tells a call when the answer ends, Anthropic's when its block does
        assert seen == ({"continue", "fallback"} if first == "claude" else {"continue"})
        await assert_balanced(bench)

    async def test_an_answer_in_a_schema_starts_again(self, bench: Bench) -> None:
        """Who must answer with JSON can only begin it."""
        await warm_up(bench)
        await adopt(bench, on_break=OnBreak.CONTINUE)
        bench.simulated.behave("claude", broken("claude", reply=json.dumps({"a": TEXT})))
        bench.simulated.behave("kimi_k2", Behaviour(reply='{"a": "b"}'))
        schema = {
            "type": "object",
            "properties": {"a": {"type": "string"}},
            "required": ["a"],
            "additionalProperties": False,
        }
        events = await stream(bench, response_schema=json.dumps(schema))
        assert kinds(events) == ["text", "fallback", "text", "done"]
        assert text_of(events) == '{"a": "b"}'
        await assert_balanced(bench)

    async def test_what_the_longer_prompt_may_cost_is_reserved(self, bench: Bench) -> None:
        """A caller's limit holds for the continuation too: it is left out where it could cost more."""
        await warm_up(bench)
        await adopt(bench, "kimi_k2", on_break=OnBreak.CONTINUE)
        bench.simulated.behave("kimi_k2", broken("kimi_k2", at=350, reply="word " * 80))
        events = await stream(bench, max_tokens=100, max_cost_usd=0.0012)
        assert kinds(events) == ["text", "error"]
        assert "could cost more than max_cost_usd" in events[-1]["message"]
        assert bench.simulated.counts("claude").requests == 0
        await assert_balanced(bench)


class TestOthers:
    @each_kind
    async def test_restart_is_the_default(self, bench: Bench, first: str) -> None:
        """The text counts no more, and the next one is asked what was asked."""
        await warm_up(bench)
        await adopt(bench, first)
        bench.simulated.behave(first, broken(first))
        events = await stream(bench)
        assert kinds(events) == ["text", "fallback", "text", "done"]
        assert text_of(events).endswith("hello")
        assert len(asked_of(bench, OTHER[first])["messages"]) == 1
        await assert_balanced(bench)

    @each_kind
    async def test_fail_asks_nobody_else(self, bench: Bench, first: str) -> None:
        """The error is the stream's end; before the first word another is asked as ever."""
        await warm_up(bench)
        await adopt(bench, first, on_break=OnBreak.FAIL)
        bench.simulated.behave(first, broken(first))
        events = await stream(bench)
        assert kinds(events) == ["text", "error"]
        assert events[-1]["name"].endswith(".ProviderFailed")
        assert f"tried={first}:connection" in events[-1]["message"]
        assert bench.simulated.counts(OTHER[first]).requests == 0
        bench.simulated.behave(first, Behaviour(status=500))
        assert kinds(await stream(bench)) == ["text", "done"]
        await assert_balanced(bench)

    async def test_the_calls_own_wish_goes_first(self, bench: Bench) -> None:
        """Before what the operator has set."""
        await warm_up(bench)
        await adopt(bench, on_break=OnBreak.FAIL)
        bench.simulated.behave("claude", broken("claude"))
        assert "continue" in kinds(await stream(bench, on_break="continue"))
        with pytest.raises(InvalidArgument):
            parse_options({"on_break": "go on"})

    @pytest.mark.parametrize("on_break", [*OnBreak])
    async def test_a_plain_call_is_answered_whole(self, bench: Bench, on_break: OnBreak) -> None:
        """Nobody has heard what was said before: another answers, whatever is set."""
        await warm_up(bench)
        await adopt(bench, on_break=on_break)
        bench.simulated.behave("claude", broken("claude"))
        completion = await bench.ask()
        assert (completion.provider, completion.content.endswith("hello")) == ("kimi_k2", True)
        assert len(asked_of(bench, "kimi_k2")["messages"]) == 1
        await assert_balanced(bench)


class TestSecrets:
    async def placeholder(self, bench: Bench) -> str:
        """What stands for the secret outside."""
        await stream(bench, messages=CONFIDED, secrets="redact", session="s")
        found = re.search("SECRET_[0-9a-f]{16}", bench.simulated.received("claude")[-1].body)
        assert found
        return found[0]

    async def test_a_placeholder_cut_at_the_seam(self, bench: Bench) -> None:
        """Wherever it is cut the reader has the secret, and no model elsewhere has."""
        await warm_up(bench)
        await adopt(bench, on_break=OnBreak.CONTINUE)
        name = await self.placeholder(bench)
        said = f"it is {name} or {name}!"
        for at in range(3, len(said)):
            await adopt(bench, on_break=OnBreak.CONTINUE)
            start = next((place for place in (6, 10 + len(name)) if place < at < place + len(name)), at)
            bench.simulated.behave("claude", broken("claude", at=at, reply=said))
            bench.simulated.behave("kimi_k2", Behaviour(reply=said[start:], chunks=9))
            bench.service.forget(os.getuid())  # who answers in the session
            events = await stream(bench, messages=CONFIDED, secrets="redact", session="s")
            assert text_of(events) == said.replace(name, SECRET), at
            body = bench.simulated.received("kimi_k2")[-1].body
            assert SECRET not in body
            assert said[:start].strip() in body
        await bench.nothing_is_left()

    async def test_what_a_local_model_said_goes_out_hidden(self, bench: Bench) -> None:
        """It knows the secret and may have said half of it; the one elsewhere is shown none of that."""
        await warm_up(bench)
        await adopt(bench, on_break=OnBreak.CONTINUE)
        name = await self.placeholder(bench)
        said = f"it is {SECRET}, {SECRET}!"
        await adopt(bench, "kimi_k2", {"kimi_k2": {"local": True}})
        for at in range(3, len(said)):
            await adopt(bench, "kimi_k2", {"kimi_k2": {"local": True}}, on_break=OnBreak.CONTINUE)
            inside = next((place for place in (6, 8 + len(SECRET)) if place + 4 <= at < place + len(SECRET)), at)
            bench.simulated.behave("kimi_k2", broken("kimi_k2", at=at, reply=said))
            bench.simulated.behave("claude", Behaviour(reply=said[inside:].replace(SECRET, name)))
            bench.service.forget(os.getuid())  # who answers in the session
            events = await stream(bench, messages=CONFIDED, secrets="redact", session="s")
            assert text_of(events) == said, at
            body = bench.simulated.received("claude")[-1].body
            assert SECRET[:8] not in body
        await bench.nothing_is_left()


class TestSeam:
    async def joined(self, before: str, pieces: Sequence[Delta], cut: str = "") -> tuple[list[Delta], str]:
        told: list[Delta] = []

        async def hear(deltas: Sequence[Delta]) -> None:
            told.extend(deltas)

        seam = ToldSeam(before, cut, hear)
        for piece in pieces:
            await seam.hear([piece])
        await seam.rest()
        whole = "".join(piece for piece in pieces if isinstance(piece, str))
        return told, seam.answer(Answer(whole, "m", None), 7).content

    async def test_whatever_the_pieces_it_is_one_text(self) -> None:
        """What was told in pieces is the whole answer, and nothing is left out but an exact repetition."""
        random = Random(12)
        for _ in range(3000):
            before = "".join(random.choice(("ab", "abc", " ", "na", "0, ")) for _ in range(random.randint(1, 60)))
            repeated = before[len(before) - random.choice((0, 1, 2, 3, 5, 17, 40)) :] if random.random() < 0.7 else ""
            rest = "".join(random.choice(("ab", "abc", " ", "na", "0, ")) for _ in range(random.randint(0, 30)))
            left, pieces = repeated + rest, []
            while left:
                size = random.randint(1, 12)
                pieces.append(left[:size])
                left = left[size:]
            told, whole = await self.joined(before, pieces)
            assert before + "".join(map(str, told)) == whole
            dropped = len(before + repeated + rest) - len(whole)
            assert whole == before + (repeated + rest)[dropped:]
            assert before.endswith((repeated + rest)[:dropped])
            assert dropped >= 16 or (repeated + rest)[:dropped].isalnum() or not dropped
            if len(repeated) >= 16:
                assert dropped >= len(repeated)

    @pytest.mark.parametrize(
        ("before", "after", "whole"),
        [
            ("He was very ", "very good", "He was very very good"),
            ("hel", "lo", "hello"),
            ("The capi", "capital", "The capital"),
            ("1, 2, 100", "100", "1, 2, 100"),
            ("1, 2, 10", "0, 3", "1, 2, 100, 3"),
            ("a long sentence that ends", "a long sentence that ends here", "a long sentence that ends here"),
        ],
    )
    async def test_what_counts_as_repeated(self, before: str, after: str, whole: str) -> None:
        """The last words, or the beginning of the word that was cut; a doubled word may be meant."""
        assert (await self.joined(before, list(after)))[1] == whole

    async def test_a_tool_call_ends_the_wait(self) -> None:
        """What was held back is told before it."""
        call = ToolCall("1", "look", "{}")
        told, _ = await self.joined("a long sentence", ["a long", call])
        assert told == ["a long", call]

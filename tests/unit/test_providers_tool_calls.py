"""Tool calls as servers send them, made whole, told apart, and named so that no two are one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortexd.errors import Failure, ProviderError
from cortexd.providers.anthropic.answer import read_answer as read_anthropic
from cortexd.providers.anthropic.stream import EventCollector
from cortexd.providers.decoding import MAX_TOLERATED
from cortexd.providers.openai.answer import read_answer
from cortexd.providers.openai.stream import ChunkCollector
from cortexd.providers.tool_calls import MAX_NAME, MAX_TOOL_CALLS, arguments_text

A, B = '{"city": "London"}', '{"tz": "UTC"}'


def fragment(name: str | None = None, arguments: Any = None, id_: str | None = None, index: int | None = None) -> Any:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    row = {"index": index, "id": id_, "function": function}
    return {key: value for key, value in row.items() if value is not None}


def streamed(*fragments: Any, finish: str = "tool_calls", taken: tuple[str, ...] = ()) -> Any:
    collector = ChunkCollector("m", 10_000, taken)
    for row in fragments:
        collector.feed(json.dumps({"choices": [{"delta": {"tool_calls": [row]}}]}).encode())
    collector.feed(json.dumps({"choices": [{"delta": {}, "finish_reason": finish}]}).encode())
    return collector.answer()


def whole(*arguments: Any, finish: str = "tool_calls", taken: tuple[str, ...] = (), id_: str | None = "i") -> Any:
    calls = [{"id": id_, "function": {"name": "f", "arguments": value}} for value in arguments]
    choice = {"message": {"content": None, "tool_calls": calls}, "finish_reason": finish}
    return read_answer(json.dumps({"choices": [choice]}).encode(), "m", taken)


class TestArguments:
    @pytest.mark.parametrize(
        ("given", "text"),
        [
            (None, "{}"),
            ("", "{}"),
            (" \n", "{}"),
            ("null", "{}"),
            ({}, "{}"),
            ('{"a": 1}', '{"a": 1}'),
            ('{"a":1.50}', '{"a":1.50}'),
            ({"a": 1}, '{"a": 1}'),
            ('"{\\"a\\": 1}"', '{"a": 1}'),
            ('" {\\"a\\": 1}"', ' {"a": 1}'),
            ('{"a": "x\ny"}', '{"a": "x\\ny"}'),
            ('{"a": "\\ud83d"}', '{"a": "\ufffd"}'),
            ('{"a": "\\ud83d\\ude00"}', '{"a": "\\ud83d\\ude00"}'),
            ('{"a": NaN}', None),
            ('{"a": Infinity}', None),
            ('{"a": ', None),
            ("{}{}", None),
            ("look", None),
            ("[" * 100_000, None),
        ],
    )
    def test_texts(self, given: object, text: str | None) -> None:
        """Whole JSON, as it came where it can be; anything else is none."""
        assert arguments_text(given) == text

    def test_a_bound_on_what_is_mended(self) -> None:
        """Raw line feeds are written anew in arguments of up to a megabyte; beyond it they are not JSON."""
        longest = '{"a": "\n' + "x" * (MAX_TOLERATED - 10) + '"}'
        assert len(longest) == MAX_TOLERATED
        assert arguments_text(longest) == longest.replace("\n", "\\n")
        assert arguments_text(" " + longest) is None

    @pytest.mark.parametrize("given", ['{"a": NaN}', '{"a": ', "look"])
    def test_broken_ones(self, given: str) -> None:
        """A call that nobody can run is a broken answer."""
        for read, row in ((whole, given), (streamed, fragment("f", given, "i", 0))):
            with pytest.raises(ProviderError) as failed:
                read(row)
            assert (failed.value.failure, failed.value.may_have_billed) == (Failure.MALFORMED, True)

    @pytest.mark.parametrize("given", ['{"a": ', "", None])
    @pytest.mark.parametrize("finish", ["length", "content_filter"])
    def test_cut_off(self, given: str | None, finish: str) -> None:
        """A call that was cut off is not told; one that was whole before it is."""
        for answer in (
            whole(A, given, finish=finish),
            streamed(fragment("f", A, "a", 0), fragment("g", given, "b", 1), finish=finish),
        ):
            assert [call.arguments for call in answer.tool_calls] == [A]
            assert answer.finish_reason == finish

    def test_cut_off_among_others(self) -> None:
        """Whole calls on both sides of a broken one are told."""
        answer = whole(A, '{"a": ', B, finish="length")
        assert [call.arguments for call in answer.tool_calls] == [A, B]

    def test_at_most_so_many(self) -> None:
        """As many calls as anybody can mean, and one more."""
        assert len(whole(*[A] * MAX_TOOL_CALLS, id_=None).tool_calls) == MAX_TOOL_CALLS
        with pytest.raises(ProviderError) as failed:
            whole(*[A] * (MAX_TOOL_CALLS + 1))
        assert failed.value.failure is Failure.MALFORMED

    def test_cut_off_at_anthropic(self) -> None:
        """There the last call is half, however whole its input looks; in a stream its JSON says it."""
        use = {"type": "tool_use", "id": "i", "name": "f", "input": {"path": "/tm"}}
        body = {"content": [{"type": "text", "text": "a"}, use], "stop_reason": "max_tokens"}
        answer = read_anthropic(json.dumps(body).encode(), "m")
        assert (answer.tool_calls, answer.finish_reason) == ((), "length")
        collector = EventCollector("m", 1000)
        for event in (
            {"type": "message_start", "message": {"content": []}},
            {"type": "content_block_start", "index": 0, "content_block": {**use, "input": {}}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}},
            {"type": "message_stop"},
        ):
            collector.feed(json.dumps(event).encode())
            assert collector.take() == []
        assert (collector.answer().tool_calls, collector.answer().finish_reason) == ((), "length")

    def test_the_reason(self) -> None:
        """An answer with calls ended with them, whatever the server says."""
        assert streamed(fragment("f", A, "i", 0), finish="stop").finish_reason == "tool_calls"
        assert whole(A, finish="stop").finish_reason == "tool_calls"


class TestFragments:
    @pytest.mark.parametrize(
        "fragments",
        [
            [fragment("f", A, "x", 0), fragment("g", B, "y", 1)],
            [fragment("f", A, "x", 0), fragment("g", B, "y", 0)],
            [fragment("f", A, index=0), fragment("g", B, index=0)],
            [fragment("f", A, "", 0), fragment("g", B, "", 0)],
            [fragment("f", A, "call_0", 0), fragment("g", B, "call_0", 0)],
            [fragment("f", A), fragment("g", B)],
            [fragment("f", ""), fragment(None, A), fragment("g", ""), fragment(None, B)],
            [fragment("f", A[:5], index=0), fragment(None, A[5:], index=0), fragment("g", B, index=0)],
            [fragment("f", A[:5], "x", 0), fragment("f", A[5:], "x", 0), fragment("g", B, "y", 1)],
            [fragment("f", {}, "x", 0), fragment(None, json.loads(A), index=0), fragment("g", B, "y", 1)],
            [fragment("f", "{}", "x", 0), fragment("f", A, "x", 0), fragment("g", json.loads(B), "y", 1)],
            [fragment("f", A[:5], "x", 0), fragment("g", B, "y", 1), fragment(None, A[5:], index=0)],
        ],
    )
    def test_two_calls(self, fragments: list[Any]) -> None:
        """Index, id, name or a further whole object: whatever there is tells them apart."""
        calls = streamed(*fragments).tool_calls
        assert [(call.name, json.loads(call.arguments)) for call in calls] == [
            ("f", json.loads(A)),
            ("g", json.loads(B)),
        ]
        assert len({call.id for call in calls}) == 2

    @pytest.mark.parametrize("id_", [None, "x"])
    def test_one_tool_twice(self, id_: str | None) -> None:
        """A further whole object is a further call, of the same tool too."""
        calls = streamed(fragment("f", A, id_, 0), fragment("f", B, id_, 0)).tool_calls
        assert [(call.name, call.arguments) for call in calls] == [("f", A), ("f", B)]
        assert calls[0].id != calls[1].id

    @pytest.mark.parametrize("name", ["f", None])
    def test_a_further_one_after_a_blank(self, name: str | None) -> None:
        """Also where a blank follows the first object, and the second one is not named again."""
        calls = streamed(fragment("f", f"{A} ", None, 0), fragment(name, B, None, 0)).tool_calls
        assert [(call.name, json.loads(call.arguments)) for call in calls] == [
            ("f", json.loads(A)),
            ("f", json.loads(B)),
        ]

    def test_at_most_so_many(self) -> None:
        """The bound holds where they come in pieces, too."""
        pieces = [fragment("f", A, f"i{number}", number) for number in range(MAX_TOOL_CALLS + 1)]
        assert len(streamed(*pieces[:-1]).tool_calls) == MAX_TOOL_CALLS
        with pytest.raises(ProviderError) as failed:
            streamed(*pieces)
        assert failed.value.failure is Failure.MALFORMED

    def test_half_a_character_at_anthropic(self) -> None:
        """An input with half a character alone is an input all the same: none of the answer is lost."""
        collector = EventCollector("m", 1000)
        for event in (
            {"type": "message_start", "message": {"content": []}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "i", "name": "f"}},
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": '{"a": "\ud83d"}'},
            },
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
            {"type": "message_stop"},
        ):
            collector.feed(json.dumps(event).encode())
        [call] = collector.answer().tool_calls
        assert call.name == "f"
        assert json.loads(call.arguments)["a"]

    @pytest.mark.parametrize("index", [None, 0])
    def test_one_that_is_said_once_more(self, index: int | None) -> None:
        """A last fragment that repeats the whole call, its id too, is no second one: a tool must not run twice."""
        pieces = (fragment("f", A[:9], "x", index), fragment(None, A[9:], None, index))
        for again in (
            fragment("f", f" {A}", "x", index),
            fragment("f", json.dumps(A), "x", index),
            fragment("f", A, "x", 7),
        ):
            [call] = streamed(*pieces, again).tool_calls
            assert (call.id, call.name, json.loads(call.arguments)) == ("x", "f", json.loads(A))

    def test_one_that_is_said_twice_in_a_whole_answer(self) -> None:
        """The same; without an id, or with other arguments, it is a second one."""
        assert len(whole(A, A).tool_calls) == 1
        assert len(whole(A, A, id_=None).tool_calls) == len(whole(A, B).tool_calls) == 2

    def test_braces_in_a_text(self) -> None:
        """What looks like a further object inside a string is none, also when it comes very often."""
        text = json.dumps({"t": "}{" * 200})
        pieces = [text[at : at + 1] for at in range(len(text))]
        calls = streamed(fragment("f", "", "i", 0), *(fragment(None, piece, index=0) for piece in pieces)).tool_calls
        assert [call.arguments for call in calls] == [text]

    def test_halves_of_a_character(self) -> None:
        """A character that was cut in two is one again."""
        calls = streamed(fragment("f", '{"a": "\ud83d', "i", 0), fragment(None, '\ude00"}', index=0)).tool_calls
        assert json.loads(calls[0].arguments) == {"a": "\N{GRINNING FACE}"}


class TestNames:
    def test_ids_are_made_up_anew(self) -> None:
        """Two answers without ids share none, and none stands for two calls."""
        ids = [call.id for _ in range(2) for call in whole(A, B, id_=None).tool_calls]
        ids += [call.id for _ in range(2) for call in streamed(fragment("f", A), fragment("g", B)).tool_calls]
        assert len(set(ids)) == 8

    def test_ids_of_earlier_turns(self) -> None:
        """A server that counts from call_0 again does not repeat an id of the conversation."""
        for answer in (
            whole(A, id_="call_0", taken=("call_0",)),
            streamed(fragment("f", A, "call_0", 0), taken=("call_0",)),
        ):
            assert answer.tool_calls[0].id not in ("", "call_0")
        assert whole(A, id_="call_1", taken=("call_0",)).tool_calls[0].id == "call_1"

    def test_one_id_for_two(self) -> None:
        """The second gets another."""
        first, second = whole(A, B).tool_calls
        assert first.id == "i" != second.id

    def test_the_longest_name(self) -> None:
        """It is kept whole."""
        name = "x" * MAX_NAME
        assert [call.name for call in streamed(fragment(name, A, "i", 0)).tool_calls] == [name]

    @pytest.mark.parametrize("name", [None, "", " ", 7, "x" * (MAX_NAME + 1)])
    def test_no_name(self, name: object) -> None:
        """A call without a name that a tool can have is a broken answer; a name that was cut would be another's."""
        with pytest.raises(ProviderError) as failed:
            streamed({"index": 0, "id": "i", "function": {"name": name, "arguments": A}})
        assert failed.value.failure is Failure.MALFORMED

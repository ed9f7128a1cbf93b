"""Conversations as people have them, made into ones that every provider takes: what is said in tables, the rest drawn
by lot and held against the rules of both simulated APIs."""

from __future__ import annotations

import json
import random
import re
from itertools import pairwise
from typing import Any

import pytest

from cortexd.domain.messages import Call, ImagePart, Message, Role, TextPart, Tool, ToolCall
from cortexd.domain.quirks import Quirk
from cortexd.providers.anthropic.request import request_body as anthropic_body
from cortexd.providers.conversation import Manners, arranged
from cortexd.providers.conversation.calls import CallNames, json_object, sent_names, short_id, strict_id, usual_id
from cortexd.providers.openai.request import request_body as openai_body
from cortexd.validation import parse_messages, parse_options
from simulated import anthropic_rules, openai_rules

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16
SAID = {"s": Role.SYSTEM, "u": Role.USER, "a": Role.ASSISTANT}


def talk(*words: str) -> tuple[Message, ...]:
    """Messages from "u hello", "a" (blank), and so on."""
    return tuple(Message(SAID[word[0]], word[2:]) for word in words)


def asks(*ids: str, name: str = "look", arguments: str = "{}") -> Message:
    return Message(Role.ASSISTANT, "", tuple(ToolCall(id_, name, arguments) for id_ in ids))


def result(id_: str, text: str = "seen") -> Message:
    return Message(Role.TOOL, text, tool_call_id=id_)


def a_call(*messages: Message, **changes: Any) -> Call:
    return Call("m", messages, 1.0, 100, **changes)


def shown(turns: tuple[Message, ...]) -> list[str]:
    """A letter and the words of each turn; of calls and results their ids."""
    rows = []
    for turn in turns:
        ids = [call.id for call in turn.tool_calls] + [turn.tool_call_id or ""]
        texts = [part.text for part in turn.parts() if isinstance(part, TextPart)]
        rows.append(" ".join([turn.role.value[0], *filter(None, ids), *texts]))
    return rows


BOTH_ENDS = Manners(begins_with_user=True, ends_with_user=True)


class TestTurns:
    @pytest.mark.parametrize(
        ("said", "system", "turns"),
        [
            (["u a", "a", "u b"], "", ["u a b"]),
            (["u a", "a  \n", "u"], "", ["u a"]),
            (["s", "u b"], "", ["u b"]),
            (["s x", "u a", "s y", "a b", "u c"], "x\n\ny", ["u a", "a b", "u c"]),
            (["u a", "u b", "a c", "a d", "u e"], "", ["u a b", "a c d", "u e"]),
            (["a hello", "u a"], "", ["u Begin the conversation.", "a hello", "u a"]),
            (["s x", "a hello", "u a"], "x", ["u Begin the conversation.", "a hello", "u a"]),
            (["u a", "a 1. apples"], "", ["u a", "a 1. apples", "u Continue."]),
            (["u a", "a b", "u  "], "", ["u a", "a b", "u Continue."]),
            (["s x", "u a", "a b", "s sum up"], "x", ["u a", "a b", "u sum up"]),
            (["u a", "s x"], "x", ["u a"]),
            (["a alone"], "", ["u Begin the conversation.", "a alone", "u Continue."]),
        ],
    )
    def test_what_is_said_keeps_its_order(self, said: list[str], system: str, turns: list[str]) -> None:
        """Blanks go, systems come first, neighbours become one turn; the user begins and ends where that is wanted."""
        made = arranged(a_call(*talk(*said)), BOTH_ENDS)
        assert (made.system, shown(made.turns)) == (system, turns)

    @pytest.mark.parametrize("said", [["a hello", "u a"], ["u a", "a 1. apples"]])
    def test_others_go_on_from_there(self, said: list[str]) -> None:
        """Where nobody insists on it nothing is put into the user's mouth."""
        assert shown(arranged(a_call(*talk(*said)), Manners()).turns) == said

    @pytest.mark.parametrize(
        ("messages", "turns"),
        [
            ([asks("a", "b"), result("b"), result("a")], ["a a b", "t a seen", "t b seen"]),
            ([asks("a"), Message(Role.USER, "hurry"), result("a")], ["a a", "t a seen", "u hurry"]),
            ([asks("a"), Message(Role.USER, "never mind")], ["a a", "t a (no result)", "u never mind"]),
            ([asks("a")], ["a a", "t a (no result)"]),
            ([asks("a"), result("a", "1"), result("a", "2")], ["a a", "t a 1 2"]),
            ([asks("a"), asks("b"), result("a"), result("b")], ["a a", "t a seen", "a b", "t b seen"]),
            ([asks("a"), result("a", "")], ["a a", "t a"]),
            ([asks("c", "c"), result("c", "1"), result("c", "2")], ["a c c_2", "t c 1", "t c_2 2"]),
            ([asks("c"), result("c", "1"), asks("c"), result("c", "2")], ["a c", "t c 1", "a c_2", "t c_2 2"]),
        ],
    )
    def test_results_stand_after_their_calls(self, messages: list[Message], turns: list[str]) -> None:
        """In the order of the calls, each once, under ids that are each used once."""
        assert shown(arranged(a_call(Message(Role.USER, "q"), *messages), Manners()).turns)[1:] == turns

    def test_names_keep_turns_apart(self) -> None:
        """Two speakers of one role stay two, unless names are not taken."""
        messages = (Message(Role.USER, "a", name="ann"), Message(Role.USER, "b", name="ben"))
        assert len(arranged(a_call(*messages), Manners()).turns) == 2
        assert shown(arranged(a_call(*messages), Manners(anonymous=True)).turns) == ["u a b"]

    def test_strict_templates(self) -> None:
        """A template that knows no system and no user after a tool gets neither."""
        call = a_call(*talk("s x", "u a"), asks("c"), result("c"), Message(Role.USER, "and?"))
        quirks = frozenset({Quirk.STRICT_TURNS, Quirk.NO_SYSTEM, Quirk.SHORT_IDS})
        messages = json.loads(openai_body(call, quirks).whole())["messages"]
        assert [row["role"] for row in messages] == ["user", "assistant", "tool", "assistant", "user"]
        assert messages[0]["content"] == "x\n\na"
        assert re.fullmatch(r"[a-zA-Z0-9]{9}", messages[2]["tool_call_id"])


class TestNames:
    AWKWARD = ("a.b", "a b", "a/b", "", "x" * 65, "x" * 256, "1st", "_x", "-", "ünï", "日本", "a\nb", "tool", "a_b")

    def test_every_name_fits_and_none_is_shared(self) -> None:
        """What is sent is taken everywhere; what was good already stays as it is."""
        sent = sent_names(self.AWKWARD)
        assert all(re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}", name) for name in sent.values())
        assert len(set(sent.values())) == len(self.AWKWARD)
        assert (sent["tool"], sent["a_b"]) == ("tool", "a_b")

    def test_the_same_in_every_turn(self) -> None:
        """A name is sent alike whatever stands beside it: caches depend on it."""
        alone = {name: sent_names([name])[name] for name in self.AWKWARD}
        assert sent_names(reversed(self.AWKWARD)) == alone

    def test_a_name_that_is_taken(self) -> None:
        """A tool that is called what another one becomes does not take its place."""
        made = sent_names(["a.b"])["a.b"]
        sent = sent_names(["a.b", made])
        assert sent[made] == made
        assert sent["a.b"] != made

    @pytest.mark.parametrize("body_of", [anthropic_body, openai_body])
    def test_there_and_back(self, body_of: Any) -> None:
        """Offered, chosen and called under one sent name; the answer's call comes back under the caller's."""
        history = (Message(Role.USER, "q"), asks("a", name="web.search v2"), result("a"))
        call = a_call(*history, tools=(Tool("web.search v2"),), tool_choice="web.search v2")
        request = body_of(call)
        [name] = sent_names(["web.search v2"]).values()
        assert request.content.count(f'"{name}"'.encode()) == 3
        assert b"web.search v2" not in request.content
        back = request.own_call(ToolCall("b", name, "{}"))
        assert back == ToolCall("b", "web.search v2", "{}")
        assert request.own_call(ToolCall("b", "made-up", "{}")).name == "made-up"

    def test_an_id_that_the_conversation_has(self) -> None:
        """An answer that calls `call_0` once more gets another id, always the same one."""
        names = CallNames(ids=frozenset({"call_0", "call_0_2"}))
        assert names.own_call(ToolCall("call_0", "f", "{}")).id == "call_0_3"
        assert names.own_call(ToolCall("call_1", "f", "{}")).id == "call_1"


class TestIds:
    @pytest.mark.parametrize("id_", ["functions.w:0", "x" * 41, "x" * 256, "a b", "ü", "\U0001f600", "call_1"])
    @pytest.mark.parametrize(
        ("fit", "pattern"),
        [(strict_id, "[a-zA-Z0-9_-]{1,40}"), (usual_id, "[!-~]{1,40}"), (short_id, "[a-zA-Z0-9]{9}")],
    )
    def test_each_fits(self, id_: str, fit: Any, pattern: str) -> None:
        """In the characters and the length that are taken."""
        assert re.fullmatch(pattern, fit(id_))

    @pytest.mark.parametrize("fit", [strict_id, usual_id, short_id])
    def test_what_becomes_alike_stays_apart(self, fit: Any) -> None:
        """Ids that differ only in what is taken from them are two in what is sent."""
        ids = ["a.b", "a:b", "a_b", "x" * 50 + "1", "x" * 50 + "2"]
        turns = arranged(a_call(asks(*ids), *map(result, ids)), Manners(fit_id=fit)).turns
        sent = [call.id for call in turns[0].tool_calls]
        assert len(set(sent)) == len(ids)
        assert [turn.tool_call_id for turn in turns[1:]] == sent


class TestArguments:
    @pytest.mark.parametrize("text", ['{"x": 1}', '{"x": 12345678901234567890.10}', '{"x": "\\ud83d\\ude00"}', "{}"])
    def test_an_object_stays_as_it_is(self, text: str) -> None:
        """No digit and no escape is touched."""
        assert json_object(text) == text

    @pytest.mark.parametrize(
        "text", ['{"x": ', "[1]", "7", '"x"', "null", '{"x": NaN}', '{"x": [-Infinity]}', "\ufeff{}", "[" * 5000, "é"]
    )
    def test_other_text_is_put_into_one(self, text: str) -> None:
        """For the model to see what it wrote."""
        assert json.loads(json_object(text)) == {"arguments": text}

    @pytest.mark.parametrize("text", ["", "  \n"])
    def test_none_at_all(self, text: str) -> None:
        """No arguments are an empty object."""
        assert json_object(text) == "{}"

    @pytest.mark.parametrize("half", ["\\ud83d", "\\ude00", "\\uD83Dx"])
    def test_half_a_pair_is_replaced(self, half: str) -> None:
        """Keys and values are valid Unicode when they leave."""
        made = json_object(f'{{"{half}": ["a{half}"]}}')
        assert "\\ud" not in made.lower()
        assert json.loads(made.encode()) == {f"\ufffd{half[6:]}": [f"a\ufffd{half[6:]}"]}


def row_by_lot(rng: random.Random, called: list[str]) -> dict[str, Any]:
    """One message as somebody may send it; `called` are the ids that were called so far."""
    role = rng.choice(["system", "user", "user", "assistant", "assistant", "tool"])
    text = rng.choice(["", " \n", "hello", "…", "\ud800x"])
    if role == "tool" and called:
        return {"role": role, "content": text, "tool_call_id": rng.choice(called)}
    if role == "assistant" and rng.random() < 0.6:
        calls = [
            {
                "id": rng.choice(["call_0", "call_1", "functions.f:0", "x" * 60]),
                "name": rng.choice(["f", "a.b", "web search", "x" * 70, ""]),
                "arguments": rng.choice(["{}", "", "{", '{"x": NaN}', '{"x": "\\ud800"}', "[]", '{"a": 1}']),
            }
            for _ in range(rng.randint(1, 3))
        ]
        called += [call["id"] for call in calls]
        return {"role": role, "content": rng.choice([None, text]), "tool_calls": calls}
    if role == "user" and rng.random() < 0.3:
        parts: list[dict[str, Any]] = [{"type": "text", "text": text}, {"type": "text", "text": "x"}]
        return {"role": role, "content": rng.sample([*parts, {"type": "image", "data": PNG}], rng.randint(0, 3))}
    return {"role": "user" if role == "tool" else role, "content": text}


class TestByLot:
    @pytest.mark.parametrize("seed", range(300))
    def test_both_apis_take_what_is_sent(self, seed: int) -> None:
        """Whatever passes the validation breaks no rule of either API, nor of a strict template; nothing said is
        lost."""
        rng = random.Random(seed)
        called: list[str] = []
        rows = [row_by_lot(rng, called) for _ in range(rng.randint(1, 12))]
        last = {"role": rng.choice(["user", "assistant", "system"]), "content": "hello"}
        rows.insert(rng.randint(0, len(rows)), {"role": "user", "content": "hello"})
        messages = parse_messages([*rows, last])
        tools = parse_options({"tools": [{"name": "web search"}, {"name": "f"}, {"name": "a.b"}]}).tools
        call = a_call(*messages, tools=tools)
        anthropic_rules.check(json.loads(anthropic_body(call).whole()))
        openai_rules.check(json.loads(openai_body(call).whole()))
        strict = json.loads(openai_body(call, frozenset({Quirk.STRICT_TURNS})).whole())
        openai_rules.check(strict)
        roles = [row["role"] for row in strict["messages"] if row["role"] != "system"]
        assert (roles[0], roles[-1] != "assistant") == ("user", True)
        assert not {("user", "user"), ("assistant", "assistant"), ("tool", "user")} & set(pairwise(roles))
        words = sum(message.text().count("hello") for message in messages)
        assert openai_body(call).whole().count(b"hello") == words


class TestImages:
    def test_they_stay_where_they_are(self) -> None:
        """Texts beside an image are parts, alone they are one text."""
        image = ImagePart("image/png", PNG)
        mixed = Message(Role.USER, (TextPart("a"), image, TextPart(" "), TextPart("b")))
        content = json.loads(openai_body(a_call(mixed)).whole())["messages"][0]["content"]
        assert [part["type"] for part in content] == ["text", "image_url", "text"]
        plain = Message(Role.USER, (TextPart("a"), TextPart(""), TextPart("b")))
        assert json.loads(openai_body(a_call(plain)).whole())["messages"][0]["content"] == "a\n\nb"

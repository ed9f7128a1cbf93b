"""Requests in a vendor's own words before anybody is asked: what is read of them, who can have them, what they may
cost."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import pytest

from cortexd.authority import Action, Caller, action_for
from cortexd.config.settings import AuthorizationSettings, LimitSettings
from cortexd.domain.messages import OnBreak, Role
from cortexd.domain.raw import RawCall
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType
from cortexd.errors import InvalidArgument, TooLarge
from cortexd.privacy import Guard
from cortexd.privacy.guard import Disguise
from cortexd.requests.intake import Request
from cortexd.requests.raw import UNREAD, silence_s, take_in_raw
from cortexd.routing import Health, Plan, Question, plan_route
from cortexd.validation import parse_raw_options
from tests.unit.routes import ALL, OFFICE, catalog_of, config, names

CALLER = Caller(":1.1", 1000, "me")
BODIES: Mapping[str, dict[str, Any]] = {
    "anthropic": {"model": "x", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]},
    "openai": {"model": "x", "messages": [{"role": "user", "content": "hello"}]},
    "responses": {"model": "x", "input": "hello"},
}
SERVER_TOOL = {"type": "web_search_20250305", "name": "web_search"}
RESULT = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
each = pytest.mark.parametrize("form", list(BODIES))


def taken(form: str = "anthropic", options: object = None, *, stream: bool = False, **more: Any) -> Request:
    body = {**BODIES[form], **more, **({"stream": True} if stream else {})}
    return take_in_raw(CALLER, form, "user_chat", json.dumps(body), options or {}, LimitSettings(), stream=stream)


def plan(question: Question, **more: Any) -> Plan:
    chosen = more.pop("use", config(ALL))
    return plan_route(question, chosen, catalog_of(chosen), Health(), **more)


class TestTakingIn:
    @each
    def test_it_is_read_as_far_as_there_are_words(self, form: str) -> None:
        """Routing knows the conversation and the limits; the body stays what it was."""
        request = taken(form, {"request_id": "r", "deadline_ms": 1000, "labels": {"app": "a"}})
        question = request.question
        assert [(message.role, message.text()) for message in question.messages] == [(Role.USER, "hello")]
        assert question.raw is not None
        assert json.loads(question.raw.body) == BODIES[form]
        assert (request.request_id, request.deadline_s, question.options.labels) == ("r", 1.0, {"app": "a"})
        assert question.options.on_break is OnBreak.FAIL

    def test_every_byte_counts_for_the_id(self) -> None:
        """So do the format, the headers and whom the options name; what does not shape the answer does not."""
        said: dict[str, Any] = {"request_id": "r"}
        first = taken("openai", said).content_hash
        others = [
            taken("openai", said, seed=1),
            taken("openai", {**said, "provider": "claude"}),
            taken("openai", {**said, "headers": {"openai-beta": "x"}}),
        ]
        assert len({first, *(other.content_hash for other in others)}) == 4
        assert taken("openai", {**said, "deadline_ms": 5}).content_hash == first

    @each
    @pytest.mark.parametrize("open_close", [("[", "]"), ('{"type":', "}"), ('{"content":[', "]}")])
    @pytest.mark.parametrize("key", ["messages", "input", "tools", "x_new"])
    @pytest.mark.parametrize("times", [100, 300, 900, 5000])
    def test_however_deep_it_nests(self, form: str, key: str, open_close: tuple[str, str], times: int) -> None:
        """It is taken or refused in words."""
        deep = open_close[0] * times + '"x"' + open_close[1] * times
        text = json.dumps({**BODIES[form], key: "HERE"}).replace('"HERE"', deep)
        with contextlib.suppress(InvalidArgument):
            assert take_in_raw(CALLER, form, "user_chat", text, {}, LimitSettings(), stream=False).question.size()

    def test_what_has_no_words_here_is_no_fault(self) -> None:
        """The request goes on as one text, for providers with that API alone, with the tools that it offers."""
        question = taken("openai", messages=[{"role": "tool", "content": "no call"}], tools=[SERVER_TOOL]).question
        assert question.raw is not None
        assert (question.raw.native, question.offers_tools) == (UNREAD, True)
        assert question.messages[0].text() == question.raw.body.decode()

    @pytest.mark.parametrize(
        "more",
        [{"tools": [SERVER_TOOL]}, {"mcp_servers": [{"type": "url", "url": "http://127.0.0.1"}]}],
    )
    def test_tools_without_words_are_tools(self, more: dict[str, Any]) -> None:
        """Where tools are privileged, a body cannot offer them unseen."""
        question, strict = taken(**more).question, AuthorizationSettings(tools_are_system_operations=True)
        assert question.offers_tools
        action = action_for(question.task_type, question.options, strict, question.offers_tools)
        assert action is Action.SYSTEM_OPERATION

    @pytest.mark.parametrize("key", ["temperature", "max_tokens", "tools", "tool_choice", "response_schema"])
    def test_what_the_body_says_is_no_option(self, key: str) -> None:
        """One word for it in one place."""
        with pytest.raises(InvalidArgument, match=f"options.{key}: the body says this itself"):
            taken(options={key: 1})

    def test_headers_are_three(self) -> None:
        """By their names, bounded, and nothing that could end one."""
        options, headers = parse_raw_options({"headers": {"Anthropic-Beta": "a,b"}})
        assert (headers, options.labels) == ({"anthropic-beta": "a,b"}, {})
        for wrong in ({"x-api-key": "mine"}, {"openai-beta": "a\r\nb: c"}, {"openai-beta": "x" * 2000}, "text"):
            with pytest.raises(InvalidArgument, match=r"options\.headers"):
                parse_raw_options({"headers": wrong})

    def test_it_is_bounded(self) -> None:
        """In all its bytes."""
        with pytest.raises(TooLarge):
            take_in_raw(CALLER, "openai", "user_chat", " " * 2**24 + "{}", {}, LimitSettings(), stream=False)


class TestMoney:
    def test_a_bodys_own_limit_times_its_answers(self) -> None:
        """The limit that the vendor obeys is what is reserved."""
        claude = plan(taken(max_tokens=1234).question).candidates[0]
        assert (claude.provider, claude.max_tokens) == ("claude", 1234)
        three = plan(taken("openai", max_tokens=500, n=3).question)
        assert {item.max_tokens for item in three.candidates} == {1500}

    def test_without_one_the_longest_that_the_model_gives(self) -> None:
        """Nobody cuts it shorter on its way."""
        made = plan(taken("openai").question, use=config(ALL))
        catalog = catalog_of(config(ALL))
        for item in made.candidates:
            most = catalog.model(item.provider, item.model).output_tokens
            assert most is None or item.max_tokens == most

    def test_all_bytes_may_be_input(self) -> None:
        """What no message shows counts as well."""
        thought = {"type": "thinking", "thinking": "x" * 5000, "signature": "y" * 5000}
        turns = [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": [thought, {"type": "text", "text": "hi"}]},
            {"role": "user", "content": "well"},
        ]
        plain, more = (plan(asked.question).candidates[0] for asked in (taken(), taken(messages=turns)))
        catalog = catalog_of(config(ALL))
        price = catalog.model("claude", plain.model).dearest(taken().question.moment)[0]
        assert more.worst_case_nano - plain.worst_case_nano >= 10_000 * price.input // 1_000_000

    def test_images_are_no_text(self) -> None:
        """Their bytes are not counted as tokens."""
        data = "iVBORw0KGgo" + "A" * 400_001
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
        question = taken(messages=[{"role": "user", "content": [image]}]).question
        assert (question.size().images, question.size().beside_bytes < 1000) == (1, True)

    def test_what_stands_elsewhere_may_fill_the_context(self) -> None:
        """An image behind a URL has no bytes here."""
        image = {"type": "image_url", "image_url": {"url": "https://example.org/photo.png"}}
        question = taken("openai", messages=[{"role": "user", "content": [image]}]).question
        model = catalog_of(config(ALL)).model("kimi_k2", "kimi-k2.6")
        assert question.size().most_tokens(model) >= (model.context_tokens or 0) > 100_000


class TestPatience:
    def test_a_whole_answer_may_take_as_long_as_its_tokens(self) -> None:
        """Nothing comes of it before; a stream that is silent is stuck."""
        claude = plan(taken(max_tokens=14_000).question).candidates[0]
        assert silence_s(RawCall(b""), claude, 120.0) == 400.0
        assert silence_s(RawCall(b""), claude, 900.0) == 900.0
        assert silence_s(RawCall(b"", streamed=True), claude, 120.0) == 120.0


class TestWhoCanHaveIt:
    def test_what_cannot_be_translated_stays_with_its_api(self) -> None:
        """Others are left out, and the reason says what of it they have no word for."""
        turns = [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": [RESULT]},
            {"role": "user", "content": "well"},
        ]
        question = taken(messages=turns).question
        assert question.raw is not None
        if not question.raw.native:
            question = dataclasses.replace(question, raw=dataclasses.replace(question.raw, native="content.odd"))
        made = plan(question)
        assert names(made) == ["claude"]
        [reason] = {item.reason for item in made.left_out if item.provider == "kimi_k2"}
        assert reason.startswith('has no api = "anthropic" (')
        assert ": " not in reason

    def test_nobody_here_has_its_api(self) -> None:
        """That is the body's fault, and no matter of who is well."""
        image = {"type": "image_url", "image_url": {"url": "https://example.org/photo.png"}}
        question = taken("openai", {"provider": "claude"}, messages=[{"role": "user", "content": [image]}]).question
        with pytest.raises(InvalidArgument, match=r"content\.image\.url"):
            plan(question)

    def test_secrets_in_it_stay_here(self) -> None:
        """What cannot be translated cannot be disguised either: only local models get it."""
        question = taken("openai", messages=[{"role": "tool", "content": "no call"}]).question
        disguise = Disguise((), (), None, {"SECRET_0": "x"})
        made = plan(dataclasses.replace(question, guard=Guard({"password": 1}, disguise=disguise)),
                    use=config(ALL, office=OFFICE))  # fmt: skip
        assert names(made) == ["office"]

    def test_a_strategy_takes_who_loses_nothing_first(self) -> None:
        """And says so; a body of which nothing is lost is ranked as every other."""
        plain = plan(taken("anthropic", {"strategy": "cost"}).question)
        own = plan(taken("anthropic", {"strategy": "cost"}, stop_sequences=["z"]).question)
        assert (names(plain)[0] != "claude", names(own)[0]) == (True, "claude")
        assert own.reason.endswith("; has the body's own API, others would get no stop_sequences")
        assert own.stands_in_for is None
        assert [name for name in names(own) if name != "claude"] == [name for name in names(plain) if name != "claude"]

    def test_a_row_is_the_operators(self) -> None:
        """Within its entries who loses nothing comes first; nobody outside it does."""
        chosen = config(ALL)
        single = taken("openai", stop=["z"]).question
        assert names(plan(single))[0] == "claude"
        table = {**chosen.routing.table, TaskType.USER_CHAT: (Target("claude"), Target("kimi_k2"))}
        both = dataclasses.replace(chosen, routing=dataclasses.replace(chosen.routing, table=table))
        made = plan(single, use=both)
        assert names(made)[:2] == ["kimi_k2", "claude"]
        assert made.reason.count("own API") == 1

    def test_whom_the_caller_names_leads(self) -> None:
        """Whatever is lost."""
        assert names(plan(taken("openai", {"provider": "claude"}, stop=["z"]).question)) == ["claude"]

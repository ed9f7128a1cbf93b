"""The simulated vendors held against the types of the vendors' own SDKs, as simulated/SOURCES.md says."""

from __future__ import annotations

import json
import typing
from typing import Any
from urllib.request import Request, urlopen

import openai.types.chat.completion_create_params as openai_params
import pytest
from anthropic.types import Message, StopReason, message_create_params
from anthropic.types.shared import ErrorType
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent, response_create_params
from pydantic import BaseModel, TypeAdapter

from simulated import (
    Behaviour,
    SimulatedProviders,
    anthropic,
    anthropic_rules,
    openai_rules,
    responses,
    responses_rules,
)
from simulated import openai as openai_wire
from simulated.checks import Refused
from tests.unit.posting import post

KEY = "sk-sim-of-the-tests"
HI: list[Any] = [{"role": "user", "content": "hi"}]
OF_OPENAI = openai_params.CompletionCreateParamsNonStreaming
OF_RESPONSES = response_create_params.ResponseCreateParamsNonStreaming
OF_ANTHROPIC = message_create_params.MessageCreateParamsNonStreaming
NOT_IN_THE_SDK = {"request_too_large"}  # of the page "Errors"
NOT_IN_THE_EVENTS = {"obfuscation"}  # of the field `include_obfuscation`


def names(params: Any) -> list[str]:
    return sorted(params.__required_keys__ | params.__optional_keys__)


def problem(rules: Any, body: dict[str, Any]) -> str:
    """The kind of refusal, "" for none."""
    try:
        rules.check(body)
    except Refused as refused:
        return refused.kind
    return ""


def extras(value: Any) -> set[str]:
    """The fields, at any depth, that the SDK's types do not know."""
    if isinstance(value, list):
        return set().union(*map(extras, value)) if value else set()
    if not isinstance(value, BaseModel):
        return set()
    own = set(value.model_extra or {})
    return own.union(*(extras(getattr(value, name)) for name in type(value).model_fields))


class TestRequests:
    @pytest.mark.parametrize("name", names(OF_OPENAI))
    def test_openai_fields(self, name: str) -> None:
        """Each that the SDK can send is known, whatever is said of its value."""
        assert problem(openai_rules, {"model": "m", "messages": HI, name: None}) != "unknown"

    @pytest.mark.parametrize("name", names(OF_ANTHROPIC))
    def test_anthropic_fields(self, name: str) -> None:
        """The same for the other vendor."""
        assert problem(anthropic_rules, {"model": "m", "max_tokens": 1, "messages": HI, name: None}) != "unknown"

    @pytest.mark.parametrize("name", names(OF_RESPONSES))
    def test_responses_fields(self, name: str) -> None:
        """And for OpenAI's other API."""
        assert problem(responses_rules, {"model": "m", "input": HI, name: None}) != "unknown"

    @pytest.mark.parametrize("rules", [openai_rules, anthropic_rules])
    def test_no_other_field(self, rules: Any) -> None:
        """What no SDK can send is refused."""
        assert problem(rules, {"model": "m", "max_tokens": 1, "messages": HI, "no_such_field": 1}) == "unknown"

    def test_no_other_responses_field(self) -> None:
        """The same, of OpenAI's other API."""
        assert problem(responses_rules, {"model": "m", "input": HI, "no_such_field": 1}) == "unknown"


class TestAnswers:
    def test_openai(self, simulated: SimulatedProviders) -> None:
        """An answer has the fields of the SDK's types and no other, its usage too."""
        simulated.behave("any", Behaviour(tool_calls=(("look", "{}"),), reasoning_tokens=3))
        headers = {"authorization": f"Bearer {KEY}"}
        _, answer = post(simulated.url("any") + "/chat/completions", {"model": "m", "messages": HI}, headers)
        assert extras(ChatCompletion.model_validate(answer)) == set()

    def test_responses(self, simulated: SimulatedProviders) -> None:
        """Of OpenAI's other API too, and each event of its streams."""
        made = Behaviour(reply="hm", tool_calls=(("look", "{}"),), thinking="hm", reasoning_tokens=3)
        simulated.behave("openai", made)
        headers = {"authorization": f"Bearer {KEY}"}
        _, answer = post(simulated.url("openai") + "/responses", {"model": "m", "input": HI}, headers)
        assert extras(Response.model_validate(answer)) == set()
        body = json.dumps({"model": "m", "input": HI, "stream": True}).encode()
        request = Request(simulated.url("openai") + "/responses", body, headers)
        with urlopen(request) as reply:
            lines = [line[6:] for line in reply.read().splitlines() if line.startswith(b"data: ")]
        known = TypeAdapter(ResponseStreamEvent)
        strange = {field for line in lines for field in extras(known.validate_python(json.loads(line)))}
        assert strange <= NOT_IN_THE_EVENTS
        kinds = {json.loads(line)["type"] for line in lines}
        assert {"response.created", "response.output_text.delta", "response.completed"} < kinds

    def test_anthropic(self, simulated: SimulatedProviders) -> None:
        """The same for the other vendor, thinking included."""
        simulated.behave("claude", Behaviour(tool_calls=(("look", "{}"),), thinking="hm", reasoning_tokens=3))
        body = {"model": "claude-haiku-5-5", "max_tokens": 99, "messages": HI}
        headers = {"x-api-key": KEY, "anthropic-version": anthropic_rules.VERSION}
        _, answer = post(simulated.url("claude") + "/v1/messages", body, headers)
        assert extras(Message.model_validate(answer)) == set()

    def test_reasons(self) -> None:
        """Every reason is a word of the vendor's, in plain answers and in streams."""
        [choice] = typing.get_args(ChatCompletion.model_fields["choices"].annotation)
        finish = set(typing.get_args(choice.model_fields["finish_reason"].annotation))
        [chunk] = typing.get_args(ChatCompletionChunk.model_fields["choices"].annotation)
        streamed = {word for part in typing.get_args(chunk.model_fields["finish_reason"].annotation)
                    for word in typing.get_args(part)}  # fmt: skip
        assert set(openai_wire._FINISH_REASONS.values()) <= finish & streamed
        assert set(anthropic._STOP_REASONS.values()) <= set(typing.get_args(StopReason))
        [incomplete] = [part for part in typing.get_args(Response.model_fields["incomplete_details"].annotation)
                        if part is not type(None)]  # fmt: skip
        why = incomplete.model_fields["reason"].annotation
        assert set(responses._REASONS.values()) <= {word for part in typing.get_args(why)
                                                    for word in typing.get_args(part)}  # fmt: skip

    def test_error_types(self) -> None:
        """So is every type of an error."""
        assert set(anthropic._ERROR_TYPES.values()) - NOT_IN_THE_SDK <= set(typing.get_args(ErrorType))

"""The simulated OpenAI-style providers refuse what the vendors refuse, in their words and error format."""

from __future__ import annotations

from typing import Any

import pytest

from simulated import Behaviour, SimulatedProviders
from tests.unit.posting import post

KIMI_HEADERS = {"authorization": "Bearer sk-sim-kimi"}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLAUDE_TOOL = {"name": "weather", "description": "The weather.", "input_schema": WEATHER}
KIMI_TOOL = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
KIMI_CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
HELLO = {"role": "user", "content": "hello"}
KIMI_TURNS = [
    HELLO,
    {"role": "assistant", "tool_calls": [KIMI_CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "sun"},
]
OPEN_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def ask_kimi(
    simulated: SimulatedProviders, body: Any = None, headers: dict[str, str] = KIMI_HEADERS, **fields: Any
) -> tuple[int, dict[str, Any]]:
    plain = {"model": "kimi-k2.6", "messages": [HELLO]}
    return post(simulated.url("kimi_k2") + "/chat/completions", body or {**plain, **fields}, headers)


class TestOpenAIRequests:
    @pytest.mark.parametrize(
        ("fields", "param", "words"),
        [
            ({"top_k": 5}, "top_k", "Unrecognized request argument supplied: top_k"),
            ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
            ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens", "at the same time"),
            ({"temperature": 3}, "temperature", "less than or equal to 2"),
            ({"temperature": "hot"}, "temperature", "valid number"),
            ({"n": 2}, "n", "less than or equal to 1"),
            ({"stream_options": {"include_usage": True}}, "stream_options", "only allowed when 'stream' is enabled"),
            ({"messages": []}, "messages", "at least 1"),
            ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0]", "'wizard'"),
            ({"messages": [{"role": "user", "content": ""}]}, "messages[0].content", "must not be empty"),
            ({"messages": [HELLO, {"role": "assistant", "content": ""}]}, "messages[1].content", "needs 'content'"),
            (
                {"messages": [HELLO, {"role": "tool", "tool_call_id": "call_1", "content": "x"}]},
                "messages[1].role",
                "must be a response to a preceding message with 'tool_calls'",
            ),
            (
                {
                    "messages": [
                        HELLO,
                        {"role": "assistant", "tool_calls": [KIMI_CALL]},
                        {"role": "tool", "tool_call_id": "call_9", "content": "x"},
                    ]
                },
                "messages[2]",
                "'tool_call_id' not found",
            ),
            (
                {"messages": [HELLO, {"role": "assistant", "tool_calls": [KIMI_CALL]}, HELLO]},
                "messages[1]",
                "did not have response messages: call_1",
            ),
            (
                {"messages": [HELLO, {"role": "assistant", "tool_calls": [KIMI_CALL]}]},
                "messages[1]",
                "did not have response messages: call_1",
            ),
            ({"messages": [HELLO, {"role": "tool", "content": "x"}]}, "messages[1].tool_call_id", "Missing required"),
            ({"tools": []}, "tools", "at least 1"),
            ({"tools": [CLAUDE_TOOL]}, "tools[0].type", "Missing required parameter"),
            (
                {"tools": [{"type": "function", "function": {"name": "a b"}}]},
                "tools[0].function.name",
                "should match pattern",
            ),
            ({"tools": [KIMI_TOOL, KIMI_TOOL]}, "tools", "unique"),
            ({"tool_choice": "auto"}, "tool_choice", "only allowed when 'tools' are specified"),
            ({"tools": [KIMI_TOOL], "tool_choice": "any"}, "tool_choice", "'required'"),
            (
                {"tools": [KIMI_TOOL], "tool_choice": {"type": "function", "function": {"name": "x"}}},
                "tool_choice",
                "'x' not found",
            ),
            ({"tools": [KIMI_TOOL], "tool_choice": {"type": "function"}}, "tool_choice.function", "Missing required"),
            ({"response_format": {"type": "json"}}, "response_format", "'json'"),
            (
                {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
                "response_format.json_schema.name",
                "Missing required parameter",
            ),
            (
                {
                    "response_format": {
                        "type": "json_schema",
                        "json_schema": {"name": "a", "strict": True, "schema": OPEN_SCHEMA},
                    }
                },
                "response_format.json_schema.schema",
                "additionalProperties",
            ),
            ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "at most 4"),
        ],
    )
    def test_refused_with_the_field_named(
        self, simulated: SimulatedProviders, fields: dict[str, Any], param: str, words: str
    ) -> None:
        """A request the API would refuse gets 400, with the field as `param` and in words."""
        status, answer = ask_kimi(simulated, **fields)
        error = answer["error"]
        assert (status, error["type"], error["param"]) == (400, "invalid_request_error", param)
        assert words in error["message"]

    @pytest.mark.parametrize("headers", [{}, {"authorization": "sk-sim-kimi"}, {"authorization": "Bearer sk-real"}])
    def test_key(self, simulated: SimulatedProviders, headers: dict[str, str]) -> None:
        """A missing, malformed or unknown bearer token gets 401."""
        status, answer = ask_kimi(simulated, headers=headers)
        assert (status, answer["error"]["code"]) == (401, "invalid_api_key")

    @pytest.mark.parametrize("model", ["kimi-k2-0711-preview", "claude-sonnet-5-5"])
    def test_retired_or_foreign_model(self, simulated: SimulatedProviders, model: str) -> None:
        """A model that is not (or no longer) served gets 404."""
        status, answer = ask_kimi(simulated, model=model)
        assert (status, answer["error"]["code"]) == (404, "model_not_found")

    def test_other_instances_take_any_model(self, simulated: SimulatedProviders) -> None:
        """An instance without a price list, as a self-hosted server, answers for any model."""
        body = {"model": "my-own", "messages": [HELLO]}
        status, answer = post(simulated.url("vllm") + "/chat/completions", body, KIMI_HEADERS)
        assert (status, answer["model"]) == (200, "my-own")

    def test_everything_legal_at_once(self, simulated: SimulatedProviders) -> None:
        """A request that uses most of the API is answered."""
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}}
        status, answer = ask_kimi(
            simulated,
            messages=[
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [image, {"type": "text", "text": "where?"}]},
                {
                    "role": "assistant",
                    "reasoning_content": "hm",
                    "tool_calls": [KIMI_CALL, {**KIMI_CALL, "id": "call_2"}],
                },
                {"role": "tool", "tool_call_id": "call_2", "content": "rain"},
                {"role": "tool", "tool_call_id": "call_1", "content": "sun"},
            ],
            tools=[KIMI_TOOL],
            tool_choice="auto",
            parallel_tool_calls=True,
            max_completion_tokens=50,
            temperature=1,
            top_p=0.95,
            stop=["STOP"],
            seed=1,
            user="u1",
            response_format={"type": "text"},
            stream=False,
        )
        assert (status, answer["choices"][0]["message"]["content"]) == (200, "[kimi-k2.6] You said: sun")


class TestKimiModels:
    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"temperature": 0.7}, "invalid temperature: only 1 is allowed for this model"),
            ({"temperature": 1, "thinking": {"type": "disabled"}}, "invalid temperature: only 0.6 is allowed"),
            ({"top_p": 0.5}, "invalid top_p: only 0.95 is allowed for this model"),
            ({"presence_penalty": 1}, "invalid presence_penalty: only 0 is allowed for this model"),
            ({"model": "kimi-k2.7-code", "thinking": {"type": "disabled"}}, "invalid thinking: only type=enabled"),
            ({"tools": [KIMI_TOOL], "tool_choice": "required"}, "tool_choice 'required' is incompatible with thinking"),
            (
                {"tools": [KIMI_TOOL], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
                "tool_choice 'specified' is incompatible with thinking enabled",
            ),
            ({"messages": KIMI_TURNS}, "reasoning_content is missing in assistant tool call message at index 1"),
        ],
    )
    def test_refused_while_thinking(self, simulated: SimulatedProviders, fields: dict[str, Any], words: str) -> None:
        """Fixed sampling, no forced tool, and the model's own reasoning sent back: else 400 in Moonshot's words."""
        status, answer = ask_kimi(simulated, **fields)
        assert status == 400
        assert words in answer["error"]["message"]

    @pytest.mark.parametrize(
        "fields",
        [
            {"temperature": 1, "top_p": 0.95, "n": 1},
            {"messages": KIMI_TURNS, "thinking": {"type": "disabled"}},
            {"tools": [KIMI_TOOL], "tool_choice": "required", "thinking": {"type": "disabled"}},
        ],
    )
    def test_answered(self, simulated: SimulatedProviders, fields: dict[str, Any]) -> None:
        """The fixed values pass, and without thinking so do forced tools and bare tool calls."""
        assert ask_kimi(simulated, **fields)[0] == 200

    def test_other_models_sample_freely(self, simulated: SimulatedProviders) -> None:
        """The rules of the Kimi models hold for no other model on the same wire format."""
        body = {"model": "my-own", "messages": KIMI_TURNS, "temperature": 0.3, "top_p": 0.4}
        assert post(simulated.url("vllm") + "/chat/completions", body, KIMI_HEADERS)[0] == 200


class TestBehaviourOfTheRules:
    def test_keys_and_models_of_an_instance(self, simulated: SimulatedProviders) -> None:
        """An instance can be told which keys and models it knows."""
        simulated.behave("kimi_k2", Behaviour(keys=("sk-sim-one",), models=("kimi-old",)))
        try:
            assert ask_kimi(simulated)[0] == 401
            one = {"authorization": "Bearer sk-sim-one"}
            assert ask_kimi(simulated, headers=one)[0] == 404
            assert ask_kimi(simulated, headers=one, model="kimi-old")[0] == 200
        finally:
            simulated.reset("kimi_k2")

    def test_fields_a_model_refuses(self, simulated: SimulatedProviders) -> None:
        """An instance can be told to refuse a field, as models refuse temperature."""
        simulated.behave("kimi_k2", Behaviour(refused_fields=("temperature",), times=1))
        status, answer = ask_kimi(simulated, temperature=1)
        assert (status, answer["error"]["param"]) == (400, "temperature")
        assert ask_kimi(simulated, temperature=1)[0] == 200

    def test_a_real_key_is_not_recorded(self, simulated: SimulatedProviders) -> None:
        """A key that is not a simulated one is never kept; a simulated one can be read back."""
        ask_kimi(simulated, headers={"authorization": "Bearer sk-live-secret"})
        ask_kimi(simulated)
        last, newest = simulated.received("kimi_k2", last=2)
        assert "secret" not in repr(last)
        assert newest.headers["authorization"] == "Bearer sk-sim-kimi"

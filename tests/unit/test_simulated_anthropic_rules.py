"""The simulated Claude refuses what Anthropic's API refuses, in its words and error format."""

from __future__ import annotations

from typing import Any

import pytest

from simulated import SimulatedProviders
from tests.unit.posting import post

CLAUDE_HEADERS = {"x-api-key": "sk-sim-claude", "anthropic-version": "2026-10-21"}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLAUDE_TOOL = {"name": "weather", "description": "The weather.", "input_schema": WEATHER}
CLAUDE_USE = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}}
CLAUDE_RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}
HELLO = {"role": "user", "content": "hello"}
OPEN_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """A request for an object whose property `a` has that schema."""
    whole = {"type": "object", "properties": {"a": schema}, "additionalProperties": False}
    return {"output_config": {"format": {"type": "json_schema", "schema": whole}}}


def ask_claude(
    simulated: SimulatedProviders, body: Any = None, headers: dict[str, str] = CLAUDE_HEADERS, **fields: Any
) -> tuple[int, dict[str, Any]]:
    plain = {"model": "claude-sonnet-5-5", "max_tokens": 100, "messages": [HELLO]}
    return post(simulated.url("claude") + "/v1/messages", body or {**plain, **fields}, headers)


class TestAnthropicRequests:
    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"temperature": 0.5}, "`temperature` is not supported"),
            ({"top_p": 0.5}, "`top_p` is not supported"),
            ({"top_k": 5}, "`top_k` is not supported"),
            ({"frequency_penalty": 1}, "frequency_penalty: Extra inputs are not permitted"),
            ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
            ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
            ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
            ({"messages": []}, "messages: List should have at least 1 item"),
            ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0: Input tag 'tool'"),
            ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
            ({"messages": [{"role": "user", "content": ""}]}, "messages.0.content: messages must have content"),
            ({"messages": [{**HELLO, "name": "ann"}]}, "messages.0.name: Extra inputs"),
            (
                {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
                "messages.0.content.0.text: text content blocks must contain non-whitespace text",
            ),
            ({"messages": [{"role": "user", "content": [CLAUDE_USE]}]}, "messages.0.content.0: Input tag 'tool_use'"),
            ({"messages": [{"role": "assistant", "content": "x"}, HELLO]}, "first message must use the"),
            (
                {"messages": [HELLO, {"role": "assistant", "content": "x"}]},
                "does not support assistant message prefill",
            ),
            (
                {"messages": [HELLO, {"role": "assistant", "content": [CLAUDE_USE]}, HELLO]},
                "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1",
            ),
            (
                {"messages": [{"role": "user", "content": [CLAUDE_RESULT]}]},
                "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1",
            ),
            (
                {
                    "messages": [
                        HELLO,
                        {"role": "assistant", "content": [CLAUDE_USE]},
                        {"role": "user", "content": [{"type": "text", "text": "so"}, CLAUDE_RESULT]},
                    ]
                },
                "messages.2: `tool_result` blocks must come first",
            ),
            (
                {
                    "messages": [
                        HELLO,
                        {
                            "role": "assistant",
                            "content": [{"type": "thinking", "thinking": "hm", "signature": "forged"}],
                        },
                        HELLO,
                    ]
                },
                "messages.1: Invalid `signature` in `thinking` block",
            ),
            ({"system": [{"type": "text", "text": ""}]}, "system.0.text"),
            ({"tools": [{**CLAUDE_TOOL, "name": "a b"}]}, "tools.0.name: String should match pattern"),
            ({"tools": [{"name": "a"}]}, "tools.0.input_schema: Field required"),
            ({"tools": [{"name": "a", "input_schema": {"type": "string"}}]}, "tools.0.input_schema.type"),
            (
                {"tools": [{"name": "a", "input_schema": {"type": "object", "properties": ""}}]},
                "input_schema.properties: JSON schema",
            ),
            (
                {"tools": [{"name": "a", "input_schema": {"type": "object", "required": "city"}}]},
                "input_schema.required: JSON schema",
            ),
            (
                {"tools": [{"name": "a", "input_schema": {"type": "object", "properties": {"a": {"enum": 1}}}}]},
                "input_schema.properties.a.enum: JSON schema",
            ),
            (
                {"tools": [{"name": "a", "input_schema": {"type": "object", "items": ""}}]},
                "input_schema.items: JSON schema",
            ),
            (
                {"tools": [{"name": "a", "input_schema": {"type": "object", "anyOf": []}}]},
                "input_schema.anyOf: JSON schema",
            ),
            ({"tools": [{"name": "a", "parameters": WEATHER}]}, "tools.0.parameters: Extra inputs"),
            ({"tools": [CLAUDE_TOOL, CLAUDE_TOOL]}, "Tool names must be unique"),
            ({"tool_choice": {"type": "auto"}}, "tool_choice may only be specified while providing tools"),
            ({"tools": [CLAUDE_TOOL], "tool_choice": "auto"}, "tool_choice: Input should be a valid object"),
            ({"tools": [CLAUDE_TOOL], "tool_choice": {"type": "required"}}, "tool_choice: Input tag 'required'"),
            ({"tools": [CLAUDE_TOOL], "tool_choice": {"type": "tool", "name": "x"}}, "Tool 'x' not found"),
            ({"thinking": {"type": "enabled", "budget_tokens": 5}}, "budget_tokens"),
            ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "`max_tokens` must be greater"),
            ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema: Field required"),
            ({"output_config": {"format": {"type": "json_schema", "schema": OPEN_SCHEMA}}}, "additionalProperties"),
            (
                closed({"type": "integer", "minimum": 1}),
                "format.schema.properties.a: For 'integer' type, property 'min",
            ),
            (closed({"type": "array", "minItems": 2}), "'minItems' values other than 0 or 1"),
            (closed({"anyOf": [{"enum": [{}]}]}), "properties.a.anyOf.0: 'enum' values"),
            ({"response_format": {"type": "json_object"}}, "response_format: Extra inputs"),
            ({"stop_sequences": [" "]}, "stop_sequences.0: each stop sequence must contain non-whitespace"),
            ({"metadata": {"name": "x"}}, "metadata.name: Extra inputs"),
            ({"stream": "yes"}, "stream: Input should be a valid boolean"),
        ],
    )
    def test_refused_with_the_field_named(
        self, simulated: SimulatedProviders, fields: dict[str, Any], words: str
    ) -> None:
        """A request the API would refuse gets 400, the error type and words that name the field."""
        status, answer = ask_claude(simulated, **fields)
        assert (status, answer["type"], answer["error"]["type"]) == (400, "error", "invalid_request_error")
        assert words in answer["error"]["message"]

    def test_max_tokens_is_required(self, simulated: SimulatedProviders) -> None:
        """Leaving out max_tokens is refused."""
        status, answer = ask_claude(simulated, {"model": "claude-sonnet-5-5", "messages": [HELLO]})
        assert (status, answer["error"]["message"]) == (400, "max_tokens: Field required")

    @pytest.mark.parametrize("body", ["{", "[]", '{"max_tokens": NaN}', "\x00"])
    def test_not_a_json_object(self, simulated: SimulatedProviders, body: str) -> None:
        """A body that is no JSON object is refused, NaN included."""
        assert ask_claude(simulated, body)[0] == 400

    @pytest.mark.parametrize(
        "headers",
        [
            {"x-api-key": "sk-sim-claude", "anthropic-version": "2026-10-21"},
            {"authorization": "Bearer sk-sim-claude", "anthropic-version": "2026-10-21"},
        ],
    )
    def test_key_in_either_header(self, simulated: SimulatedProviders, headers: dict[str, str]) -> None:
        """The key is taken from x-api-key or as a bearer token, as the SDK sends it."""
        assert ask_claude(simulated, headers=headers)[0] == 200

    @pytest.mark.parametrize(
        ("headers", "status", "kind"),
        [
            ({"anthropic-version": "2026-10-21"}, 401, "authentication_error"),
            ({"x-api-key": "sk-ant-real", "anthropic-version": "2026-10-21"}, 401, "authentication_error"),
            ({"x-api-key": "sk-sim-claude"}, 400, "invalid_request_error"),
            ({"x-api-key": "sk-sim-claude", "anthropic-version": "2023-01-01"}, 400, "invalid_request_error"),
        ],
    )
    def test_headers(self, simulated: SimulatedProviders, headers: dict[str, str], status: int, kind: str) -> None:
        """A missing or wrong key gets 401, a missing or wrong version 400."""
        got, answer = ask_claude(simulated, headers=headers)
        assert (got, answer["error"]["type"]) == (status, kind)

    @pytest.mark.parametrize(("temperature", "status"), [(0.5, 200), ("warm", 400)])
    def test_the_earlier_version(self, simulated: SimulatedProviders, temperature: object, status: int) -> None:
        """Is served beside the newest, and takes the fields that this one refuses."""
        headers = {"x-api-key": "sk-sim-claude", "anthropic-version": "2023-06-01"}
        assert ask_claude(simulated, headers=headers, temperature=temperature)[0] == status

    @pytest.mark.parametrize(("beta", "status"), [("a, context-management-2025-06-27", 200), ("a", 400)])
    def test_a_beta(self, simulated: SimulatedProviders, beta: str, status: int) -> None:
        """Has its field where the header asks for it."""
        headers = CLAUDE_HEADERS | {"anthropic-beta": beta}
        assert ask_claude(simulated, headers=headers, context_management={"edits": []})[0] == status

    def test_a_later_system_message(self, simulated: SimulatedProviders) -> None:
        """Stands among the others."""
        assert ask_claude(simulated, messages=[HELLO, {"role": "system", "content": "be brief"}])[0] == 200

    @pytest.mark.parametrize("model", ["claude-sonnet-4-20250514", "kimi-k2.6", "gpt-4"])
    def test_retired_or_foreign_model(self, simulated: SimulatedProviders, model: str) -> None:
        """A model that is not (or no longer) served gets 404 with its name."""
        status, answer = ask_claude(simulated, model=model)
        assert (status, answer["error"]) == (404, {"type": "not_found_error", "message": f"model: {model}"})

    def test_prompt_past_the_context(self, simulated: SimulatedProviders) -> None:
        """A prompt longer than the model's context is refused with both figures."""
        status, answer = ask_claude(simulated, messages=[{"role": "user", "content": "x" * 4_000_004}])
        assert (status, answer["error"]["message"]) == (400, "prompt is too long: 1000001 tokens > 1000000 maximum")

    def test_everything_legal_at_once(self, simulated: SimulatedProviders) -> None:
        """A request that uses most of the API is answered."""
        image = {"type": "base64", "media_type": "image/png", "data": "aGk="}
        status, answer = ask_claude(
            simulated,
            max_tokens=4096,
            system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "5m"}}],
            messages=[
                {"role": "user", "content": [{"type": "image", "source": image}, {"type": "text", "text": "where?"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "Looking."}, CLAUDE_USE]},
                {"role": "user", "content": [{**CLAUDE_RESULT, "is_error": False}, {"type": "text", "text": "and?"}]},
            ],
            tools=[{**CLAUDE_TOOL, "strict": True}],
            tool_choice={"type": "auto", "disable_parallel_tool_use": True},
            thinking={"type": "enabled", "budget_tokens": 1024},
            metadata={"user_id": "u1"},
            stop_sequences=["STOP"],
            service_tier="auto",
            output_config={"effort": "low"},
            stream=False,
        )
        assert (status, answer["content"][0]["text"]) == (200, "[claude-sonnet-5-5] You said: and?")

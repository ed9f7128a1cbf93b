"""Refusals in other people's words: what each says of a model, and what it does not say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortexd.catalog import builtin_catalog
from cortexd.domain.quirks import Quirk, Quirks
from cortexd.providers.refusals import MOST_TRIES, Refusals, ask, refused, streamed


def error(message: str, **more: Any) -> Any:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **more}}


def extra(*loc: Any, kind: str = "extra_forbidden") -> Any:
    return {"detail": [{"type": kind, "loc": ["body", *loc], "msg": "Extra inputs are not permitted", "input": 1}]}


OPENAI = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
LLAMA_CPP = "\n----\nWhile executing CallExpression …\nError: Jinja Exception: Conversation roles must alternate user/…"
MISTRAL = "Tool call id was functions.f:0 but must be a-z, A-Z, 0-9, with a length of 9."
SAYS: list[tuple[Any, str]] = [
    (error(OPENAI, param="max_tokens", code="unsupported_parameter"), "max_completion_tokens"),
    (error(OPENAI), "max_completion_tokens"),
    (extra("max_completion_tokens"), "max_tokens"),
    (error("Unsupported value: 'temperature' does not support 0.7 with this model.", param="temperature"),
     "no_temperature"),
    (error("Unsupported value: 'temperature'", param="temperature", code="unsupported_value"), "no_temperature"),
    (error("deepseek-reasoner does not support the parameter `temperature`"), "no_temperature"),
    (error("invalid temperature: only 1 is allowed for this model"), "no_temperature"),
    ({"type": "error", **error("`temperature` is not supported with anthropic-version 2026-10-21")}, "no_temperature"),
    (error("tool_choice 'required' is incompatible with thinking enabled"), "no_forced_tool"),
    (error("deepseek-reasoner does not support this tool_choice"), "no_forced_tool"),
    (error("This response_format type is unavailable now"), "no_response_schema"),
    (error("This model does not support response format `json_schema`.", param="response_format"),
     "no_response_schema"),
    (extra("stream_options"), "no_stream_options"),
    (extra("stream"), "no_stream"),
    (error("Your organization must be verified to stream this model.", param="stream", code="unsupported_value"),
     "no_stream"),
    (error("Unsupported value: 'stream' does not support true with this model."), "no_stream"),
    (error("Unrecognized request argument supplied: stream"), "no_stream"),
    (error("This model does not support streaming."), "no_stream"),
    ({"error": "Streaming is not supported"}, "no_stream"),
    ({"object": "error", "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), 'input': {}}]"},
     "no_stream_options"),
    (error("Unrecognized request argument supplied: stream_options"), "no_stream_options"),
    ({"message": "stream_options: Extra inputs are not permitted"}, "no_stream_options"),
    (error("'messages.0' : for 'role:user' the following must be satisfied[('messages.0' : property 'name' is "
           "unsupported)]"), "no_names"),
    (extra("messages", 0, "name"), "no_names"),
    (error("The `reasoning_content` in the thinking mode must be passed back to the API."), "wants_reasoning"),
    (error("thinking is enabled but reasoning_content is missing in assistant tool call message at index 2"),
     "wants_reasoning"),
    (error("Conversation roles must alternate user/assistant/user/assistant/..."), "strict_turns"),
    ({"object": "error", "message": "Expected last role User or Tool (or Assistant with prefix True) for serving but "
      "got assistant"}, "strict_turns"),
    ({"object": "error", "message": "Unexpected role 'user' after role 'tool'"}, "strict_turns"),
    (error("System role not supported"), "no_system"),
    (error("Unsupported value: 'messages[0].role' does not support 'system' with this model."), "no_system"),
    ({"object": "error", "message": MISTRAL}, "short_ids"),
]  # fmt: skip
SAYS_NOTHING: list[Any] = [
    error("max_tokens is too large: 100000. This model supports at most 4096 completion tokens"),
    error("temperature must be between 0 and 1", param="temperature"),
    error("The model `gpt-9` does not exist or is not supported", param="model", code="model_not_found"),
    error("This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"),
    error("Invalid schema for response_format 'answer': In context=(), 'allOf' is not permitted.",
          param="response_format"),
    error("output_config.format.schema: For 'integer' type, property 'minimum' is not supported"),
    error("Unsupported value: 'high'", param="reasoning_effort", code="unsupported_value"),
    error("The model name is not supported"),
    extra("reasoning"),
    {"detail": [{"type": "missing", "loc": ["body", "temperature"], "msg": "Field required"}]},
    {"detail": [{"type": "x", "loc": ["body", "messages", 0], "msg": "bad", "input": "system role not supported"}]},
    {"error": "Unauthorized"},
    [], 7, None, {"error": {"message": ["temperature is not supported"]}},
]  # fmt: skip


def told(body: Any, status: int = 400) -> Quirk | None:
    return refused(status, json.dumps(body).encode())


class TestForms:
    @pytest.mark.parametrize(("body", "quirk"), SAYS, ids=str)
    @pytest.mark.parametrize("status", [400, 422])
    def test_what_a_refusal_says(self, body: Any, quirk: str, status: int) -> None:
        """In words, in fields or in a list of errors."""
        assert told(body, status) == quirk

    @pytest.mark.parametrize("body", SAYS_NOTHING, ids=str)
    def test_what_it_does_not(self, body: Any) -> None:
        """A value that is out of range, a schema, another parameter, and the caller's own words change nothing."""
        assert told(body) is None

    @pytest.mark.parametrize("status", [401, 403, 404, 413, 429, 503])
    def test_other_failures(self, status: int) -> None:
        """Only a refused request says what is refused."""
        assert told(SAYS[0][0], status) is None

    def test_a_template_that_fails(self) -> None:
        """llama.cpp says so with a 500, which of anything else says nothing."""
        assert told(error(LLAMA_CPP, code=500), 500) is Quirk.STRICT_TURNS
        assert told(SAYS[0][0], 500) is None

    @pytest.mark.parametrize("body", [b"", b"\xff", b"<html>", b"[" * 100_000, b'{"detail": ' * 20_000])
    def test_no_json(self, body: bytes) -> None:
        """Nonsense is nothing."""
        assert refused(400, body) is None

    def test_plain_words(self) -> None:
        """Not every server speaks JSON."""
        assert refused(400, b"temperature is not supported") is Quirk.NO_TEMPERATURE


class Refusal(Exception):
    def __init__(self, status: int, body: Any) -> None:
        self.response = type("Response", (), {"status_code": status, "content": json.dumps(body).encode()})


async def asked(refusals: Refusals, refuse: dict[str, Any], status: int = 400) -> list[list[str]]:
    """The quirks of each try at a model that refuses, in order, what the quirks of `refuse` leave out."""
    tries: list[Quirks] = []

    async def post(quirks: Quirks) -> None:
        tries.append(quirks)
        for quirk, body in refuse.items():
            if quirk not in quirks:
                raise Refusal(status, body)

    await ask(refusals, "m", lambda quirks: quirks, post, Refusal)
    return [sorted(quirks) for quirks in tries]


TEMPERATURE = error("Unsupported value", param="temperature", code="unsupported_value")
LIMIT = error(OPENAI, param="max_tokens", code="unsupported_parameter")


class TestLearning:
    async def test_it_goes_again_at_once_and_is_remembered(self) -> None:
        """Each thing that is refused once costs one more try, and the next request none."""
        refusals = Refusals("x")
        refuse = {"max_completion_tokens": LIMIT, "no_temperature": TEMPERATURE}
        tries = await asked(refusals, refuse)
        assert tries == [[], ["max_completion_tokens"], ["max_completion_tokens", "no_temperature"]]
        assert await asked(refusals, refuse) == [["max_completion_tokens", "no_temperature"]]

    @pytest.mark.parametrize("status", [400, 422, 500])
    async def test_words_about_streams(self, status: int) -> None:
        """Where something does not go with a stream, the stream is given up first, by who can."""
        body = error("response_format` does not support streaming")
        refuse = {"whole_if_unheard": body, "no_response_schema": body}
        if status == 500:
            with pytest.raises(Refusal):
                await asked(Refusals("x"), refuse, status)
            return
        tries = await asked(Refusals("x"), refuse, status)
        assert tries == [[], ["whole_if_unheard"], ["no_response_schema", "whole_if_unheard"]]

    async def test_what_changes_no_word_is_not_asked_again(self) -> None:
        """A request that would be written the same is not sent once more, but what else the refusal says is tried."""
        posted = []

        async def post(sent: bool) -> None:
            posted.append(sent)
            raise Refusal(400, error("a stream of temperature is not supported"))

        with pytest.raises(Refusal):
            await ask(Refusals("x"), "m", lambda quirks: Quirk.NO_TEMPERATURE in quirks, post, Refusal)
        assert posted == [False, True]

    def test_a_stream_without_usage(self) -> None:
        """Who hears nothing grow is better off without, but for a local endpoint, where the end of the work counts."""
        hosted, local = Refusals("x"), Refusals("x", local=True)
        for refusals in (hosted, local):
            refusals.uncounted("m")
        assert [streamed(hosted.quirks("m"), heard=heard) for heard in (True, False)] == [True, False]
        assert streamed(local.quirks("m"), heard=False)

    async def test_what_is_refused_all_the_same(self) -> None:
        """A second refusal of the same thing is the failure."""
        with pytest.raises(Refusal):
            await asked(Refusals("x"), {"never": TEMPERATURE})

    async def test_tries_are_counted(self) -> None:
        """A server that refuses one thing after the other is not asked for ever."""
        with pytest.raises(Refusal):
            await asked(Refusals("x"), {str(quirk): body for body, quirk in SAYS})
        assert len({quirk for _, quirk in SAYS}) > MOST_TRIES + 1

    def test_each_model_for_itself(self) -> None:
        """What one model refuses says nothing of another."""
        refusals = Refusals("x")
        assert refusals.learn("m", frozenset(), 400, json.dumps(TEMPERATURE).encode())
        assert refusals.quirks("m") == {Quirk.NO_TEMPERATURE}
        assert not refusals.quirks("n")

    def test_memory_is_bounded(self) -> None:
        """Callers name models; the latest are kept."""
        refusals = Refusals("x")
        for number in range(3000):
            refusals.learn(str(number), frozenset(), 400, json.dumps(TEMPERATURE).encode())
        known = [number for number in range(3000) if refusals.quirks(str(number))]
        assert (len(known), known[-1]) == (1024, 2999)


class TestCatalogue:
    @pytest.mark.parametrize(
        ("provider", "model", "quirks"),
        [
            ("kimi_k2", "kimi-k2.6", {"no_temperature", "no_forced_tool", "thinking_optional", "wants_reasoning"}),
            ("kimi_k2", "kimi-k3", {"wants_reasoning"}),
            ("deepseek", "deepseek-v4-pro", {"wants_reasoning"}),
            ("openai", "gpt-5.6", {"max_completion_tokens"}),
            ("office", "kimi-k2.6", set()),
        ],
    )
    def test_what_is_known(self, provider: str, model: str, quirks: set[str]) -> None:
        """Of a model by its provider; of one that is not known what its provider's usually want."""
        assert builtin_catalog().quirks(provider, model) == quirks

"""What a failure looks like inside a 200, whole or streamed, and what only looks like one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortexd.errors import Failure, ProviderError
from cortexd.providers.anthropic.answer import read_answer as read_anthropic
from cortexd.providers.anthropic.stream import EventCollector
from cortexd.providers.failures import status_error
from cortexd.providers.openai.answer import read_answer as read_openai
from cortexd.providers.openai.stream import ChunkCollector

READERS = {"openai": read_openai, "anthropic": read_anthropic}
both = pytest.mark.parametrize("api", list(READERS))
FORMS: dict[str, tuple[Any, Failure]] = {
    "an object": ({"error": {"message": "m", "code": 429}}, Failure.RATE_LIMITED),
    "text": ({"error": "m"}, Failure.SERVER),
    "TGI": ({"error": "m", "error_type": "overloaded"}, Failure.OVERLOADED),
    "Cloudflare": ({"success": False, "errors": [{"code": 10000, "message": "m"}]}, Failure.SERVER),
    "MiniMax": ({"base_resp": {"status_code": 1013, "status_msg": "m"}, "choices": None}, Failure.SERVER),
    "MiniMax, key": ({"base_resp": {"status_code": 1004, "status_msg": "m"}}, Failure.AUTHENTICATION),
    "MiniMax, balance": ({"base_resp": {"status_code": 1008, "status_msg": "m"}}, Failure.QUOTA),
    "vLLM's older": ({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}, Failure.REFUSED),
    "a type": ({"type": "error", "message": "m"}, Failure.SERVER),
    "Baidu": ({"error_code": 336003, "error_msg": "m"}, Failure.SERVER),
    "FastAPI": ({"detail": "m"}, Failure.SERVER),
    "FastAPI, validation": ({"detail": [{"loc": ["body"], "msg": "m"}]}, Failure.SERVER),
    "RFC 9457": ({"title": "t", "status": 503, "detail": "m"}, Failure.OVERLOADED),
    "Zhipu's gateway": ({"code": 500, "msg": "m", "success": False}, Failure.SERVER),
    "New API's": ({"success": False, "message": "m"}, Failure.SERVER),
    "a message of its own name": ({"success": False, "error_message": "m"}, Failure.SERVER),
    "AWS": ({"__type": "ThrottlingException", "message": "m"}, Failure.RATE_LIMITED),
    "Azure's front": ({"statusCode": 429, "message": "m"}, Failure.RATE_LIMITED),
    "AWS Lambda": ({"errorType": "TimeoutError", "errorMessage": "m"}, Failure.TIMEOUT),
    "DashScope": ({"code": "Throttling.RateQuota", "message": "m", "request_id": "r"}, Failure.RATE_LIMITED),
    "a code that is text": ({"error": {"message": "m", "code": "429", "type": None}}, Failure.RATE_LIMITED),
    "LiteLLM": ({"error": {"message": "m", "type": "RateLimitError", "code": None}}, Failure.RATE_LIMITED),
    "Google": ({"error": {"code": 12, "status": "RESOURCE_EXHAUSTED", "message": "m"}}, Failure.RATE_LIMITED),
    "DeepSeek": ({"error": {"message": "Insufficient Balance", "type": "insufficient_balance"}}, Failure.QUOTA),
    "llama.cpp": ({"error": {"code": 1, "type": "exceed_context_size_error", "message": "m"}}, Failure.CONTEXT),
    "llama.cpp's status first": (
        {"error": {"code": 400, "type": "exceed_context_size_error", "message": "m"}},
        Failure.CONTEXT,
    ),
    "a filter": ({"error": {"code": "data_inspection_failed", "message": "m"}}, Failure.CONTENT),
}
WORDS = {
    "error": Failure.SERVER,
    "network_error": Failure.SERVER,
    "insufficient_system_resource": Failure.OVERLOADED,
    "abort": Failure.SERVER,
    "Cancelled": Failure.SERVER,
    "timeout": Failure.TIMEOUT,
    "MALFORMED_FUNCTION_CALL": Failure.MALFORMED,
    "TOO_MANY_TOOL_CALLS": Failure.MALFORMED,
    "engine_overloaded": Failure.OVERLOADED,
    "upstream_error": Failure.SERVER,
    "internal-server-error": Failure.SERVER,
    "user_cancelled": Failure.SERVER,
    "request timed out": Failure.TIMEOUT,
    "rate_limited": Failure.RATE_LIMITED,
    "unexpected_eof": Failure.SERVER,
}
START = {"type": "message_start", "message": {"content": [], "model": "m"}}
TEXT = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Half an "}}
CHUNK = {"model": "m", "choices": [{"delta": {"content": "Half an "}}]}


def failed_stream(api: str, event: Any, name: str = "") -> ProviderError:
    """The failure that the event makes of a stream that has begun."""
    collector = ChunkCollector("m", 1000) if api == "openai" else EventCollector("m", 1000)
    for row in (CHUNK,) if api == "openai" else (START, TEXT):
        collector.feed(json.dumps(row).encode())
    with pytest.raises(ProviderError) as failed:
        collector.feed(event if isinstance(event, bytes) else json.dumps(event).encode(), name)
    return failed.value


def whole(api: str, text: str | None = "hi", reason: str | None = "stop", **more: Any) -> bytes:
    if api == "openai":
        body = {"choices": [{"message": {"content": text}, "finish_reason": reason}], **more}
    else:
        body = {"content": [{"type": "text", "text": text}] if text else [], "stop_reason": reason, **more}
    return json.dumps(body).encode()


class TestForms:
    @both
    @pytest.mark.parametrize("form", FORMS)
    def test_in_a_stream(self, api: str, form: str) -> None:
        """Each ends the stream as the failure that it says, which may have billed."""
        event, failure = FORMS[form]
        error = failed_stream(api, event)
        assert (error.failure, error.may_have_billed, bool(error.message)) == (failure, True, True)

    @both
    @pytest.mark.parametrize("form", FORMS)
    def test_in_place_of_an_answer(self, api: str, form: str) -> None:
        """The same as a whole body: nothing was made, so nothing was billed."""
        body, failure = FORMS[form]
        with pytest.raises(ProviderError) as failed:
            READERS[api](json.dumps(body).encode(), "m")
        assert (failed.value.failure, failed.value.may_have_billed) == (failure, False)

    @both
    @pytest.mark.parametrize("data", [b'{"message": "closed"}', b"closed", b"", b'{"error": {"code": 500}}', b"{}"])
    def test_by_its_name(self, api: str, data: bytes) -> None:
        """An event named `error` is one, whatever it holds."""
        assert failed_stream(api, data, "error").failure is Failure.SERVER

    @both
    @pytest.mark.parametrize("word", WORDS)
    def test_reasons(self, api: str, word: str) -> None:
        """A reason that means failure is one, in a stream and whole."""
        event: Any = {"choices": [{"delta": {}, "finish_reason": word}]}
        if api == "anthropic":
            event = {"type": "message_delta", "delta": {"stop_reason": word}}
        assert failed_stream(api, event).failure is WORDS[word]
        with pytest.raises(ProviderError) as failed:
            READERS[api](whole(api, reason=word), "m")
        assert (failed.value.failure, failed.value.may_have_billed) == (WORDS[word], True)

    def test_in_a_choice(self) -> None:
        """OpenRouter puts the error into the choice."""
        error = {"code": 502, "message": "Provider disconnected"}
        choice = {"message": {"content": ""}, "delta": {}, "finish_reason": "error", "error": error}
        assert failed_stream("openai", {"choices": [choice]}).message == error["message"]
        with pytest.raises(ProviderError) as failed:
            read_openai(json.dumps({"choices": [choice]}).encode(), "m")
        assert (failed.value.message, failed.value.may_have_billed) == (error["message"], True)

    @both
    @pytest.mark.parametrize("body", [b'[{"error": {"code": 400, "message": "m"}}]'])
    def test_in_a_list(self, api: str, body: bytes) -> None:
        """Gemini's OpenAI endpoint wraps its errors in a list."""
        with pytest.raises(ProviderError) as failed:
            READERS[api](body, "m")
        assert failed.value.failure is Failure.REFUSED


class TestNone:
    @pytest.mark.parametrize(
        "event",
        [
            {},
            {"choices": []},
            {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
            {"choices": [], "error": None, "base_resp": {"status_code": 0, "status_msg": ""}},
            {"type": "ping", "message": "still here"},
            {"code": 0, "message": "success", "choices": []},
            {"code": 200, "msg": "ok", "success": True},
            {"status": "in_progress", "message": "still thinking"},
            {"object": "chat.completion.chunk", "usage": None},
        ],
    )
    def test_chunks_without_an_answer(self, event: dict[str, Any]) -> None:
        """Chunks that say nothing of the answer are passed over."""
        collector = ChunkCollector("m", 1000)
        for row in (CHUNK, event, {"choices": [{"delta": {"content": "answer."}, "finish_reason": "stop"}]}):
            collector.feed(json.dumps(row).encode())
        assert collector.answer().content == "Half an answer."

    def test_new_events_of_anthropic(self) -> None:
        """Events of types that are not known yet are passed over, and so is any ping."""
        collector = EventCollector("m", 1000)
        rows: list[dict[str, Any]] = [START, TEXT, {"type": "new", "index": 3}, {"type": "ping"}]
        rows += [{"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"}]
        collector.feed(b"", "ping")
        for row in rows:
            collector.feed(json.dumps(row).encode())
        assert collector.answer().content == "Half an "

    @both
    @pytest.mark.parametrize("word", ["odd", "repetition", "eos", "stop", "deliberate", "x" * 80, None])
    def test_other_reasons(self, api: str, word: str | None) -> None:
        """Any other word is a reason for a whole answer, and so is none at all where the body is whole."""
        assert READERS[api](whole(api, reason=word), "m").content == "hi"


class TestEmpty:
    @both
    @pytest.mark.parametrize("reason", ["stop", "odd", "tool_calls", None])
    def test_nothing(self, api: str, reason: str | None) -> None:
        """An answer with nothing in it is none, and may have been billed."""
        with pytest.raises(ProviderError) as failed:
            READERS[api](whole(api, None, reason), "m")
        assert (failed.value.failure, failed.value.may_have_billed) == (Failure.MALFORMED, True)

    @both
    @pytest.mark.parametrize("reason", ["length", "content_filter"])
    def test_cut_or_filtered(self, api: str, reason: str) -> None:
        """What was cut off before its first word, or filtered, is an answer that says so."""
        answer = READERS[api](whole(api, None, reason), "m")
        assert (answer.content, answer.finish_reason) == ("", reason)

    @both
    def test_promised_calls(self, api: str) -> None:
        """An answer that speaks of tool calls and has none is broken."""
        with pytest.raises(ProviderError):
            READERS[api](whole(api, "hi", "tool_calls"), "m")


REFUSED_KEY = {"error": {"message": "m", "type": "no_db_connection", "code": "400"}}  # LiteLLM
GOOGLES = {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}
OF_GOOGLE = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}


class TestStatus:
    @pytest.mark.parametrize(
        ("status", "body", "failure"),
        [
            (400, REFUSED_KEY, Failure.AUTHENTICATION),
            (400, [{"error": {**GOOGLES, "details": [OF_GOOGLE]}}], Failure.AUTHENTICATION),
            (400, {"error": {"message": "m", "code": "invalid_api_key"}}, Failure.AUTHENTICATION),
            (400, [{"error": GOOGLES}], Failure.REFUSED),
            (400, {"error": {"message": "no_db_connection invalid_api_key", "type": "x"}}, Failure.REFUSED),
            (400, {"error": {"message": "m", "type": "insufficient_quota"}}, Failure.QUOTA),
            (429, {"error": {"message": "m", "code": "insufficient_quota"}}, Failure.QUOTA),
            (500, REFUSED_KEY, Failure.SERVER),
            (404, REFUSED_KEY, Failure.REFUSED),
            (400, {"error": {"details": [None, {"reason": 5}], "code": [], "type": {}}}, Failure.REFUSED),
        ],
    )
    def test_what_a_400_is_about(self, status: int, body: Any, failure: Failure) -> None:
        """Some say a wrong key or an empty account so; their words count, and not their texts, which quote prompts."""
        error = status_error(status, {}, json.dumps(body).encode())
        assert (error.failure, error.status, error.may_have_billed) == (failure, status, False)

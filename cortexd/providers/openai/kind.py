"""The API kind `openai`, for providers/kinds.py."""

from __future__ import annotations

from cortexd.providers.error_forms import FAILURE_SHAPE
from cortexd.providers.kinds import ApiKind, Sdk, SdkCall, Shape
from cortexd.providers.openai.answer import read_answer
from cortexd.providers.openai.request import request_body
from cortexd.providers.openai.stream import DONE, ChunkCollector

_USAGE: dict[str, Shape] = {
    "prompt_tokens": None,
    "completion_tokens": None,
    "total_tokens": None,
    "input_tokens": None,
    "output_tokens": None,
    "cached_tokens": None,
    "prompt_cache_hit_tokens": None,
    "prompt_cache_miss_tokens": None,
    "cache_read_input_tokens": None,
    "cache_creation_input_tokens": None,
    "reasoning_tokens": None,
    "prompt_tokens_details": {
        "cached_tokens": None,
        "cache_write_tokens": None,
        "cache_creation_input_tokens": None,
        "cache_creation_tokens": None,
    },
    "input_tokens_details": {"cached_tokens": None},
    "completion_tokens_details": {"reasoning_tokens": None},
    "output_tokens_details": {"reasoning_tokens": None},
}
_BESIDE: dict[str, Shape] = {
    "model": None,
    "usage": _USAGE,
    "x_groq": {"usage": _USAGE},
    "timings": {"cache_n": None, "prompt_n": None, "predicted_n": None},
    **FAILURE_SHAPE,
}
_CALL: dict[str, Shape] = {"id": None, "function": {"name": None, "arguments": None}}
_REPLY: dict[str, Shape] = {"content": None, "refusal": None, "reasoning_content": None, "reasoning": None}
_CHOICE: dict[str, Shape] = {"finish_reason": None, "error": None}
_COMPLETION: dict[str, Shape] = {"choices": [{"message": {**_REPLY, "tool_calls": [_CALL]}, **_CHOICE}], **_BESIDE}
_DELTA: dict[str, Shape] = {**_REPLY, "tool_calls": [{"index": None, **_CALL}]}
_CHUNK: dict[str, Shape] = {
    "choices": [{"delta": _DELTA, "message": _DELTA, "usage": _USAGE, **_CHOICE}],
    **_BESIDE,
}

SDK = Sdk(
    module="openai",
    blocking="OpenAI",
    asynchronous="AsyncOpenAI",
    # OPENAI_CUSTOM_HEADERS, OPENAI_ORG_ID, OPENAI_PROJECT_ID, OPENAI_ADMIN_KEY
    environment=("_custom_headers", "organization", "project", "admin_api_key"),
)
KIND = ApiKind(
    path="/chat/completions",
    request=request_body,
    read=read_answer,
    collector=ChunkCollector,
    sdk=SDK,
    sdk_call=SdkCall(
        method=lambda client: client.chat.completions.create,
        named=frozenset(
            {"model", "max_tokens", "messages", "temperature", "tools", "tool_choice", "stream", "stream_options"}
        ),
        streaming={"stream": True, "stream_options": {"include_usage": True}},
        answer=_COMPLETION,
        event=_CHUNK,
        whole="choices",
        unseen_end=DONE,
    ),
    elsewhere={"/v1/chat/completions": "; the endpoint answers below /v1: add /v1 to providers.{name}.base_url"},
)

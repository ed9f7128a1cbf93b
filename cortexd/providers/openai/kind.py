"""The API kind `openai`, for providers/kinds.py."""

from __future__ import annotations

from cortexd.providers.kinds import ApiKind, Sdk, SdkCall
from cortexd.providers.openai.answer import read_answer
from cortexd.providers.openai.request import request_body
from cortexd.providers.openai.stream import DONE, ChunkCollector

_USAGE = {
    "prompt_tokens": None,
    "completion_tokens": None,
    "cached_tokens": None,
    "prompt_cache_hit_tokens": None,
    "prompt_tokens_details": {"cached_tokens": None},
    "completion_tokens_details": {"reasoning_tokens": None},
}
_CALL = {"id": None, "function": {"name": None, "arguments": None}}
_REPLY = {"content": None, "refusal": None, "tool_calls": [_CALL]}
_COMPLETION = {
    "choices": [{"message": _REPLY, "finish_reason": None}],
    "model": None,
    "usage": _USAGE,
    "error": None,
}
_DELTA = {
    "content": None,
    "refusal": None,
    "reasoning_content": None,
    "reasoning": None,
    "tool_calls": [{"index": None, **_CALL}],
}
_CHUNK = {
    "choices": [{"delta": _DELTA, "finish_reason": None, "usage": _USAGE}],
    "model": None,
    "usage": _USAGE,
    "error": None,
}

KIND = ApiKind(
    adapter=("cortexd.providers.openai.api", "OpenAIApi"),
    request=request_body,
    read=read_answer,
    collector=ChunkCollector,
    sdk=Sdk(
        module="openai",
        blocking="OpenAI",
        asynchronous="AsyncOpenAI",
        # OPENAI_CUSTOM_HEADERS, OPENAI_ORG_ID, OPENAI_PROJECT_ID, OPENAI_ADMIN_KEY
        environment=("_custom_headers", "organization", "project", "admin_api_key"),
    ),
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
)

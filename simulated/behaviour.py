"""What an instance does with the requests it gets: the words of its answers, its token figures, its faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    """Ways to fail that a status code does not say. See `Behaviour.status` for the others."""

    HANG = "hang"  # takes the request, does no work, and waits until the client leaves; not billed
    HANG_MID_BODY = "hang_mid_body"  # does the work, sends a part, then waits until the client leaves
    RESET = "reset"  # TCP reset before the answer, no work done; not billed
    RESET_MID_BODY = "reset_mid_body"  # does the work, sends a part, then a TCP reset
    MALFORMED_JSON = "malformed_json"  # does the work; the body (or a stream event) ends in the middle
    END_EARLY = "end_early"  # does the work; the body (or a stream) ends after a part, in good order
    EMPTY_BODY = "empty_body"  # does the work; 200 with nothing
    WRONG_CONTENT_TYPE = "wrong_content_type"  # 200 with an HTML page, as a captive portal sends; not billed
    ERROR_ON_200 = "error_on_200"  # 200 with the vendor's error object; not billed
    STREAM_ERROR = "stream_error"  # a stream that turns into an error; without `stream`, as ERROR_ON_200
    BARE_DONE = "bare_done"  # a part of a stream and `[DONE]`, without a finish reason; otherwise END_EARLY


class StreamUsage(StrEnum):
    """Where an OpenAI-style stream says its usage, once `stream_options.include_usage` asks for it."""

    OWN_CHUNK = "own_chunk"  # a last chunk with an empty `choices`, as OpenAI sends
    LAST_CHOICE = "last_choice"  # on the chunk that carries finish_reason
    EVERY_CHUNK = "every_chunk"  # running totals on each chunk that has choices
    INSIDE_CHOICE = "inside_choice"  # choices[0].usage of the last chunk
    NEVER = "never"
    EMPTY_CHOICE = "empty_choice"  # a last chunk whose one choice has an empty delta and no reason


class RealServer(StrEnum):
    """Servers whose forms an OpenAI-style instance can take; what each is, and where seen: `servers.FORMS`."""

    LITELLM = "litellm"
    TRANSFORMERS = "transformers"
    LLAMA_CPP = "llama_cpp"
    VLLM = "vllm"
    LLAMA_CPP_PYTHON = "llama_cpp_python"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One way to behave. The plain `Behaviour()` answers every valid request by echoing it.

    `times` is the number of requests it holds for (refused ones count too); None means for ever.
    Text fields may hold anything a JSON escape can say, U+0000 and lone surrogates included.
    """

    times: int | None = None

    reply: str | None = None
    thinking: str | None = None
    tool_calls: tuple[tuple[str, str], ...] = ()  # (name, arguments as JSON text)
    auto_tool: bool = False  # call the first offered tool with arguments made from its schema
    size_bytes: int | None = None  # an answer text of this many bytes
    model: str | None = None  # the model id that the answer claims
    stop_reason: str | None = None  # the vendor's own word in place of the computed one

    # What is billed and said. Input excludes cache reads and writes; output includes reasoning.
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    hour_write_tokens: int = 0  # at Anthropic's API
    reasoning_tokens: int = 0

    # What is only said: laid over the usage object (any JSON value, NaN too), and fields left out; "*" leaves out all.
    usage: Mapping[str, Any] = field(default_factory=dict)
    usage_without: tuple[str, ...] = ()
    # Raw JSON text in place of Anthropic's `content` array or OpenAI's `message` object (not in streams).
    content_json: str | None = None

    # The whole answer as text in pieces: events of a stream one by one, otherwise joined. Then the body is not held to
    # the vendor's rules, and the figures above are what it costs: they should be what the text says.
    script: tuple[str, ...] | None = None

    status: int = 200  # 401, 403, 404, 429, 500, 503, 529, ...: the vendor's error instead of an answer
    error_type: str | None = None
    error_message: str | None = None
    retry_after: str | None = None  # default "1" on 429; "" leaves the header out
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault | None = None
    cut_after: int | None = None  # stream events (or bytes of a plain body) sent before what ends it in the middle
    delay_s: float = 0.0  # before anything is sent

    chunks: int | None = None  # text chunks of a stream; default one per 24 characters, at most 1,000
    chunk_delay_s: float = 0.0
    stream_usage: StreamUsage = StreamUsage.OWN_CHUNK
    server: RealServer | None = None  # answers and fails in that server's forms; its own place for usage goes first
    context_tokens: int | None = None  # longer prompts are refused; default: see billing.CONTEXT_TOKENS

    keys: tuple[str, ...] | None = None  # keys that are accepted; default: all that start with "sk-sim-"
    key_header: str | None = None  # the one header that carries the key as it is, as gateways want it
    demanded_headers: Mapping[str, str] = field(default_factory=dict)  # requests without them are refused with 403
    models: tuple[str, ...] | None = None  # models that are known; default: see billing.KNOWN_MODELS
    listing: str | None = None  # the whole body of the list of models, as it is
    ignores_stream: bool = False  # answers in one piece whatever is asked for, as some servers do
    refused_fields: tuple[str, ...] = ()  # request fields refused with 400, as models refuse `temperature`

    def __post_init__(self) -> None:
        """Take what JSON gives: lists for tuples, words for enums. Raises ValueError for an unknown word."""
        if self.fault is not None:
            object.__setattr__(self, "fault", Fault(self.fault))
        object.__setattr__(self, "stream_usage", StreamUsage(self.stream_usage))
        if self.server is not None:
            object.__setattr__(self, "server", RealServer(self.server))
        object.__setattr__(self, "tool_calls", tuple((name, arguments) for name, arguments in self.tool_calls))
        for name in ("usage_without", "keys", "models", "refused_fields", "script"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else tuple(value))

    def to_json(self) -> dict[str, Any]:
        """The fields that differ from the default, ready for json.dumps."""
        plain = Behaviour()
        pairs = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: value for name, value in pairs if value != getattr(plain, name)}

    @classmethod
    def from_json(cls, value: Any) -> Behaviour:
        """Raises ValueError, naming the field, for anything that `to_json` would not have written."""
        if not isinstance(value, dict):
            raise ValueError("a behaviour is a JSON object")
        unknown = sorted(set(value) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"unknown behaviour fields: {', '.join(unknown)}")
        return cls(**value)

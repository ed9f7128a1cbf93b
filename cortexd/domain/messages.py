"""What is asked and what is answered: messages, tools, options, usage, answers. No I/O, no vendor, no bus."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from cortexd.domain.raw import RawCall
from cortexd.domain.value import value

DEFAULT_MAX_TOKENS = 4096


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@value
class ToolCall:
    """A model's wish to call a tool. `arguments` is JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str


@value
class TextPart:
    text: str


@value
class ImagePart:
    """An image, as the bytes of its file."""

    media_type: str
    data: bytes


Part = TextPart | ImagePart


@value
class Message:
    """One turn. `tool_calls` on an assistant's turn, `tool_call_id` on a tool's result.

    `reasoning`: what an assistant thought before it, for models that want it back.
    """

    role: Role
    content: str | tuple[Part, ...]
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    reasoning: str | None = None

    def parts(self) -> tuple[Part, ...]:
        """The content as parts; text alone is one part, empty text none."""
        if isinstance(self.content, str):
            return (TextPart(self.content),) if self.content else ()
        return self.content

    def text(self) -> str:
        """The content's text parts, joined."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, TextPart))


@value
class Tool:
    """A function the model may ask for. `parameters` is a JSON Schema object (type "object"), as text."""

    name: str
    description: str = ""
    parameters: str = '{"type": "object", "properties": {}}'


class Strategy(StrEnum):
    """How to choose among the providers that can answer: a row for each file of routing/strategies/."""

    TABLE = "table"  # the operator's routing table
    COST = "cost"  # the likely cheapest first
    LATENCY = "latency"  # the likely quickest first
    QUALITY = "quality"  # the best for the task first
    BALANCED = "balanced"  # the best compromise of these, by weights
    LEARNED = "learned"  # who has served such tasks best, by reported outcomes, for its cost


class LearnedMode(StrEnum):
    """What the outcomes that callers report decide."""

    OFF = "off"  # nothing
    OBSERVE = "observe"  # nothing yet: what they would is noted beside what really is done
    APPLY = "apply"  # who is asked


class Privacy(StrEnum):
    ANY = "any"
    LOCAL = "local"  # only endpoints that the configuration marks as local


class Secrets(StrEnum):
    """What is done about secrets found in a request that others than local models may get, from lax to strict."""

    OFF = "off"  # nobody looks
    WARN = "warn"  # they are counted
    REDACT = "redact"  # models elsewhere get placeholders
    LOCAL = "local"  # only local models get the request, and its session from then on


class OnBreak(StrEnum):
    """What becomes of a stream whose provider fails after its first word."""

    RESTART = "restart"  # the next one answers anew; what was said counts no more
    CONTINUE = "continue"  # the next one goes on where it broke off
    FAIL = "fail"  # the stream ends with the error


_STRICTNESS = {policy: number for number, policy in enumerate(Secrets)}


def stricter(one: Secrets, other: Secrets) -> Secrets:
    return max(one, other, key=_STRICTNESS.__getitem__)


@value
class Options:
    """A caller's wishes for one request; None means the service's default.

    `tool_choice`: "auto", "none", "required" or a tool's name. `response_schema`: JSON Schema text.
    `max_cost_nano`: nano-dollars. `request_id`: the caller's own idempotency key. `cache`: an earlier equal answer
    will do. `session`: requests of one session stay with one provider. `secrets`: as the operator says, or stricter.
    """

    provider: str | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    response_schema: str | None = None
    fallback: bool | None = None
    deadline_ms: int | None = None
    max_cost_nano: int | None = None
    privacy: Privacy = Privacy.ANY
    request_id: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    strategy: Strategy | None = None
    learned: LearnedMode | None = None
    cache: bool = False
    session: str | None = None
    secrets: Secrets = Secrets.OFF
    on_break: OnBreak | None = None
    hedge: bool | None = None


@value
class Usage:
    """Tokens of one attempt. `input_tokens` is the whole prompt; `cached_tokens` and `cache_write_tokens`
    are the parts of it read from and written to the vendor's cache; `hour_write_tokens` is the part of what was written
    that is kept for an hour. `reasoning_tokens` is part of `output_tokens`.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    hour_write_tokens: int = 0


@value
class Call:
    """One attempt to be made at one provider. `timeout_s` bounds each wait for the provider, `first_token_timeout_s`
    the one for its first word, and nothing bounds it as a whole. `max_tokens` is None where nobody set a limit.

    For a provider with several endpoints: calls of one `affinity`, "" for none, go to the same one, for its cache;
    `local_only` ones to local ones alone; none to those of `avoids`. `waits`: where all are full it waits for a place.
    `raw`: a body that is sent as it is, in place of all that the other fields say.
    """

    model: str
    messages: tuple[Message, ...]
    timeout_s: float
    max_tokens: int | None = DEFAULT_MAX_TOKENS
    temperature: float | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    response_schema: str | None = None
    first_token_timeout_s: float | None = None
    affinity: str = ""
    local_only: bool = False
    avoids: frozenset[str] = frozenset()
    waits: bool = True
    raw: RawCall | None = None


@value
class Answer:
    """What one attempt brought back, checked and bounded.

    `usage` is None where the provider reported none (the cost is then unknown). `finish_reason` is one of
    stop, length, tool_calls, content_filter, or the provider's own word where it is none of these.
    `dropped_options` names the options this model does not take and that were left out. `reasoning` is what the model
    thought, as far as the provider says it, and goes back in `Message.reasoning`: all of it, or nothing if it is long.
    `raw`: the vendor's own bytes, where the call was raw and they are kept.
    """

    content: str
    model: str
    usage: Usage | None
    finish_reason: str = "stop"
    tool_calls: tuple[ToolCall, ...] = ()
    dropped_options: tuple[str, ...] = ()
    time_to_first_token_ms: int | None = None
    reasoning: str = ""
    raw: bytes | None = field(default=None, repr=False)

"""What a model refuses is learned from its refusal: the request goes again at once without it, and the next ones too.

A 400 costs nothing, and says in words or in fields which part of a request it is about. The forms, and who says so:

| form | whose |
|---|---|
| `error.code` "unsupported_parameter" or "unsupported_value", `error.param` | OpenAI, Azure |
| "… does not support the parameter `temperature`", "… does not support this tool_choice" | DeepSeek |
| "This response_format type is unavailable now" | DeepSeek |
| "invalid temperature: only 1 is allowed for this model" | Moonshot |
| "Your organization must be verified to stream this model", `error.param` "stream" | OpenAI |
| "response_format` does not support streaming" | Groq (langchain-ai/langchain#23629) |
| "tool_choice 'required' is incompatible with thinking enabled" | Moonshot |
| "property 'name' is unsupported" | Groq |
| `detail[].type` "extra_forbidden", `detail[].loc` | FastAPI servers: vLLM, Mistral, transformers |
| "Extra inputs are not permitted", "Unrecognized request argument supplied: …" | Anthropic; OpenAI before 2025 |
| "reasoning_content … must be passed back" | DeepSeek |
| "reasoning_content is missing in assistant tool call message" | Moonshot |
| "roles must alternate" (llama.cpp says so with a 500) | templates of Gemma and Mistral |
| "Expected last role User or Tool", "Unexpected role 'user' after role 'tool'" | Mistral |
| "System role not supported" | template of Gemma |
| "Tool call id was … but must be a-z, A-Z, 0-9, with a length of 9" | Mistral |
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from http import HTTPStatus
from threading import Lock
from typing import Any, TypeVar

from cortexd.catalog import Catalog, builtin_catalog
from cortexd.domain.newest import Latest
from cortexd.domain.quirks import Quirk, Quirks

_DEFINITE = (400, 422)
_STATUSES = (*_DEFINITE, 500)
_MAX_MODELS = 1024
_MAX_BODY = 64 * 1024
_MAX_MESSAGE = 2000  # what comes later may be the caller's own words
MOST_TRIES = 4  # one refusal names one thing
_REFUSED = re.compile(
    r"unsupported|not support|unavailable|not permitted|extra_forbidden|unrecogni[sz]ed|unknown|not allowed|"
    r"only .{0,40}allowed|incompatible|deprecated|use .{0,40} instead",
    re.IGNORECASE,
)
# a parameter that is refused, by its name -> the quirk. The first that is named counts.
_PARAMETERS = {
    "max_tokens": Quirk.MAX_COMPLETION_TOKENS,
    "max_completion_tokens": Quirk.MAX_TOKENS,
    "temperature": Quirk.NO_TEMPERATURE,
    "tool_choice": Quirk.NO_FORCED_TOOL,
    "response_format": Quirk.NO_RESPONSE_SCHEMA,
    "text": Quirk.NO_RESPONSE_SCHEMA,  # text.format of the Responses API
    "text.format": Quirk.NO_RESPONSE_SCHEMA,
    "output_config": Quirk.NO_RESPONSE_SCHEMA,
    "stream_options": Quirk.NO_STREAM_OPTIONS,
    "stream": Quirk.NO_STREAM,
    "name": Quirk.NO_NAMES,
}
_PARAMETER = re.compile(r"(?<![\w.])(max_(?:completion_)?tokens|temperature|tool_choice|response_format|output_config|"
                        r"text\.format|stream_options|(?<=[`'\"])stream(?=[`'\"])|(?<=supplied: )stream|"
                        r"(?<=')name(?='))(?!\w)")  # fmt: skip
# other words of a refusal -> the quirk
_WORDS = tuple(
    (re.compile(words, re.IGNORECASE | re.DOTALL), quirk)
    for words, quirk in (
        (r"reasoning_content.{0,80}(must be (passed|provided|included)|missing|required)", Quirk.WANTS_REASONING),
        (r"roles must alternate|expected last role|unexpected role '?user'? after role", Quirk.STRICT_TURNS),
        (r"system (role|message)s? (is |are )?not supported|\brole'? does not support '?system", Quirk.NO_SYSTEM),
        (r"tool[ _]call[ _]?id.{0,400}length of 9", Quirk.SHORT_IDS),
        (
            r"(\A|\n)streaming (is|are) (currently )?not supported( (by|for) this model)?\W*(\Z|\n)|"
            r"\bmodel does not support streaming\W*(\Z|\n)",
            Quirk.NO_STREAM,
        ),
    )
)
_A_STREAM = re.compile(r"\bstream", re.IGNORECASE)  # what of it, or what beside it, is refused: nobody knows
_A_SCHEMA = re.compile(r"(?<!json_)schema|\$ref", re.IGNORECASE)  # one that is refused says nothing of the next

_OF_STREAMS = frozenset({Quirk.NO_STREAM, Quirk.NO_STREAM_OPTIONS})
_WHOLE_IF_UNHEARD = frozenset({Quirk.WHOLE_IF_UNHEARD, Quirk.NO_STREAM_OPTIONS})

Sent = TypeVar("Sent")
Given = TypeVar("Given")


class Refusals:
    """The quirks of one endpoint's models: what the catalogue says, and what they have refused. For any thread."""

    def __init__(self, provider: str, catalog: Catalog | None = None, *, local: bool = False) -> None:
        self._provider = provider
        self._local = local
        self._catalog = catalog or builtin_catalog()
        self._learned: Latest[str, Quirks] = Latest(_MAX_MODELS)
        self._lock = Lock()

    def quirks(self, model: str) -> Quirks:
        with self._lock:
            return self._catalog.quirks(self._provider, model) | self._learned.get(model, frozenset())

    def learn(self, model: str, quirks: Quirks, status: int, body: bytes) -> bool:
        """Whether the refusal says anything that `quirks`, with which the request was written, did not hold."""
        new = next((quirk for quirk in _said(status, body) if quirk not in quirks), None)
        if new is not None:
            self._note(model, new)
        return new is not None

    def uncounted(self, model: str) -> None:
        """A stream ended without a word of its usage, which whole answers may have.

        At a local endpoint, which costs nothing, it is worth more that the end of a request ends its work.
        """
        if not self._local:
            self._note(model, Quirk.WHOLE_IF_UNHEARD)

    def _note(self, model: str, quirk: Quirk) -> None:
        with self._lock:
            self._learned.put(model, self._learned.get(model, frozenset()) | {quirk})


async def ask(
    refusals: Refusals,
    model: str,
    write: Callable[[Quirks], Sent],
    post: Callable[[Sent], Awaitable[Given]],
    refusal: type[Exception],
) -> tuple[Sent, Given]:
    """Write and post a request until nothing new is refused. `refusal`: the SDK's exception that holds a `response`."""
    quirks = refusals.quirks(model)
    sent = write(quirks)
    for _ in range(MOST_TRIES):
        try:
            return sent, await post(sent)
        except refusal as error:
            response: Any = getattr(error, "response", None)
            vain = sent
            while sent == vain:
                if not refusals.learn(model, quirks, response.status_code, response.content):
                    raise
                quirks = refusals.quirks(model)
                sent = write(quirks)
    return sent, await post(sent)


def streamed(quirks: Quirks, *, heard: bool) -> bool:
    """Whether to ask for a stream: its end ends the work there, and its silence is no slow work. Not of who refuses
    it, nor, where nobody hears the answer grow, of who then says less, as the usage."""
    return Quirk.NO_STREAM not in quirks and (heard or quirks.isdisjoint(_WHOLE_IF_UNHEARD))


def _said(status: int, body: bytes) -> Iterator[Quirk]:
    """What a refusal can mean, the likeliest first. Who is told to do without streams can do with all the rest."""
    found, short = refused(status, body), len(body) <= _MAX_BODY
    if short and status in _DEFINITE and found not in _OF_STREAMS and _A_STREAM.search(_words(_rows(body))):
        yield Quirk.WHOLE_IF_UNHEARD
    if found is not None:
        yield found


def refused(status: int, body: bytes) -> Quirk | None:
    """What a refusal says of the model; None where it is about something else."""
    if status not in _STATUSES or len(body) > _MAX_BODY:
        return None
    rows = _rows(body)
    said = _words(rows)
    found = next((quirk for words, quirk in _WORDS if words.search(said)), None)
    if found is None and status != HTTPStatus.INTERNAL_SERVER_ERROR:
        found = next((quirk for row in rows if (quirk := _refused_parameter(row))), None)
    return None if found is Quirk.NO_RESPONSE_SCHEMA and _A_SCHEMA.search(said) else found


def _refused_parameter(row: Any) -> Quirk | None:
    """What one error says of a parameter, where it is refused whatever its value."""
    words, place = _message(row), ""
    if isinstance(row, dict):
        words += f" {row.get('type')} {row.get('code')}"
        place = _place(row.get("loc") or row.get("param"))
    if not _REFUSED.search(words):
        return None
    if place:
        return _PARAMETERS.get(place)
    found = _PARAMETER.search(words)
    return _PARAMETERS[found.group(1)] if found else None


def _place(place: Any) -> str:
    """The parameter that a path leads to: a field of the request, or the name of a message."""
    steps = [str(step) for step in place] if isinstance(place, list) else re.split(r"[.\[\]]+", str(place or ""))
    steps = [step for step in steps if step and step != "body"]
    of_a_message = len(steps) > 1 and steps[0] == "messages" and steps[-1] == "name"
    return "name" if of_a_message else steps[0] if steps and steps[0] != "name" else ""


def _words(rows: list[Any]) -> str:
    return "\n".join(map(_message, rows))


def _message(row: Any) -> str:
    if isinstance(row, dict):
        row = row.get("message") or row.get("msg")
    return row[:_MAX_MESSAGE] if isinstance(row, str) else ""


def _rows(body: bytes) -> list[Any]:
    """The errors in a body: an object, a list of them, or plain words."""
    text = body.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return [text]
    for name in ("error", "detail"):
        if isinstance(value, dict) and value.get(name):
            value = value[name]
    return value if isinstance(value, list) else [value]

"""What a program has posted, as far as the bridge has to know it: its body goes on as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from cortexd.bridge.conversations import Conversations
from cortexd.errors import InvalidArgument
from cortexd.formats import FORMATS, Format

CHAT, MESSAGES, RESPONSES = FORMATS["openai"], FORMATS["anthropic"], FORMATS["responses"]


class _Known(msgspec.Struct):
    model: Any = None
    stream: Any = None
    store: Any = None
    previous_response_id: Any = None
    prompt_cache_key: Any = None
    metadata: msgspec.Raw = msgspec.Raw(b"null")


class _Metadata(msgspec.Struct):
    user_id: Any = None


@dataclass(frozen=True, slots=True)
class Posted:
    """`body`: with all that it goes on from. `session`: what the program calls its conversation, any text. `keeps`:
    a later request may go on from the answer."""

    form: Format
    body: bytes
    model: str
    stream: bool
    session: str
    keeps: bool


def read_posted(form: Format, body: bytes, conversations: Conversations) -> Posted:
    """Raises InvalidArgument for what is no JSON object."""
    try:
        body.decode()  # msgspec does not look at what it passes over
        known = msgspec.json.decode(body, type=_Known)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"The body is no JSON object: {error}") from None
    return Posted(
        form,
        conversations.whole(body, known.previous_response_id) if form is RESPONSES else body,
        _text("model", known.model),
        known.stream is True,
        _user(known.metadata) if form is MESSAGES else _text("prompt_cache_key", known.prompt_cache_key),
        form is RESPONSES and known.store is not False,
    )


def _text(key: str, value: object) -> str:
    if value is not None and not isinstance(value, str):
        raise InvalidArgument(f"{key}: expected text, got {type(value).__name__}")
    return value or ""


def _user(metadata: msgspec.Raw) -> str:
    try:
        known = msgspec.json.decode(metadata, type=_Metadata)
    except (msgspec.MsgspecError, RecursionError):
        return ""  # the service says what is wrong with it
    return _text("metadata.user_id", known.user_id)

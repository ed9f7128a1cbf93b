"""What single models refuse of an OpenAI-style request, and what is sent instead (domain/quirks.py has the words).

A model that thinks takes no forced tool. Where it can be told not to think (Moonshot's kimi-k2.5 and k2.6) it is told;
for others `tool_choice` is left out. Who wants reasoning back gets what the caller kept of it, and a filler where that
is nothing: Moonshot takes an empty text for none.
"""

from __future__ import annotations

from typing import Any

from cortexd.domain.quirks import Quirk, Quirks
from cortexd.providers.conversation import Manners
from cortexd.providers.conversation.calls import short_id, usual_id

_UNFORCED = ("auto", "none", None)
_NOT_KEPT = "(not kept)"
# what is left out: the quirk, the fields of the body, the caller's option
_LEFT_OUT = (
    (Quirk.NO_TEMPERATURE, "temperature", "temperature"),
    (Quirk.NO_RESPONSE_SCHEMA, "response_format", "response_schema"),
    (Quirk.NO_STREAM_OPTIONS, "stream_options", None),
)


def manners(quirks: Quirks) -> Manners:
    """How a conversation has to look for a model with these quirks."""
    strict = Quirk.STRICT_TURNS in quirks
    return Manners(
        begins_with_user=strict,
        ends_with_user=strict,
        between_tool_and_user=strict,
        anonymous=strict or Quirk.NO_NAMES in quirks,
        system_in_user_turn=Quirk.NO_SYSTEM in quirks,
        fit_id=short_id if Quirk.SHORT_IDS in quirks else usual_id,
    )


def fit(body: dict[str, Any], quirks: Quirks) -> tuple[str, ...]:
    """Change `body` to what its model takes. Returns the names of the options that were left out."""
    dropped = [
        option
        for quirk, field, option in _LEFT_OUT
        if quirk in quirks and body.pop(field, None) is not None and option is not None
    ]
    if Quirk.MAX_COMPLETION_TOKENS in quirks and Quirk.MAX_TOKENS not in quirks and "max_tokens" in body:
        body["max_completion_tokens"] = body.pop("max_tokens")
    thinks = True
    if Quirk.NO_FORCED_TOOL in quirks and body.get("tool_choice") not in _UNFORCED:
        if Quirk.THINKING_OPTIONAL in quirks:
            body["thinking"], thinks = {"type": "disabled"}, False
        else:
            del body["tool_choice"]
            dropped.append("tool_choice")
    _give_reasoning_back(body, wanted=thinks and Quirk.WANTS_REASONING in quirks)
    return tuple(dropped)


def _give_reasoning_back(body: dict[str, Any], *, wanted: bool) -> None:
    """Only to whom it is due: others do not know the field, and some refuse it."""
    for message in body["messages"]:
        kept = message.pop("reasoning_content", None)
        if wanted and "tool_calls" in message:
            message["reasoning_content"] = kept or _NOT_KEPT

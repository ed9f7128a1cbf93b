"""What the kimi-k2.6 and kimi-k2.7-code models refuse beyond the rules of the wire format; words as the API says them.

Both think unless told otherwise (k2.6 can be told, k2.7-code cannot). Sampling is fixed by the platform, a thinking
model takes no forced tool, and wants its `reasoning_content` back on every assistant message with tool calls.
"""

from __future__ import annotations

from typing import Any

from simulated.checks import Refused

PREFIX = "kimi-"
_ALWAYS_THINKS = "kimi-k2.7-code"
_FIXED = {"top_p": 0.95, "n": 1, "presence_penalty": 0, "frequency_penalty": 0}
_TEMPERATURE = {True: 1, False: 0.6}  # by whether the model thinks


def check(body: dict[str, Any]) -> None:
    """Raises Refused at the first thing that the model would refuse; `body` has passed openai_rules."""
    thinks = body.get("thinking", {"type": "enabled"})["type"] != "disabled"
    if not thinks and body["model"] == _ALWAYS_THINKS:
        raise Refused((), "invalid thinking: only type=enabled is allowed for this model")
    for name, allowed in {**_FIXED, "temperature": _TEMPERATURE[thinks]}.items():
        if body.get(name) is not None and body[name] != allowed:
            raise Refused((), f"invalid {name}: only {allowed} is allowed for this model")
    if thinks:
        _thinking(body)


def _thinking(body: dict[str, Any]) -> None:
    choice = body.get("tool_choice", "auto")
    if choice not in ("auto", "none"):
        word = choice if isinstance(choice, str) else "specified"
        raise Refused((), f"tool_choice '{word}' is incompatible with thinking enabled")
    for index, message in enumerate(body["messages"]):
        if message.get("tool_calls") and not message.get("reasoning_content"):
            problem = "thinking is enabled but reasoning_content is missing in assistant tool call message at index"
            raise Refused((), f"{problem} {index}")

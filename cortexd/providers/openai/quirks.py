"""What single models refuse of an OpenAI-style request, and what is sent instead: Moonshot's own kimi-k2.*.

- Sampling is fixed by the platform: `temperature` is left out.
- They think, and then take no forced tool. kimi-k2.5 and k2.6 can be told not to think; for the others `tool_choice`
  is left out.
- They want their `reasoning_content` back on every assistant turn with tool calls. Ours knows none, so a filler
  stands there (k2.6 passes over past reasoning unless asked to keep it).

The same weights on somebody else's server go by other names and refuse none of this.
"""

from __future__ import annotations

from typing import Any

_PREFIX = "kimi-k2."
_THINKING_OPTIONAL = ("kimi-k2.5", "kimi-k2.6")
_UNFORCED = ("auto", "none", None)
_FILLER = "(not kept)"


def fit(body: dict[str, Any]) -> tuple[str, ...]:
    """Change `body` to what its model takes. Returns the names of the options that were left out."""
    model: str = body["model"]
    if not model.startswith(_PREFIX):
        return ()
    dropped = [] if body.pop("temperature", None) is None else ["temperature"]
    if body.get("tool_choice") not in _UNFORCED:
        if model.startswith(_THINKING_OPTIONAL):
            body["thinking"] = {"type": "disabled"}
            return tuple(dropped)
        del body["tool_choice"]
        dropped.append("tool_choice")
    for message in body["messages"]:
        if "tool_calls" in message:
            message["reasoning_content"] = _FILLER
    return tuple(dropped)

"""What models want or refuse, in words: the catalogue says it of those it knows, presets and operators of all that
an endpoint has, refusals tell of the others."""

from __future__ import annotations

from enum import StrEnum


class Quirk(StrEnum):
    MAX_COMPLETION_TOKENS = "max_completion_tokens"  # the limit goes by this name and not by max_tokens
    MAX_TOKENS = "max_tokens"  # the other way round, where a provider's models go by the new name
    NO_TEMPERATURE = "no_temperature"
    NO_FORCED_TOOL = "no_forced_tool"  # no tool_choice but auto and none
    THINKING_OPTIONAL = "thinking_optional"  # told not to think, it takes a forced tool
    WANTS_REASONING = "wants_reasoning"  # reasoning_content on every assistant turn with tool calls
    NO_RESPONSE_SCHEMA = "no_response_schema"
    NO_STREAM = "no_stream"
    NO_STREAM_OPTIONS = "no_stream_options"
    WHOLE_IF_UNHEARD = "whole_if_unheard"  # a stream says less than the whole answer: only who hears it gets one
    STRICT_TURNS = "strict_turns"  # begins and ends with the user, who never speaks right after a tool
    NO_SYSTEM = "no_system"  # no system message
    NO_NAMES = "no_names"  # no names on messages
    SHORT_IDS = "short_ids"  # ids of tool calls are nine letters and digits


Quirks = frozenset[Quirk]

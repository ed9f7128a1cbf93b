"""The turns of a conversation in the order and the shapes that providers take; what was said stays as it was.

| what people send | what providers say of it | what is sent |
|---|---|---|
| blank texts and turns | Moonshot, Anthropic: 400 "must not be empty" | nothing of them |
| system messages anywhere | Qwen's and other templates: 400 "must be at the beginning" | all of them first |
| a system message after the assistant's last turn | (as above; and nothing would be asked) | a user's turn |
| several turns of a role in a row | Gemma's, Mistral's templates: "must alternate" | one turn |
| a result elsewhere than after its call, or twice | OpenAI, Anthropic: 400 | one after it, in the calls' order |
| a call without a result | OpenAI, Anthropic: 400 | a result that says that there is none |
| the assistant first | Anthropic: 400 "first message must use the user role"; templates | a user's turn before it |
| the assistant last | Claude 5: 400 "does not support assistant message prefill"; Mistral | a user's turn after it |

The last two only where an API or a model wants them (Manners): others go on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from cortexd.domain.messages import Call, Message, Part, Role, TextPart, ToolCall
from cortexd.providers.conversation.calls import CallNames, Ids, json_object, sent_names, usual_id

_BEGIN = "Begin the conversation."
_CONTINUE = "Continue."
_TAKEN_NOTE = "Noted."
_NO_RESULT = "(no result)"


@dataclass(frozen=True, slots=True)
class Manners:
    """What an API or a model wants of a conversation beyond what all want.

    `between_tool_and_user`: an assistant's turn has to stand there. `anonymous`: turns carry no names.
    """

    begins_with_user: bool = False
    ends_with_user: bool = False
    between_tool_and_user: bool = False
    anonymous: bool = False
    system_in_user_turn: bool = False
    fit_id: Callable[[str], str] = usual_id


@dataclass(frozen=True, slots=True)
class Conversation:
    """`sent`: tool names as they are sent, by the caller's own."""

    system: str
    turns: tuple[Message, ...]
    sent: dict[str, str]
    names: CallNames


@dataclass(slots=True)
class _Asked:
    """A tool call of the conversation, and what was answered to it."""

    given_id: str
    call: ToolCall
    results: list[Message] = field(default_factory=list)


def arranged(call: Call, manners: Manners) -> Conversation:
    """The conversation of `call` as its provider takes it; pure."""
    system, turns = _apart(call.messages)
    sent = sent_names(_tool_names(call))
    answered = _with_results(turns, sent, Ids(manners.fit_id))
    if manners.anonymous:
        answered = [replace(turn, name=None) for turn in answered]
    if manners.system_in_user_turn and system:
        answered, system = [Message(Role.USER, system), *answered], ""
    merged = _alternating(answered)
    own = {wire: name for name, wire in sent.items() if wire != name}
    ids = frozenset(item.id for message in call.messages for item in message.tool_calls)
    return Conversation(system, tuple(_framed(merged, manners)), sent, CallNames(own, ids))


def _tool_names(call: Call) -> Iterable[str]:
    yield from (tool.name for tool in call.tools)
    yield from (asked.name for message in call.messages for asked in message.tool_calls)


def _apart(messages: Sequence[Message]) -> tuple[str, list[Message]]:
    """What the system says, and the turns without what is blank."""
    said = [kept for message in messages if (kept := _without_blanks(message)) is not None]
    last = max((index for index, message in enumerate(said) if message.role is not Role.SYSTEM), default=-1)
    asks = last >= 0 and said[last].role is Role.ASSISTANT and not said[last].tool_calls
    rules = [
        message for index, message in enumerate(said) if message.role is Role.SYSTEM and not (asks and index > last)
    ]
    turns = [
        replace(message, role=Role.USER) if message.role is Role.SYSTEM else message
        for index, message in enumerate(said)
        if message.role is not Role.SYSTEM or (asks and index > last)
    ]
    return "\n\n".join(message.text() for message in rules), turns


def _without_blanks(message: Message) -> Message | None:
    """The message without its blank texts; None where nothing of it is left."""
    if isinstance(message.content, str) and message.content.strip():
        return message
    parts = tuple(part for part in message.parts() if not isinstance(part, TextPart) or part.text.strip())
    if not parts and not message.tool_calls and message.role is not Role.TOOL:
        return None
    return message if parts == message.parts() else replace(message, content=parts)


def _with_results(turns: Iterable[Message], sent: dict[str, str], ids: Ids) -> list[Message]:
    """Each tool call under its sent name and a new id, its result right after the turn that made it."""
    placed: list[tuple[Message, list[_Asked]]] = []
    for turn in turns:
        asked = _answered_by(turn, placed) if turn.role is Role.TOOL else None
        if asked is not None:
            asked.results.append(turn)
            continue
        # Whoever answers what nobody asked has passed no validation; its words are kept.
        spoken = replace(turn, role=Role.USER, tool_call_id=None) if turn.role is Role.TOOL else turn
        placed.append((spoken, [_asked(call, sent, ids) for call in turn.tool_calls]))
    arranged_turns: list[Message] = []
    for turn, calls in placed:
        arranged_turns.append(replace(turn, tool_calls=tuple(item.call for item in calls)) if calls else turn)
        arranged_turns += [_result(item) for item in calls]
    return arranged_turns


def _asked(call: ToolCall, sent: dict[str, str], ids: Ids) -> _Asked:
    return _Asked(call.id, ToolCall(ids.new(call.id), sent[call.name], json_object(call.arguments)))


def _answered_by(result: Message, placed: list[tuple[Message, list[_Asked]]]) -> _Asked | None:
    """The call that a result answers: the latest turn's of that id, and of its calls the first without a result."""
    same = [item for _, calls in reversed(placed) for item in calls if item.given_id == result.tool_call_id]
    return next((item for item in same if not item.results), same[0] if same else None)


def _result(asked: _Asked) -> Message:
    if not asked.results:
        return Message(Role.TOOL, _NO_RESULT, tool_call_id=asked.call.id)
    first, *more = asked.results
    content = _together([first, *more]) if more else first.content
    return Message(Role.TOOL, content, tool_call_id=asked.call.id)


def _alternating(turns: Iterable[Message]) -> list[Message]:
    """Neighbours of one role and name as one turn; tool results stay single."""
    merged: list[Message] = []
    for turn in turns:
        before = merged[-1] if merged else None
        same = before is not None and (before.role, before.name) == (turn.role, turn.name)
        if before is None or not same or turn.role is Role.TOOL:
            merged.append(turn)
        else:
            reasons = [text for text in (before.reasoning, turn.reasoning) if text]
            merged[-1] = replace(
                before,
                content=_together([before, turn]),
                tool_calls=before.tool_calls + turn.tool_calls,
                reasoning="\n\n".join(reasons) or None,
            )
    return merged


def _together(messages: Iterable[Message]) -> tuple[Part, ...]:
    return tuple(part for message in messages for part in message.parts())


def _framed(turns: list[Message], manners: Manners) -> list[Message]:
    """With the turns before the first, between and after the last that a provider insists on."""
    framed: list[Message] = []
    for turn in turns:
        after = framed[-1].role if framed else None
        if after is None and turn.role is Role.ASSISTANT and manners.begins_with_user:
            framed.append(Message(Role.USER, _BEGIN))
        if after is Role.TOOL and turn.role is Role.USER and manners.between_tool_and_user:
            framed.append(Message(Role.ASSISTANT, _TAKEN_NOTE))
        framed.append(turn)
    if framed and framed[-1].role is Role.ASSISTANT and manners.ends_with_user:
        framed.append(Message(Role.USER, _CONTINUE))
    return framed

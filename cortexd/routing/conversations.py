"""Who has answered in conversations that have no session: their own words tell them apart."""

from __future__ import annotations

from collections.abc import Sequence

from cortexd.domain.messages import Answer, Message, Role, ToolCall
from cortexd.domain.targets import Target
from cortexd.routing.sessions import Sessions


class Conversations:
    """As Sessions, by a user's last answer in the place of a name."""

    def __init__(self) -> None:
        self._known = Sessions()

    def target(self, uid: int, messages: Sequence[Message]) -> Target | None:
        """Who gave that user the last answer in `messages`, within an hour."""
        last = next((item for item in reversed(messages) if item.role is Role.ASSISTANT), None)
        return None if last is None else self._known.target(uid, _name(last.text(), last.tool_calls))

    def answered(self, uid: int, answer: Answer, target: Target) -> None:
        self._known.answered(uid, _name(answer.content, answer.tool_calls), target)

    def forget(self, uid: int) -> None:
        self._known.forget(uid)


def _name(text: str, calls: Sequence[ToolCall]) -> str:
    return format(hash((text.strip(), tuple(call.id for call in calls))), "x")

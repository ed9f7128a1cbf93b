"""What was said in a chat, what was answered, and what that cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

LABEL = "chat"  # of a chat's requests in the ledger; its value is the conversation's name
_VERSION = 1


class NoConversation(ValueError):
    """It is none in our form; the text says why."""


@dataclass(frozen=True, slots=True)
class Turn:
    """`answer`: as far as it came. `cost_nano_usd`: None where it was interrupted, so that only the ledger knows."""

    said: str
    answer: str
    request_id: str = ""
    provider: str = ""
    model: str = ""
    cost_nano_usd: int | None = None


@dataclass(slots=True)
class Conversation:
    """`name`: the session, by which the ledger knows its requests too. `began`: the day of its first turn, ISO 8601.
    `beside_nano_usd`: what answers cost that are no part of it any more."""

    name: str
    began: str
    system: str = ""
    turns: list[Turn] = field(default_factory=list)
    beside_nano_usd: int = 0
    beside_known: bool = True

    def messages(self, said: str) -> list[dict[str, str]]:
        """All of it, and then `said`."""
        messages = [{"role": "system", "content": self.system}] if self.system else []
        for turn in self.turns:
            messages += [{"role": "user", "content": turn.said}, {"role": "assistant", "content": turn.answer}]
        return [*messages, {"role": "user", "content": said}]

    @property
    def cost_nano_usd(self) -> int:
        """As far as it is known here."""
        return self.beside_nano_usd + sum(turn.cost_nano_usd or 0 for turn in self.turns)

    @property
    def cost_known(self) -> bool:
        return self.beside_known and all(turn.cost_nano_usd is not None for turn in self.turns)

    def take_back(self) -> Turn | None:
        """Remove the last turn; what it cost stays in the sum."""
        if not self.turns:
            return None
        turn = self.turns.pop()
        self._beside(turn)
        return turn

    def empty(self) -> None:
        """Forget what was said; what it cost stays in the sum."""
        while self.take_back():
            pass

    def interrupted(self) -> None:
        """An answer was, before its first word."""
        self.beside_known = False

    def _beside(self, turn: Turn) -> None:
        self.beside_nano_usd += turn.cost_nano_usd or 0
        self.beside_known = self.beside_known and turn.cost_nano_usd is not None

    def as_json(self) -> dict[str, Any]:
        return {"version": _VERSION, **asdict(self)}

    @classmethod
    def of_json(cls, value: object) -> Self:
        """Raises NoConversation."""
        if not isinstance(value, Mapping) or value.get("version") != _VERSION:
            raise NoConversation(f"no chat of version {_VERSION}")
        fields = {key: item for key, item in value.items() if key != "version"}
        try:
            read = cls(**{**fields, "turns": [Turn(**turn) for turn in fields["turns"]]})
        except (KeyError, TypeError) as error:
            raise NoConversation("fields are missing or unknown") from error
        if not read._sound():
            raise NoConversation("a field has a wrong type")
        return read

    def _sound(self) -> bool:
        texts = [self.name, self.began, self.system]
        costs: list[Any] = [self.beside_nano_usd]
        for turn in self.turns:
            texts += [turn.said, turn.answer, turn.request_id, turn.provider, turn.model]
            costs.append(turn.cost_nano_usd or 0)
        return all(isinstance(text, str) for text in texts) and all(type(cost) is int for cost in costs)

    def as_markdown(self) -> str:
        parts = [f"# {self.name}, {self.began}"]
        parts += [f"*{self.system}*"] if self.system else []
        for turn in self.turns:
            parts += [f"**You:** {turn.said}", f"**{turn.provider or 'interrupted'} {turn.model}:** {turn.answer}"]
        return "\n\n".join(parts) + "\n"

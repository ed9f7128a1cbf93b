"""What a list of the window shows, line by line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cortex_llm_applet.logic.trouble import State


@dataclass(frozen=True, slots=True)
class Line:
    """`key` stays the same as long as the line is about the same thing. `state` is its icon. `action`: what its button
    says, which is spoken as `action_spoken`; without one there is no button."""

    key: str
    title: str
    subtitle: str = ""
    value: str = ""
    state: State | None = None
    action: str = ""
    action_spoken: str = ""

    @property
    def spoken(self) -> str:
        """What is beside the title, for who cannot see it."""
        return joined((self.subtitle.replace("\n", ", "), self.value), ", ")


Lines = tuple[Line, ...]


def joined(parts: Iterable[str], separator: str = " · ") -> str:
    return separator.join(part for part in parts if part)

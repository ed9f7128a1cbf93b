"""Several keys for one provider: tried in turn, beginning with the one that answered last."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cortexd.config import Secret
from cortexd.errors import Failure

# what another key may do better; nobody else's failure has to do with the key
OF_THE_KEY = frozenset({Failure.AUTHENTICATION, Failure.QUOTA, Failure.RATE_LIMITED})


def split_keys(text: str | None) -> list[str]:
    """The keys in `text`, apart by blanks, commas or semicolons, each once."""
    return list(dict.fromkeys(filter(None, re.split(r"[\s,;]+", text or ""))))


class Keys:
    """Each provider's keys by name, and whose turn it is. Threads may share one: the last to answer is remembered."""

    def __init__(self, keys: Mapping[str, Sequence[Secret]]) -> None:
        self._keys = {name: tuple(found) for name, found in keys.items()}
        self._first: dict[str, int] = {}

    def of(self, provider: str) -> tuple[Secret, ...]:
        return self._keys.get(provider, ())

    def turns(self, provider: str) -> list[int]:
        """Which of the provider's keys to try, in order; [0] where it has none or one."""
        count = max(1, len(self.of(provider)))
        first = self._first.get(provider, 0)
        return [(first + turn) % count for turn in range(count)]

    def answered(self, provider: str, turn: int) -> None:
        self._first[provider] = turn

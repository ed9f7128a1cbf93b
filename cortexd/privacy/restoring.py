"""Placeholders back into secrets, in a text that comes in pieces too."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Mapping

from cortexd.privacy.guard import PLACEHOLDER_DIGITS, PREFIX

_PLACEHOLDER = re.compile(f"{PREFIX}[0-9a-f]{{{PLACEHOLDER_DIGITS}}}")
_LENGTH = len(PREFIX) + PLACEHOLDER_DIGITS


class Restorer:
    """Of one text. What could be the beginning of a placeholder waits for the rest of it: 22 characters at most.

    `in_json`: the text is JSON, and a secret has to be escaped in it. What is no placeholder of this request stays.
    """

    def __init__(self, secrets: Mapping[str, str], *, in_json: bool = False) -> None:
        self._secrets = secrets
        self._sorted = sorted(secrets)
        self._in_json = in_json
        self._held = ""

    def whole(self, text: str) -> str:
        """A text that came in one piece."""
        return _PLACEHOLDER.sub(self._secret, text) if PREFIX in text else text

    def take(self, piece: str) -> str:
        """What can be said now that `piece` has come."""
        text = self._held + piece
        safe = len(text) - self._begun(text)
        self._held = text[safe:]
        return self.whole(text[:safe])

    def rest(self) -> str:
        """What was held back; nothing more comes."""
        held, self._held = self._held, ""
        return held

    def _begun(self, text: str) -> int:
        """How many characters at the end may be the beginning of a placeholder."""
        start = max(0, len(text) - _LENGTH + 1)
        while (start := text.find(PREFIX[0], start)) >= 0:
            tail = text[start:]
            at = bisect_left(self._sorted, tail)
            if at < len(self._sorted) and self._sorted[at].startswith(tail):
                return len(tail)
            start += 1
        return 0

    def _secret(self, found: re.Match[str]) -> str:
        secret = self._secrets.get(found[0])
        if secret is None:
            return found[0]
        return json.dumps(secret, ensure_ascii=False)[1:-1] if self._in_json else secret

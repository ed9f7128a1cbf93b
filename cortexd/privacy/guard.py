"""What is known of a request's secrets, and what follows from it for whom it may be sent to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field

from cortexd.domain.messages import Message, Tool
from cortexd.domain.value import value

PREFIX = "SECRET_"
PLACEHOLDER_DIGITS = 16
_TELLING = 4


@value
class Disguise:
    """A request as models elsewhere get it. `secrets`: placeholder -> what it stands for."""

    messages: tuple[Message, ...] = field(repr=False)
    tools: tuple[Tool, ...] = field(repr=False)
    response_schema: str | None = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)

    def hide(self, text: str) -> tuple[str, str]:
        """`text`, which a model wrote who may have known the secrets, with their placeholders; and what had to be left
        out at its end, the beginning of one."""
        forms = {form: placeholder for placeholder, secret in self.secrets.items() for form in _forms(secret)}
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, forms[form])
        cut = max((_begun(text, form) for form in forms), default=0)
        return text[: len(text) - cut], text[len(text) - cut :]


def _forms(secret: str) -> set[str]:
    """As it is, and as it stands in JSON."""
    return {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}


def _begun(text: str, form: str) -> int:
    """How many characters at the end of `text` begin `form`: fewer than four tell nothing."""
    longest = min(len(form) - 1, len(text))
    return next((size for size in range(longest, _TELLING - 1, -1) if text.endswith(form[:size])), 0)


@value
class Guard:
    """`found`: how many secrets of each kind, None where nobody looked. `pinned`: why only local models may have the
    request, empty where others may too. `disguise`: what those get in its place."""

    found: Mapping[str, int] | None = None
    pinned: str = ""
    disguise: Disguise | None = None


UNGUARDED = Guard()

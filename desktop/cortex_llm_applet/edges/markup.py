"""Text where a desktop expects markup."""

from __future__ import annotations

_MARKUP = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))


def escaped(text: str) -> str:
    for character, entity in _MARKUP:
        text = text.replace(character, entity)
    return text

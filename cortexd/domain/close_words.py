"""What somebody may have meant by a word that is not known."""

from __future__ import annotations

from collections.abc import Iterable


def close_words(word: str, known: Iterable[str], *, most: int = 1, cutoff: float = 0.6) -> list[str]:
    """Those known words that are most like it, the nearest first. `cutoff`: how much alike at least, 0 to 1."""
    from difflib import get_close_matches  # which few need

    return get_close_matches(word, list(known), most, cutoff)

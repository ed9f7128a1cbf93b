"""Looking for secrets in the texts of a request, a window at a time: no step takes longer than one window takes."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from cortexd.privacy.rules import LONGEST, RULES
from cortexd.privacy.texts import Texts

WINDOW = 64 * 1024
"""Characters in which matches may begin; they may end up to LONGEST behind it."""
_LONGEST_LITERAL = max(len(literal) for rule in RULES for literal in rule.literals)
_LONE = re.compile("[\ud800-\udfff]")
_JSON_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*"', re.DOTALL)


@dataclass(slots=True)
class Findings:
    """`kinds`: each secret, and what it is. `escaped`: how it stands in JSON texts, where that is otherwise -> it."""

    kinds: dict[str, str] = field(default_factory=dict, repr=False)
    escaped: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """How many different secrets of each kind, by name."""
        return dict(sorted(Counter(self.kinds.values()).items()))


def look_through(texts: Texts, findings: Findings) -> Generator[None, None, None]:
    """Add what stands in `texts` to `findings`; a step for each window's worth of text."""
    waiting = 0
    for text, in_json in [*((text, False) for text in texts.plain), *((text, True) for text in texts.json)]:
        for piece in _unescaped(text) if in_json else (text,):
            for start in range(0, len(piece), WINDOW):
                _look(piece, start, findings, in_json=in_json and piece is text)
                waiting += min(WINDOW, len(piece) - start)
                if waiting >= WINDOW:
                    waiting = 0
                    yield


def _unescaped(text: str) -> Iterator[str]:
    """A JSON text as it is, and its strings that say something else than what stands there."""
    yield text
    if "\\" not in text:
        return
    for found in _JSON_STRING.finditer(text):
        if "\\" in found[0] and (said := _said(found[0])) is not None:
            yield said


def _said(literal: str) -> str | None:
    try:
        said = json.loads(literal, strict=False)
    except ValueError:
        return None
    return said if isinstance(said, str) and not _LONE.search(said) else None


def _look(text: str, start: int, findings: Findings, *, in_json: bool) -> None:
    """Find what begins in one window of `text`."""
    # the one character whose small form is two: positions must stay what they are
    folded = text[start : start + WINDOW + _LONGEST_LITERAL].replace("\u0130", "I").lower()
    for rule in RULES:
        for literal in rule.literals:
            at = folded.find(literal)
            while 0 <= at < WINDOW:
                found = rule.pattern.match(text, start + at, start + at + LONGEST)
                if found is not None and rule.plausible(found):
                    _add(found, rule.kind, findings, in_json=in_json)
                at = folded.find(literal, at + 1 if found is None else max(found.end() - start, at + 1))


def _add(found: re.Match[str], kind: str, findings: Findings, *, in_json: bool) -> None:
    secret = (found.groupdict().get("secret") or found[0]).strip()
    if in_json and "\\" in secret:
        said = _said(f'"{secret}"') or secret  # half an escape stays what it is
        findings.escaped[secret] = said
        secret = said
    if secret:
        findings.kinds.setdefault(secret, kind)

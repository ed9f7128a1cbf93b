"""What each client showed, as the tables of docs/bridge-clients.md."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from tests.system.clients.kinds import Kind
from tests.system.clients.scenes import ANSWERED, CANCEL, NOT_ANSWERED

_COLUMNS = (*ANSWERED, CANCEL, *NOT_ANSWERED)
_NONE = "–"  # it has nothing of the kind
_COLOURS = re.compile(r"\x1b\[[\d;]*m")
_DETAILS = re.compile(r" \[\w+=.*")  # of the service, which hold times


class Table:
    def __init__(self) -> None:
        self._rows: dict[str, dict[str, str]] = {}
        self._said: list[tuple[str, str, str]] = []

    def answered(self, kind: Kind, scene: str) -> None:
        self._put(kind, scene, "yes")

    def refused(self, kind: Kind, scene: str, seen: dict[str, Any]) -> None:
        """Commands say what went wrong in the last lines that they print."""
        words = [seen.get("error", "exit 0"), seen.get("status")]
        self._put(kind, scene, f"`{' '.join(str(word) for word in words if word)}`")
        if kind.command:
            last = _COLOURS.sub("", seen["said"]).strip().splitlines()[-1]
            self._said.append((kind.name, scene, f"`{_DETAILS.sub('', last)}`"))

    def markdown(self) -> str:
        rows = [(name, *(row.get(column, _NONE) for column in _COLUMNS)) for name, row in self._rows.items()]
        first, second = _table(("client", *_COLUMNS), rows), _table(("program", "what", "its last line"), self._said)
        return "".join((*first, "\n", *second))

    def _put(self, kind: Kind, scene: str, cell: str) -> None:
        self._rows.setdefault(kind.name, {})[scene] = cell


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in (columns, ("---",) * len(columns), *rows):
        yield f"| {' | '.join(row)} |\n"

"""What each client showed, as the table of docs/bridge-clients.md."""

from __future__ import annotations

from typing import Any

from tests.system.clients.scenes import ANSWERED, CANCEL, NOT_ANSWERED

_COLUMNS = (*ANSWERED, CANCEL, *NOT_ANSWERED)
_NONE = "–"  # it has nothing of the kind


class Table:
    def __init__(self) -> None:
        self._rows: dict[str, dict[str, str]] = {}

    def answered(self, client: str, scene: str, seen: dict[str, Any]) -> None:
        self._put(client, scene, f"`{seen['error']}`" if seen.get("error") else "yes")

    def refused(self, client: str, scene: str, seen: dict[str, Any]) -> None:
        words = [seen.get("error", "exit 0"), seen.get("status")]
        self._put(client, scene, f"`{' '.join(str(word) for word in words if word)}`")

    def markdown(self) -> str:
        lines = [("client", *_COLUMNS), ("---",) * (len(_COLUMNS) + 1)]
        lines += [(name, *(row.get(column, _NONE) for column in _COLUMNS)) for name, row in self._rows.items()]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def _put(self, client: str, scene: str, cell: str) -> None:
        self._rows.setdefault(client, {})[scene] = cell

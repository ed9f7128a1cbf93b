"""What one machine asks a ledger about the others that share it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cortexd.domain.fleet import Marks, Revision

if TYPE_CHECKING:
    from cortexd.ledger.reading.readers import Readers


class Fleet:
    """`shared`: whether there are others at all. Every method may raise LedgerUnavailable."""

    def __init__(self, readers: Readers, *, shared: bool) -> None:
        self.shared = shared
        self._readers = readers

    async def marks(self) -> Marks:
        """How far what machines share has come; all 0 where nobody shares this ledger."""
        from cortexd.ledger.reading import fleet_settings

        return await self._readers.read(fleet_settings.marks) if self.shared else Marks()

    async def settings(self) -> Revision | None:
        """The newest revision of the fleet's settings; None where there is none."""
        from cortexd.ledger.reading import fleet_settings

        return await self._readers.read(fleet_settings.revision) if self.shared else None

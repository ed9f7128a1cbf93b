"""What one machine asks a ledger about the others that share it, and tells them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cortexd.domain.fleet import Marks, Refusal, Revision
from cortexd.ledger import keeping, reading
from cortexd.ledger.writing.actions import Action, Change

if TYPE_CHECKING:
    from cortexd.ledger.reading.readers import Readers


class Fleet:
    """`shared`: whether there are others at all; `host` gives this machine's number, which it may have later only.
    Every method may raise LedgerUnavailable."""

    def __init__(
        self, write: Callable[[Action], Awaitable[Any]], readers: Readers, host: Callable[[], int], *, shared: bool
    ) -> None:
        self.shared = shared
        self.settings_missing: int | None = None
        """The revision of the fleet's settings that this machine, which has taken none before, cannot take; 0 while it
        does not know yet whether there is one; None where it goes by what the fleet wants. Until then nothing is paid
        for: the fleet's budgets would not hold."""
        self._host = host
        self._write = write
        self._readers = readers

    async def marks(self) -> Marks:
        """How far what machines share has come; all 0 where nobody shares this ledger."""
        if not self.shared:
            return Marks()
        return await self._readers.read(lambda connection: reading.fleet_settings.marks(connection))

    async def settings(self) -> Revision | None:
        """The newest revision of the fleet's settings; None where there is none."""
        if not self.shared:
            return None
        return await self._readers.read(lambda connection: reading.fleet_settings.revision(connection))

    async def note_settings(self, revision: str, refused: Refusal | None = None) -> None:
        """Let the other machines know which revision of the fleet's settings this one runs ("" for none), and which
        newer one it cannot take."""
        noted = keeping.hosts.run_settings
        await self._write(Change(lambda connection: noted(connection, self._host(), revision, refused)))

    async def forget_hosts(self, before: datetime) -> None:
        """Let go of machines that were seen last before then (aware) and of which no request and no sum is left."""
        gone = await self._readers.read(lambda connection: keeping.hosts.long_gone(connection, before))
        if gone := [number for number in gone if number != self._host()]:
            await self._write(Change(lambda connection: keeping.hosts.forget(connection, gone)))

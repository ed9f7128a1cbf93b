"""Whose a uid is now. One that another name has had keeps nothing of it: labels, sums, preferences, answers."""

from __future__ import annotations

import asyncio
import logging
import pwd
from collections.abc import Awaitable, Callable, Mapping

from cortexd.errors import LedgerUnavailable
from cortexd.ledger import Ledger

_log = logging.getLogger("cortexd.accounts")


class Owners:
    """`known`: the name of each uid that the ledger remembers. Of a uid that is another's now `before_change` hears
    first, to end what is still to be charged to the former one, and `on_change` once the ledger has given it up."""

    def __init__(self, ledger: Ledger, known: Mapping[int, str]) -> None:
        self._ledger = ledger
        self._known = dict(known)
        self._unnoted: set[int] = set()
        self._changing = asyncio.Lock()
        self.before_change: list[Callable[[int], Awaitable[None]]] = []
        self.on_change: list[Callable[[int], None]] = []

    async def refresh(self) -> None:
        """Take what the ledger remembers by now. Raises LedgerUnavailable."""
        self._known |= await self._ledger.owners()

    def settled(self, uid: int) -> bool:
        """Whether its name is the ledger's, too: machines that share it may know the uid as somebody else's."""
        return uid not in self._unnoted

    async def name(self, uid: int) -> str:
        """The user's name; the number, or the last name, where the user database has none.

        Raises LedgerUnavailable where what the former one left cannot be given up.
        """
        found = await asyncio.to_thread(user_name, uid)
        if found is None:
            return self._known.get(uid, str(uid))
        if self._known.get(uid) != found:
            async with self._changing:
                await self._change(uid, found)
        if self._known.get(uid) == found:
            self._unnoted.discard(uid)
        return found

    async def _change(self, uid: int, user: str) -> None:
        before = self._known.get(uid)
        if before == user:
            return
        if before not in (None, str(uid)):
            await self._give_up(uid, before, user)
        elif not await self._noted(uid, user):
            return
        self._known[uid] = user

    async def _give_up(self, uid: int, before: str | None, user: str) -> None:
        for end in self.before_change:
            await end(uid)
        await self._ledger.take_over(uid, user)
        _log.warning("uid %d was %s and is %s now, who gets nothing of what %s left", uid, before, user, before)
        for hear in self.on_change:
            hear(uid)

    async def _noted(self, uid: int, user: str) -> bool:
        try:
            await self._ledger.note_owner(uid, user)
        except LedgerUnavailable as error:
            if self.settled(uid):
                _log.warning("cannot note that uid %d is %s: %s", uid, user, error)
            self._unnoted.add(uid)
            return False
        return True


def user_name(uid: int) -> str | None:
    """As the user database has it now. Blocks: it may be on the network."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None

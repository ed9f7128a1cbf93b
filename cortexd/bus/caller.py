"""Who is behind a unique bus name: uid and user name, asked of the bus once per connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from cortexd.access import Load
from cortexd.authority import Caller
from cortexd.connection import Connection, Message, lets_ask
from cortexd.domain.newest import Latest
from cortexd.errors import AccessDenied, Denial

_KNOWN_AT_MOST = 4096
_TIMEOUT_S = 10.0
_NAME_OWNER_CHANGED = (
    "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
    "interface='org.freedesktop.DBus',member='NameOwnerChanged'"
)


class Callers:
    """Resolves senders, and tells `on_left(connection)` when one has left the bus. `name_of` gives a uid's user;
    `settled` says whether that stands, or is to be asked at the next call again."""

    def __init__(
        self,
        connection: Connection,
        name_of: Callable[[int], Awaitable[str]],
        settled: Callable[[int], bool] = lambda _uid: True,
    ) -> None:
        self._connection = connection
        self._name_of = name_of
        self._settled = settled
        self._known: Latest[str, tuple[int, str]] = Latest(_KNOWN_AT_MOST)
        self._asked: dict[str, asyncio.Task[tuple[int, str]]] = {}
        self.on_left: list[Callable[[str], None]] = []

    async def watch(self) -> None:
        """Begin to hear of connections that leave: one match rule for everything that cares."""
        await self._connection.add_match(_NAME_OWNER_CHANGED)

    def known_uid(self, sender: str) -> int | None:
        """The user behind a connection, None before the bus has told."""
        known = self._known.get(sender)
        return None if known is None else known[0]

    async def resolve(self, message: Message, load: Load) -> Caller:
        """The caller of a method call, whose content is `load`. Raises AccessDenied where it has left already, and
        RateLimited where its user has too much under way."""
        sender = message.sender
        uid, user = self._known.get(sender) or await self._learn(sender)
        load.belongs_to(uid)
        return Caller(sender, uid, user, lets_ask(message), load=load)

    async def _learn(self, sender: str) -> tuple[int, str]:
        """Ask the bus, once for all calls that wait to know."""
        task = self._asked.get(sender)
        if task is None:
            task = self._asked[sender] = asyncio.create_task(self._ask(sender))
            task.add_done_callback(lambda done: self._told(sender, done))
        return await asyncio.shield(task)

    def _told(self, sender: str, done: asyncio.Task[tuple[int, str]]) -> None:
        failed = done.cancelled() or done.exception() is not None  # asked first: with nobody left it concerns nobody
        if self._asked.get(sender) is not done:
            return  # it has left meanwhile, or its user has another name
        del self._asked[sender]
        if not failed and self._settled(done.result()[0]):
            self._known.put(sender, done.result())

    def forget(self, uid: int) -> None:
        """`uid` has another name now: ask again at the next call of each of its connections."""
        for sender in [sender for sender, (owner, _) in self._known.items() if owner == uid]:
            del self._known[sender]
        self._asked.clear()  # whose answers are to come: nobody knows yet whether one of them is of that user

    def on_signal(self, message: Message) -> None:
        """Feed every signal here; only NameOwnerChanged from the bus itself counts."""
        if message.member != "NameOwnerChanged" or message.sender != "org.freedesktop.DBus":
            return
        name, _old, new = message.body
        if new or not name.startswith(":"):
            return
        self._known.pop(name, None)
        self._asked.pop(name, None)
        for hear in self.on_left:
            hear(name)

    async def _ask(self, sender: str) -> tuple[int, str]:
        try:
            [uid] = await self._connection.call_bus("GetConnectionUnixUser", "s", sender, timeout_s=_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 - gone, silent or refused: in each case nobody we could serve
            words = f"cannot tell who is calling: {type(error).__name__}"
            raise AccessDenied(words, cause=Denial.UNKNOWN_CALLER.value) from None
        return uid, await self._name_of(uid)

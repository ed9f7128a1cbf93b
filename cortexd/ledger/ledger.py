"""The ledger as the service sees it: awaitable, and durable before it returns."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from cortexd.config.settings import LedgerSettings
from cortexd.domain.own_cap import OwnCap
from cortexd.errors import InvalidArgument, LedgerUnavailable
from cortexd.ledger import keeping, reading, writing
from cortexd.ledger.engines import place_of, resting
from cortexd.ledger.experience import Experience
from cortexd.ledger.fleet import Fleet
from cortexd.ledger.keeping.kept import clamped
from cortexd.ledger.keeping.machine import Machine, this_machine
from cortexd.ledger.reading import at_start
from cortexd.ledger.reading.readers import Readers
from cortexd.ledger.records import (
    AttemptRecord,
    BudgetState,
    Limit,
    LimitOverride,
    NewRequest,
    Pruned,
    RequestState,
    Settled,
    Spent,
    Stats,
    StoredRequest,
    Totals,
    UsageQuery,
    UsageRow,
)
from cortexd.ledger.spool.state import LedgerState
from cortexd.ledger.writing.actions import (
    Action,
    Change,
    ReadBooks,
    RenewLeases,
    Reserve,
    ReserveMore,
    ResetStats,
    Settle,
    TakeOver,
    Upkeep,
)
from cortexd.ledger.writing.late_store import AnyStore, LateStore
from cortexd.ledger.writing.writer import Writer

if TYPE_CHECKING:  # SQLAlchemy takes 0.3 s to import: the ledger's threads do so, and where it rests none does
    from cortexd.ledger.spool.stand_in import StandIn

_DEADLINE_S = 30.0


class Ledger(Experience):
    """One ledger in the hands of one daemon. Every method may raise LedgerUnavailable.

    A file in which nothing is to be done rests: it is opened, in the ledger's own threads, for the first write, and for
    the first reading that is none of a start's (reading/at_start.py).

    A write whose caller gives up may still be committed; a reservation given up is then settled as cancelled,
    free of charge. Leases of pending rows are renewed by the writer thread itself.
    """

    def __init__(self, store: AnyStore, writer: Writer, readers: Readers) -> None:
        self.recovered = store.recovered
        """Requests of a dead daemon that were settled as lost when this one opened the ledger."""
        self.fleet = Fleet(self._write, readers, lambda: store.host, shared=store.shared)
        self._store = store
        self._writer = writer
        self._readers = readers
        self._stand_in: StandIn | None = None
        if store.spool is not None:
            from cortexd.ledger.spool.stand_in import StandIn

            self._stand_in = StandIn(store.spool, writer.another_waiter, writer.look)
        self.caught_up = store.away is None
        """False where the ledger was away at the start: until what is kept of users is read, nothing is paid for."""
        self._there = asyncio.Event()
        writer.told = self._told
        self._told(writer.writable)
        readers.away = lambda: self.away
        readers.failed = self._try_to_write if store.shared else None
        self._reports = asyncio.Semaphore(1)  # at a time: a long one leaves a reader to the short readings
        self._prunings = asyncio.Lock()
        self._closed = False

    @classmethod
    async def open(
        cls, settings: LedgerSettings, *, instance: str | None = None, machine: Machine | None = None
    ) -> Ledger:
        """Lock, migrate, recover, load. `machine`: None for this one.

        Raises ConfigError or LedgerUnavailable, whose texts say what to do.
        """
        store = await asyncio.to_thread(_open, settings, instance or secrets.token_hex(8), machine)
        return _kind(settings, store)(store, Writer(store, settings.lease_s, _DEADLINE_S), Readers(store))

    @property
    def at_rest(self) -> bool:
        """Whether nobody has needed it yet, so that it is not opened."""
        return self._store.resting is not None

    @property
    def totals(self) -> Totals:
        """The machine's settled requests and their cost, all time."""
        return self._store.totals

    @property
    def writable(self) -> bool:
        """False from a failed write to the next that succeeds."""
        return self._writer.writable

    async def failed(self) -> None:
        """Return where nothing is written any more until cortexd starts again."""
        await self._writer.failed.wait()

    @property
    def away(self) -> bool:
        """Whether the database that several machines share cannot be reached."""
        return not self.writable and self._store.lost

    @property
    def free_only(self) -> bool:
        """Whether nothing that costs something can begin: a shared ledger cannot be written, or is not read yet, or the
        fleet's settings are missing."""
        missing = self.fleet.settings_missing is not None
        return missing or not self.caught_up or (self._store.shared and not self.writable)

    @property
    def state(self) -> LedgerState:
        """How it is now."""
        spool = self._store.spool
        waiting = 0 if spool is None else spool.waiting
        return LedgerState(self.writable, self._writer.away_since, waiting, self.fleet.settings_missing)

    async def _try_to_write(self) -> None:
        """So that a database which is gone is known to be, also where nobody writes."""
        with suppress(LedgerUnavailable):
            await self._write(RenewLeases())

    async def back(self) -> None:
        """Return when it can be written."""
        await self._there.wait()

    async def reserve(self, request: NewRequest, worst_case_nano: int, limits: Sequence[Limit] = ()) -> int:
        """Transaction A: the pending row and its reservation, within every limit. Gives the key that `settle` takes.

        Raises DuplicateRequest where the user has used the request id before (an equal request that ended in vain
        gives it up, and goes by ID#KEY from then on), OverBudget where the worst case
        does not fit into one of the limits; a reservation of 0 always fits.
        """
        key: int = await self._write(self._reserve(request, worst_case_nano, limits))
        return key

    def reserving(self, request: NewRequest, worst_case_nano: int, limits: Sequence[Limit] = ()) -> asyncio.Future[int]:
        """As `reserve`, begun; who waits for it is cancelled once it has ended."""
        return self._begin(self._reserve(request, worst_case_nano, limits), outlasting=True)

    def reserve_here(self, request: NewRequest) -> int:
        """For a request that costs nothing and leaves this machine's own models never, while a shared ledger is away:
        it is kept on this machine's disk when it is settled, and booked later. Raises LedgerUnavailable."""
        if self._stand_in is None or (self.writable and self.caught_up):
            raise LedgerUnavailable("the ledger is there again; try again")
        return self._stand_in.reserve(request)

    async def reserve_more(self, key: int, worst_case_nano: int) -> None:
        """Transaction A for one more attempt of a pending request, within the limits that it was reserved with.

        Raises OverBudget, which leaves the request as it was; LedgerUnavailable also for one of `reserve_here`;
        RequestNotFound where it is not pending.
        """
        if self._stand_in is not None and self._stand_in.has(key):
            raise LedgerUnavailable("This request began while the ledger was away, so it may cost nothing. Ask again.")
        await self._write(ReserveMore(key, worst_case_nano))

    async def settle(
        self,
        key: int,
        state: str,
        attempts: Sequence[AttemptRecord],
        late: Callable[[Settled], None] | None = None,
    ) -> Settled:
        """Transaction B: release every reservation, book each attempt, close the row as done, failed or cancelled.

        Where it raises LedgerUnavailable the settlement is kept in memory and written once the file can be
        written again; `late` is called with it then (BookedLater: it is on the disk). RequestNotFound where the
        request is not pending.
        """
        action = _settle(key, state, attempts, late)
        if self._stand_in is not None and self._stand_in.has(key):
            await self._stand_in.settling(action)
        settled: Settled = await self._write(action)
        return settled

    def settling(
        self, key: int, state: str, attempts: Sequence[AttemptRecord], late: Callable[[Settled], None] | None = None
    ) -> asyncio.Future[Settled]:
        """As `settle`, begun; who waits for it is cancelled once it has ended."""
        action = _settle(key, state, attempts, late)
        if self._stand_in is not None and self._stand_in.has(key):
            return self._stand_in.settling(action)
        return self._begin(action, outlasting=True)

    async def budgets(self, limits: Sequence[Limit], uid: int | None = None) -> list[BudgetState]:
        """Where each limit stands in the day and month that now are, with the part of `uid` in it."""
        today = datetime.now().astimezone().date().isoformat()
        states: list[BudgetState] = await self._write(ReadBooks(tuple(limits), today, uid))
        return states

    async def find(self, uid: int, request_id: str) -> StoredRequest | None:
        """The request that `uid` made under this id, whatever its state."""
        name = (uid, request_id)
        return (await self._readers.read(lambda connection: reading.queries.find(connection, [name]))).get(name)

    async def stats(self, uid: int | None) -> Stats:
        """What `uid` has settled since its last reset; None: everybody, all time."""
        if uid is None:
            return await self._readers.read(lambda connection: reading.statistics.everybody(connection))
        return await self._readers.read(lambda connection: reading.statistics.read(connection, uid))

    async def spent(self, uid: int) -> Spent:
        """What `uid` has spent in the day and month that now are."""
        day, whose = datetime.now().astimezone().strftime("%Y-%m-%d"), frozenset((uid,))
        month = day[:7]
        return await self._readers.read(
            lambda connection: Spent(
                reading.rollups.spent(connection, whose, month, day), reading.rollups.spent(connection, whose, month)
            )
        )

    async def reset_stats(self, uid: int) -> None:
        """Start `uid`'s statistics again from nothing; the ledger keeps everything."""
        await self._write(ResetStats(uid))

    async def usage(self, query: UsageQuery) -> list[UsageRow]:
        """What settled requests used and cost, ordered by what they are grouped by.

        Grouped by provider or model a request counts once at each that it was tried with; one that was tried with
        none is under "". Pruned requests have no label and no hour but their day's. Raises TooLarge past 10,000 rows.
        """
        try:
            async with asyncio.timeout(_DEADLINE_S), self._reports:
                return await self._readers.read(lambda connection: reading.usage.read(connection, query))
        except TimeoutError:
            raise LedgerUnavailable("other reports take all the time there is; try again later") from None

    async def owners(self) -> dict[int, str]:
        """The name that each uid had last."""
        return await self._readers.read_plain(at_start.owners)

    async def note_owner(self, uid: int, user: str) -> None:
        """`uid` is called `user`, and all that is kept of it is his."""
        await self._write(Change(lambda connection: writing.owners.note(connection, uid, user)))

    async def take_over(self, uid: int, user: str) -> None:
        """`uid` belongs to `user` from now on, who gets nothing of what it did before. It stays in everybody's sums."""
        await self._write(TakeOver(uid, user))

    async def preferences(self, uid: int) -> Mapping[str, Any]:
        """What `uid` has last wished for; empty for nothing."""
        return await self._readers.read(lambda connection: writing.preferences.preferences(connection, uid))

    async def set_preferences(self, uid: int, wishes: Mapping[str, Any]) -> None:
        """Replace all wishes of `uid`; none deletes them. Raises TooLarge past 64 KiB of JSON."""
        await self._write(Change(lambda connection: writing.preferences.keep_preferences(connection, uid, wishes)))

    async def budget_overrides(self) -> dict[tuple[str, str], LimitOverride]:
        """The limits set while the daemon ran, by (scope, name)."""
        return await self._readers.read_plain(at_start.budget_overrides)

    async def set_budget(self, scope: str, name: str, override: LimitOverride | None, by_uid: int) -> None:
        """Keep a limit that stands above the configuration's; None removes it."""
        await self._write(
            Change(lambda connection: writing.preferences.keep_budget(connection, scope, name, override, by_uid))
        )

    async def own_caps(self) -> dict[int, OwnCap]:
        """The cap of each user who has set one."""
        return await self._readers.read_plain(at_start.own_caps)

    async def set_own_cap(self, uid: int, cap: OwnCap | None) -> None:
        """Replace a user's own cap; None removes it."""
        await self._write(Change(lambda connection: writing.own_caps.keep(connection, uid, cap)))

    async def prune(self, before: date) -> Pruned:
        """Turn settled requests of days before `before` into daily sums, which stay for good, and delete them.

        The current and the previous month always stay. A pruned request id may be used again.
        """
        first_kept = clamped(before, datetime.now().astimezone().date())
        pruner = await self._readers.read(lambda _connection: keeping.pruner)
        async with self._prunings:
            if self._store.shared:
                async with keeping.beside.beside(self._store.place) as write:
                    pace = pruner.Pace(pruner.HOLD_BESIDE_S, pruner.FEWEST_BESIDE)
                    kept: Pruned = await pruner.prune(self._readers.read, write, first_kept, pace)
            else:
                kept = await pruner.prune(
                    self._readers.read, lambda *upkeep: self._write(Upkeep(*upkeep)), first_kept, pruner.Pace()
                )
        return kept

    async def anything_old(self, before: date, midnight: datetime) -> bool:
        """False where `prune` and what else lets go of old rows, of nothing since midnight (aware), would find none: at
        rest it is not opened for that."""
        if not self.at_rest:
            return True
        first_kept = clamped(before, datetime.now().astimezone().date())
        return await self._readers.read_plain(lambda rows: at_start.anything_old(rows, first_kept, midnight))

    async def close(self) -> None:
        """Write what is queued, close the file, drop the lock. Pending rows stay, for the next opening to recover."""
        if self._closed:
            return
        self._closed = True
        self._writer.hand_over()
        await asyncio.to_thread(self._readers.close)
        await asyncio.to_thread(self._writer.close, _DEADLINE_S)

    def _reserve(self, request: NewRequest, worst_case_nano: int, limits: Sequence[Limit]) -> Reserve:
        if not self.caught_up:
            raise LedgerUnavailable("the ledger was away when cortexd began, and is being read; try again")
        return Reserve(request, worst_case_nano, tuple(limits))

    def _told(self, writable: bool) -> None:
        (self._there.set if writable else self._there.clear)()

    async def _write(self, action: Action) -> Any:
        return await self._begin(action)

    def _begin(self, action: Action, *, outlasting: bool = False) -> asyncio.Future[Any]:
        if self._closed:
            raise LedgerUnavailable("the ledger is closed")
        return self._writer.submit(action, outlasting=outlasting)


def _settle(key: int, state: str, attempts: Sequence[AttemptRecord], late: Callable[[Settled], None] | None) -> Settle:
    return Settle(key, _ended(state), tuple(attempts), late)


def _ended(state: str) -> RequestState:
    end = RequestState(state)
    if end is RequestState.PENDING:
        raise InvalidArgument("a request is settled as done, failed, cancelled or lost, not as pending")
    return end


def _open(settings: LedgerSettings, instance: str, machine: Machine | None) -> AnyStore:
    machine = machine or this_machine(settings)
    if (before := resting(settings, instance, machine)) is not None:
        return LateStore(before, settings, instance, machine)
    from cortexd.ledger.writing.shared_store import SharedStore

    return SharedStore(place_of(settings), instance, settings.lease_s, machine, settings.spool)


def _kind(settings: LedgerSettings, store: AnyStore) -> type[Ledger]:
    if settings.users == "host" and store.shared:
        from cortexd.ledger.of_hosts import LedgerOfHosts

        return LedgerOfHosts
    return Ledger

"""The writer thread: takes what is queued, up to a group at once, commits it, and tells the loop with one call."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeGuard, TypeVar

from cortexd.errors import LedgerUnavailable
from cortexd.ledger.records import RequestState, Settled
from cortexd.ledger.writing.actions import Action, ReadBooks, RenewLeases, Reserve, Result, Settle, Upkeep, is_refusal
from cortexd.ledger.writing.at_once import AtOnce
from cortexd.ledger.writing.inbox import MAX_GROUP, Inbox, Job
from cortexd.ledger.writing.waiters import Waiter, Waiters
from cortexd.ledger.writing.write_back import WriteBack

if TYPE_CHECKING:
    from cortexd.ledger.writing.late_store import AnyStore

_log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_QUEUED = 10_000
_FAILED = "the ledger's writer has failed; cortexd starts again"
MAX_OWED = 10_000
_MEANWHILE = {
    False: "new requests are refused",
    True: "until it can, only local models that cost nothing are asked",
}


class Writer:
    """Owns the store from `start` to `close`.

    `writable` is False from a failed write to the next that succeeds. Settlements that could not be written are
    owed: kept in memory (at most MAX_OWED) and written before anything else, as soon as the file can be written.
    """

    def __init__(self, store: AnyStore, lease_s: float, within_s: float) -> None:
        """`within_s`: so long anybody waits."""
        self.writable = store.away is None
        self.told: Callable[[bool], None] = lambda _writable: None
        """Hears of each change of `writable`, on the loop."""
        self.failed = asyncio.Event()
        """Nothing is written any more, by a fault of ours: what is pending is for the next start to settle."""
        self.away_since: datetime | None = None if self.writable else datetime.now(UTC)
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._waiters = Waiters(self._loop, within_s)
        self._inbox = Inbox()
        self._gathered: list[Job] = []
        self._owed: deque[Settle] = deque()
        self._blocked: Exception | None = store.away
        self._renew_s = lease_s / 3
        self._renewed = time.monotonic()
        self._write_back = WriteBack(store, self._inbox.look)
        self._at_once = AtOnce(store, self._write_back, self._inbox.look, self._loop, self._renew_s)
        self._thread = threading.Thread(target=self._serve, name="ledger-writer", daemon=True)
        self._thread.start()

    def submit(self, action: Action, *, outlasting: bool = False) -> Waiter:
        """Queue an action. The future ends once the action is durable, has failed, or takes too long; loop thread only.

        `outlasting`: a cancellation waits for that."""
        if self.failed.is_set():
            raise LedgerUnavailable(_FAILED)
        if len(self._inbox) + len(self._gathered) >= MAX_QUEUED:
            raise LedgerUnavailable(f"{MAX_QUEUED} writes to the ledger are waiting; try again later")
        if self._store.shared and not self.writable and not isinstance(action, Settle):
            raise LedgerUnavailable("the ledger's database is away; try again later")
        if self._may_write_at_once and (results := self._at_once.write(action)):
            done = Waiter(self._loop, outlasting=outlasting)
            _end(done, self._in_words(results[0]))
            return done
        waiter = self._waiters.another(outlasting=outlasting)
        self._gathered.append(Job(action, waiter))
        if len(self._gathered) == 1:
            self._loop.call_soon(self.hand_over)
        return waiter

    @property
    def _may_write_at_once(self) -> bool:
        return self.writable and not (self._gathered or self._owed)

    def hand_over(self) -> None:
        """Give the thread what was submitted in this turn of the loop, as one group: the first alone would wake it, to
        wait for the interpreter's lock. Loop thread only; before `close`."""
        gathered, self._gathered = self._gathered, []
        self._at_once.handed += len(gathered)
        for job in gathered:
            self._inbox.put(job)

    def another_waiter(self) -> Waiter:
        """For what is written elsewhere; loop thread only."""
        return self._waiters.another(outlasting=True)

    def look(self) -> None:
        """There is something in the spool; any thread."""
        self._inbox.look()

    def close(self, timeout: float) -> None:
        """Write what was handed over and is owed, close the store, drop its lock. Blocks; not for the loop's thread."""
        self._inbox.end()
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise LedgerUnavailable(f"the ledger's last writes did not end within {timeout:g} s")

    def _serve(self) -> None:
        try:
            open_ended = True
            while open_ended:
                jobs, open_ended = self._inbox.take(self._idle_s(), upkeep=not self._write_back.busy)
                with self._at_once.turn:
                    self._take_turn(jobs)
            with self._at_once.turn:
                self._write_owed()
        except Exception:  # noqa: BLE001  whatever it is, nobody may wait for it
            _log.critical("the ledger's writer has failed", exc_info=True)
            self.writable = False  # before anybody hears of it
            self._on_loop(self._give_up, None)
        finally:
            self.writable = False  # nothing is written at once any more
            with self._at_once.turn:
                self._write_back.close()
                self._store.close()

    def _take_turn(self, jobs: list[Job]) -> None:
        self._write_owed()
        if jobs:
            self._write_timed(jobs)
            self._fold_free()
        else:
            self._probe_when_due()
        self._replay()
        self._write_back.go_on()
        self._renew_when_due()

    def _give_up(self, _: None) -> None:
        self.failed.set()
        self._waiters.give_up(_FAILED)

    def _probe_when_due(self) -> None:
        """Whoever shares a ledger asks nobody to wait for its database: it is tried beside the calls."""
        if self._store.shared and self._blocked is not None and not self._owed:
            self._run([RenewLeases()])

    def _idle_s(self) -> float | None:
        if self._blocked is None and self._store.spool is not None and self._store.spool.waiting:
            return 0.0
        if self._owed or (self._store.shared and self._blocked is not None):
            return self._store.retry_s
        if self._store.holding or self._store.shared:
            return max(0.0, self._renewed + self._renew_s - time.monotonic())
        return None

    def _write_timed(self, jobs: list[Job]) -> None:
        start = time.monotonic()
        self._write(jobs)
        seconds = time.monotonic() - start
        upkeep = [job.action for job in jobs if isinstance(job.action, Upkeep)]
        for action in upkeep:
            action.held(seconds)
        self._write_back.committed(upkeep=bool(upkeep))

    def _write(self, jobs: list[Job]) -> None:
        wanted = [job for job in jobs if not _given_up(job)]
        if self._blocked is not None and (self._owed or self._store.shared):
            results: list[Result] = [self._blocked] * len(wanted)  # it is tried between the calls
        else:
            results = self._run([job.action for job in wanted])
        for job, result in zip(wanted, results, strict=True):
            if isinstance(job.action, Settle) and self._unwritten(result):
                self._owe(job.action)
        told = [(job, self._in_words(result)) for job, result in zip(wanted, results, strict=True)]
        self._on_loop(partial(self._resolve, len(jobs)), told)

    def _write_owed(self) -> None:
        """Settle what is owed, oldest first, until all is written or nothing can be."""
        while self._owed:
            group = [self._owed.popleft() for _ in range(min(MAX_GROUP, len(self._owed)))]
            results = self._run(group)
            again = [action for action, result in zip(group, results, strict=True) if self._unwritten(result)]
            self._owed.extendleft(reversed(again))
            self._on_loop(_tell_late, [(action.late, result) for action, result in zip(group, results, strict=True)])
            if again:
                return

    def _replay(self) -> None:
        """Book some of what waits in the spool; calls have their turn in between."""
        spool = self._store.spool
        if self._blocked is not None or spool is None or not (group := spool.next(MAX_GROUP)):
            return
        results = self._run(group)
        if self._blocked is None:
            for result in results:
                self._in_words(result)  # for the journal
            self._on_loop(_tell_late, spool.done(group, results))

    def _fold_free(self) -> None:
        """Before the next group, so that no flood of refused requests outruns it. Rows at a damaged place stay."""
        while self._blocked is None and (fold := self._store.fold_free()):
            (result,) = self._run([fold])
            if self._blocked is None:
                self._in_words(result)  # for the journal
                self._store.folded()

    def _owe(self, action: Settle) -> None:
        kept = self._store.spool is not None and self._store.spool.keep_settlement(action)
        if len(self._owed) < MAX_OWED:
            self._owed.append(action)
        elif not kept:
            _log.error("request %d stays pending: %d settlements are owed already", action.key, MAX_OWED)

    def _run(self, actions: Sequence[Action]) -> list[Result]:
        results = self._store.run(actions)
        self._blocked = next((result for result in results if self._blocks(result)), None)
        if self._blocked is not None:
            self._note_writable(False)
        elif not all(isinstance(action, ReadBooks) for action in actions):  # reading proves nothing
            self._note_writable(True)
        return results

    def _note_writable(self, writable: bool) -> None:
        """A word in the log when it changes, not for each request."""
        if self.writable and isinstance(self._blocked, Exception):
            reason = self._store.unwritable(self._blocked)
            _log.error("the ledger cannot be written: %s; %s", reason, _MEANWHILE[self._store.shared])
        elif writable and not self.writable:
            _log.warning("the ledger can be written again")
        if writable != self.writable:
            self.writable, self.away_since = writable, None if writable else datetime.now(UTC)
            self._on_loop(lambda now: self.told(now), writable)

    def _unwritten(self, result: Result) -> TypeGuard[Exception]:
        return isinstance(result, Exception) and self._store.unwritable(result) is not None

    def _blocks(self, result: Result) -> bool:
        """Whether no other write would succeed either; a damaged place is in the way of what needs it alone."""
        return self._unwritten(result) and not self._store.damage.is_why(result)

    def _renew_when_due(self) -> None:
        now = time.monotonic()
        if not self._store.holding and not self._store.shared:
            self._renewed = now  # a row's first lease begins as it is written
        elif now >= self._renewed + self._renew_s:
            self._renewed = now
            self._run([RenewLeases()])

    def _on_loop(self, call: Callable[[T], None], argument: T) -> None:
        with suppress(RuntimeError):  # the loop has ended: nobody waits
            self._loop.call_soon_threadsafe(call, argument)

    def _in_words(self, result: Result) -> Result:
        if not isinstance(result, Exception) or is_refusal(result):
            return result
        if self._store.damage.is_why(result):
            return self._store.damage.in_words(result)
        if reason := self._store.unwritable(result):
            return LedgerUnavailable(f"the ledger cannot be written: {reason}")
        _log.error("the ledger refused a record", exc_info=result)
        return LedgerUnavailable(f"the ledger refused this record ({type(result).__name__})")

    def _resolve(self, handed: int, told: list[tuple[Job, Result]]) -> None:
        self._at_once.handed -= handed
        for job, result in told:
            if job.waiter.done():
                if isinstance(job.action, Reserve) and isinstance(result, int):
                    self.submit(Settle(result, RequestState.CANCELLED, ()))  # nobody has the key to do it
                elif isinstance(job.action, Settle):
                    _tell_late([(job.action.late, result)])
            else:
                _end(job.waiter, result)


def _end(waiter: Waiter, result: Result) -> None:
    if isinstance(result, Exception):
        waiter.set_exception(result)
    else:
        waiter.set_result(result)


def _tell_late(settlements: Sequence[tuple[Callable[[Settled], None] | None, Result]]) -> None:
    """Whoever settled has gone on without waiting any longer."""
    for late, result in settlements:
        if late is not None and isinstance(result, Settled):
            late(result)


def _given_up(job: Job) -> bool:
    return isinstance(job.action, Reserve) and job.waiter.done()

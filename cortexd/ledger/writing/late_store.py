"""A store that is opened when it is needed: a machine that never asks pays for none of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeAlias

from cortexd.config.settings import LedgerSettings
from cortexd.domain.large_import import large_import
from cortexd.errors import LedgerUnavailable
from cortexd.ledger.engines import Damage, Log, Place, Resting, TemporarilyUnavailable, place_of
from cortexd.ledger.keeping.machine import Machine
from cortexd.ledger.records import Totals
from cortexd.ledger.writing.actions import Action, Result

if TYPE_CHECKING:
    from cortexd.ledger.writing.store import Store

_log = logging.getLogger("cortexd.ledger")
_RETRY_S = 2.0
_NOTHING = Log(0, 0)


class LateStore:
    """A Store of a ledger that only one daemon at a time can have; whoever runs something opens it.

    What does not rest is opened at once. An opening that fails later is told to whoever needed it, and tried again for
    the next one; the ledger stays claimed.
    """

    shared = False
    away = None
    spool = None
    lost = False

    def __init__(self, resting: Resting, settings: LedgerSettings, instance: str, machine: Machine) -> None:
        """As Store's; lets go of what is `resting` where it fails."""
        self._resting = resting
        self._settings = settings
        self._who = instance, settings.lease_s, machine
        self._store: Store | None = None
        self._opening = threading.Lock()
        self.recovered = 0
        if not resting.rests:
            try:
                self.recovered = self.opened().recovered
            except BaseException:
                resting.let_go()
                raise

    def opened(self) -> Store:
        """The store; any thread may ask. Raises LedgerUnavailable."""
        with self._opening:
            if self._store is None:
                self._store = self._open()
                self._resting.opened()
            return self._store

    def readable(self) -> tuple[Place, Damage]:
        """As Store's. What rests can be read, too, where a full disk or a lock keeps it from being opened for now."""
        try:
            return self.opened().readable()
        except TemporarilyUnavailable:
            if not self._resting.rests:
                raise
            place = place_of(self._settings)
            return place, Damage(str(place), place.engine.damaged)

    @property
    def resting(self) -> Resting | None:
        """None once it is opened."""
        return self._resting if self._store is None else None

    @property
    def totals(self) -> Totals:
        return self._resting.totals if self._store is None else self._store.totals

    @property
    def holding(self) -> bool:
        return self._store is not None and self._store.holding

    @property
    def host(self) -> int:
        return self._resting.host if self._store is None else self._store.host

    @property
    def place(self) -> Place:
        return self.opened().place

    @property
    def damage(self) -> Damage:
        """Of what is opened; the opening speaks for itself."""
        return Damage("", lambda _error: False) if self._store is None else self._store.damage

    @property
    def retry_s(self) -> float:
        return _RETRY_S if self._store is None else self._store.retry_s

    def unwritable(self, error: BaseException) -> str | None:
        """Also why it could not be opened."""
        return str(error) if self._store is None else self._store.unwritable(error)

    def at_once(self, action: Action) -> bool:
        return self._store is not None and self._store.at_once(action)

    def run_at_once(self, action: Action) -> list[Result]:
        return [] if self._store is None else self._store.run_at_once(action)

    def run(self, actions: Sequence[Action]) -> list[Result]:
        try:
            store = self.opened()
        except LedgerUnavailable as error:
            return [error] * len(actions)
        return store.run(actions)

    def fold_free(self) -> Action | None:
        return None if self._store is None else self._store.fold_free()

    def folded(self) -> None:
        self.opened().folded()

    def write_back(self) -> Log:
        return _NOTHING if self._store is None else self._store.write_back()

    def write_back_beside(self) -> Log:
        return _NOTHING if self._store is None else self._store.write_back_beside()

    def close(self) -> None:
        try:
            if self._store is not None:
                self._store.close()
        finally:
            self._resting.let_go()

    def _open(self) -> Store:
        self._resting.refuse_gone()
        with large_import():
            from cortexd.ledger.reading import usage  # noqa: F401
            from cortexd.ledger.writing.store import Store

            place = place_of(self._settings)
        store = Store(place, *self._who, nullcontext())
        if store.recovered and self._resting.rests:
            _log.warning("%d requests of an earlier run were settled as lost", store.recovered)
        return store


AnyStore: TypeAlias = "Store | LateStore"

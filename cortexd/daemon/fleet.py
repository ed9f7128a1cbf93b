"""What the machines that share a ledger decide together reaches this one: revisions of the fleet's settings, and what
people have set on other machines.

The database is asked, since a pooler in transaction mode passes no notifications on. A revision that this machine
cannot take changes nothing: the one before stays, in force and on disk, where the next start finds it. Where there was
none before nothing is paid for, since the fleet's budgets would not hold.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
from collections.abc import Awaitable, Callable

from cortexd.config import Config
from cortexd.config.fleet import as_kept, kept_at, named, revision_in
from cortexd.config.whole_file import replace
from cortexd.domain.fleet import Marks, Refusal, Revision
from cortexd.errors import ConfigError, LedgerUnavailable
from cortexd.ledger import Ledger

log = logging.getLogger("cortexd.fleet")

LOOK_S = 20.0  # at most between two looks; fleet.md states it
_SOON_S = 1.0  # while nothing is paid for since nobody could be asked
_PATIENCE_S = 5.0  # of whoever waits for a look
_NOT_KNOWN = 0  # of ledger/fleet.py's settings_missing
_NONE_BEFORE = "there was none before, so only local models that cost nothing are asked"
_LONGEST_REASON = 1000  # that other machines are told


class Fleet:
    """`read` gives the configuration with a revision in the place of the one that is kept, or raises ConfigError.

    `running`: the number of the revision in force, 0 for none. `refresh`: what to do where a mark of domain/fleet.py
    has moved; it may raise LedgerUnavailable, and is done again then.
    """

    def __init__(self, ledger: Ledger, config: Config, read: Callable[[Revision], Config]) -> None:
        self.running = revision_in(config)
        self.refresh: dict[str, Callable[[], Awaitable[None]]] = {}
        self._ledger = ledger
        self._kept = kept_at(config.ledger)
        self._read = read
        self._seen = Marks()
        self._told: tuple[int, Refusal | None] | None = None
        self._taken: Config | None = None
        self._refused: Refusal | None = None
        self._looking = asyncio.Lock()
        self._none_before = self._kept not in config.sources
        if ledger.fleet.shared and self._none_before:
            ledger.fleet.settings_missing = _NOT_KNOWN

    def adopted(self, config: Config) -> None:
        """This configuration is in force now; with a revision in it, requests are paid for."""
        self._none_before = self._kept not in config.sources
        if not self._none_before and self._ledger.fleet.settings_missing is not None:
            self._ledger.fleet.settings_missing = None
            log.info("the fleet's settings are in force; requests are paid for")

    async def know(self) -> Config | None:
        """As `look`, where this machine could not ask yet. Raises LedgerUnavailable where it still cannot."""
        taken = None if self._known else await self.look()
        if not (taken or self._known):
            raise LedgerUnavailable("the fleet's settings cannot be read yet")
        return taken

    @property
    def _known(self) -> bool:
        return self._ledger.fleet.settings_missing != _NOT_KNOWN

    async def look(self) -> Config | None:
        """See what was decided elsewhere. A new revision is kept, and the configuration with it given, which is to be
        adopted; None where there is none that this machine can take. Raises nothing."""
        if not self._ledger.fleet.shared:
            return None
        try:
            async with asyncio.timeout(_PATIENCE_S), self._looking:
                await self._look()
        except (LedgerUnavailable, TimeoutError) as error:
            log.debug("the fleet cannot be asked: %s", error or "the database does not answer")
        taken, self._taken = self._taken, None  # also where what came after it failed
        return taken

    async def run(self, adopt: Callable[[], None], look_s: float = LOOK_S) -> None:
        """Until cancelled; `adopt` takes over what is kept. Machines that began together do not ask together."""
        while self._ledger.fleet.shared:
            pause_s = random.uniform(look_s / 2, look_s)  # noqa: S311
            await asyncio.sleep(pause_s if self._known else min(pause_s, _SOON_S))
            if await self.look():
                adopt()

    async def _look(self) -> None:
        marks = await self._ledger.fleet.marks()
        if marks.settings not in (0, self.running) and (newest := await self._ledger.fleet.settings()):
            self._take(newest)
        elif not marks.settings:
            self._ledger.fleet.settings_missing = None
        for name, refresh in self.refresh.items():
            if getattr(marks, name) != getattr(self._seen, name):
                await refresh()
        if (state := (self.running, self._refused)) != self._told:
            await self._ledger.fleet.note_settings(str(self.running or ""), self._refused)
            self._told = state
        self._seen = marks

    def _take(self, newest: Revision) -> None:
        try:
            config = self._read(newest)
            assert self._kept is not None
            replace(self._kept, as_kept(newest).encode(), 0o600, self._kept.parent)
        except (ConfigError, OSError) as error:
            self._refuse(newest, _reason(error, str(named(newest.number))))
            return
        self._taken, self.running, self._refused = config, newest.number, None
        log.info("taking revision %d of the fleet's settings, by %s", newest.number, newest.author)

    def _refuse(self, newest: Revision, reason: str) -> None:
        """Told once, here and to the other machines; it is tried again with each look, since the reason may be a file
        of this machine."""
        refusal = Refusal(newest.number, reason[:_LONGEST_REASON])
        if self._none_before:
            self._ledger.fleet.settings_missing = newest.number
        if refusal != self._refused:
            self._refused = refusal
            stays = _NONE_BEFORE if self._none_before else f"{self.running or 'the one before'} stays"
            log.error("revision %d of the fleet's settings cannot be taken, %s: %s", newest.number, stays, reason)


def _reason(error: ConfigError | OSError, revision: str) -> str:
    """Without the name of the revision before each of its problems."""
    if isinstance(error, OSError):
        return str(error)
    problems = (dataclasses.replace(each, file="") if each.file == revision else each for each in error.problems)
    return "; ".join(map(str, problems))

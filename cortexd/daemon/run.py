"""One run of the daemon: start-up, main loop, shut-down."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortexd import __version__, providers
from cortexd.bus.interface import InterfaceMismatch
from cortexd.config import Config, load_config, with_keys
from cortexd.connection import BusException, Connection, Message, session_address, system_address, wire
from cortexd.daemon.assembly import Assembly, make_setup
from cortexd.daemon.bus_watch import bus_lost
from cortexd.daemon.fleet import Fleet
from cortexd.daemon.housekeeping import Housekeeping
from cortexd.daemon.idle import Idleness
from cortexd.daemon.notify import feed_watchdog, notify
from cortexd.daemon.recollection import recollect, share
from cortexd.daemon.reload import Reload
from cortexd.domain.fleet import Revision
from cortexd.errors import ConfigError, LedgerUnavailable
from cortexd.ledger import Ledger, TemporarilyUnavailable

log = logging.getLogger("cortexd.daemon")

STOPPED, BUS_LOST, BUS_UNAVAILABLE, BADLY_INSTALLED = 0, 1, 69, 70
LEDGER_UNUSABLE, LEDGER_LATER, CONFIG_WRONG = 74, 75, 78
_CONNECT_TIMEOUT_S = 10.0
_RELEASE_TIMEOUT_S = 30.0
_YOUNG_OBJECTS = 10_000  # before a collection of them; a request leaves some dozens in cycles, if any


@dataclass(frozen=True, slots=True)
class RunOptions:
    """`bus`: "system", "session" or a D-Bus address; `config`: None for /etc/cortexd/config.toml."""

    bus: str = "system"
    config: Path | None = None

    @property
    def address(self) -> str:
        named = {"system": system_address, "session": session_address}.get(self.bus)
        return named() if named else self.bus

    @property
    def on_system_bus(self) -> bool:
        return self.bus == "system" or self.address == system_address()


def read_config(options: RunOptions, fleet: Revision | None = None) -> Config:
    """The configuration with its keys; `fleet`: with this revision of the fleet's settings in the place of the one
    that is kept. Raises ConfigError."""
    return with_keys(load_config(options.config, fleet))


class Daemon:
    """One run, from the lock on the ledger to the last reply."""

    def __init__(self, options: RunOptions, config: Config) -> None:
        self._options = options
        self._first_config = config
        self._stopping = asyncio.Event()
        self._reload: Reload | None = None
        self._reload_wanted = False
        self._background: set[asyncio.Task[None]] = set()

    async def serve(self) -> int:
        """Run until told to stop; the exit status."""
        try:
            await self._startup()
        except (LedgerUnavailable, ConfigError) as error:
            log.critical("the ledger cannot be used: %s", error)
            return LEDGER_LATER if isinstance(error, TemporarilyUnavailable) else LEDGER_UNUSABLE
        except BusException as error:
            log.critical("cannot serve on the bus (%s): %s", self._options.bus, error)
            await self._ledger.close()
            return BUS_UNAVAILABLE
        except InterfaceMismatch as error:
            log.critical("this installation does not fit together: %s", error)
            await self._ledger.close()
            return BADLY_INSTALLED
        status = await self._main_loop()
        await self._shutdown(bus_lost=status == BUS_LOST)
        return status

    @property
    def _config(self) -> Config:
        """The configuration in force."""
        return self._parts.setup.config

    async def _startup(self) -> None:
        """Lock, migrate, recover, load; then the bus, the name, and READY."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        loop.add_signal_handler(signal.SIGINT, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        config = self._first_config
        self._ledger = await Ledger.open(config.ledger)
        if self._ledger.recovered:
            log.warning("%d requests of an earlier run were settled as lost", self._ledger.recovered)
        self._fleet = Fleet(self._ledger, config, lambda revision: read_config(self._options, revision))
        config = await self._fleet.look() or config
        self._fleet.adopted(config)
        self._connection = await Connection.open(self._options.address, timeout_s=_CONNECT_TIMEOUT_S, unwrapped=True)
        self._parts = parts = Assembly(
            self._connection, self._ledger, make_setup(config), on_system_bus=self._options.on_system_bus
        )
        reload = Reload(parts, lambda: read_config(self._options), self._start, self._fleet)
        await parts.put_together(reload.or_refuse)
        activatable = await self._connection.activatable(wire.BUS_NAME, timeout_s=_CONNECT_TIMEOUT_S)
        self._idleness = Idleness(
            lambda: self._config.daemon.idle_exit_s if activatable else 0.0, lambda: self._parts.busy
        )
        self._connection.may_read = parts.dispatcher.may_be_read
        self._connection.on_call = self._on_call
        await self._connection.request_name(wire.BUS_NAME, timeout_s=_CONNECT_TIMEOUT_S)
        self._start_background(reload)
        gc.freeze()  # what start-up made stays; no collection needs to look at it, nor for the little that does not
        gc.set_threshold(_YOUNG_OBJECTS)
        gc.enable()
        self._reload = reload
        notify("READY=1", f"STATUS=serving {wire.BUS_NAME}")
        log.info("serving %s %s as %s", wire.BUS_NAME, __version__, self._connection.unique_name)
        if self._reload_wanted:
            self._on_hangup()

    def _start_background(self, reload: Reload) -> None:
        config, parts = self._config, self._parts
        if config.daemon.preload_sdks:
            self._start(providers.preload({item.api for item in config.providers.values() if item.configured}))
        housekeeping = Housekeeping(
            self._ledger,
            lambda: self._config.ledger,
            parts.signals.period_started,
            unlearn=lambda keys: parts.learner.cells.drop(keys),
        )
        self._start(housekeeping.run())
        self._start(parts.ask_servers())
        self._start(parts.catch_up(reload.know_the_fleet))
        self._start(share(self._ledger, parts.learner))
        self._start(recollect(self._ledger, parts.observed))
        self._start(feed_watchdog())
        self._fleet.refresh = parts.shared_with_others
        self._start(self._fleet.run(reload.at_signal))
        self._start(parts.metrics.run())

    def _on_hangup(self) -> None:
        """SIGHUP; one that comes during start-up waits for its end."""
        if self._reload is None:
            self._reload_wanted = True
        else:
            self._reload.at_signal()

    async def _main_loop(self) -> int:
        """Until SIGTERM, the end of the bus connection or of the ledger's writer, or nobody's asking for long; the exit
        status."""
        lost = asyncio.create_task(bus_lost(self._connection, self._options.address))
        failed = asyncio.create_task(self._ledger.failed())
        ends = {lost, failed, asyncio.create_task(self._stopping.wait()), asyncio.create_task(self._idle())}
        ended, others = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for other in others:
            other.cancel()
        if lost in ended:
            log.critical("the bus connection ended: %s", lost.result())
            return BUS_LOST
        if failed in ended:
            log.critical("the ledger cannot be used: its writer has failed")
            return LEDGER_LATER
        log.info("stopping; %d requests under way", self._parts.service.active_requests)
        return STOPPED

    def _on_call(self, message: Message) -> None:
        self._idleness.touch()
        self._parts.dispatcher.on_call(message)

    async def _idle(self) -> None:
        """Return once nobody has asked for as long as the setting wants, the name is given up, and every call that
        came before that is answered."""
        idle_s = await self._idleness.wait()
        log.info("nobody has asked for %g s; the next caller starts %s again", idle_s, wire.BUS_NAME)
        notify("STOPPING=1")  # first: what the bus wants started from here on waits for the end of this process
        with contextlib.suppress(BusException):
            await self._connection.release_name(wire.BUS_NAME, timeout_s=_RELEASE_TIMEOUT_S)
        await self._parts.dispatcher.drain(timeout_s=self._config.daemon.drain_timeout_s)

    async def _shutdown(self, *, bus_lost: bool) -> None:
        """Let the requests under way finish, answer them, then leave the bus. Where that is lost nobody can be
        answered: what is under way is cut off and booked."""
        notify("STOPPING=1")
        if not await self._parts.service.close(0.0 if bus_lost else self._config.daemon.drain_timeout_s):
            log.warning("requests were cancelled at shut-down")
        await self._parts.dispatcher.drain(timeout_s=2)
        self._parts.signals.close()
        self._parts.asking.close()
        for task in self._background:
            task.cancel()
        await self._parts.metrics.write()
        if not bus_lost:
            await self._connection.drain(timeout_s=2)
        await self._connection.close()
        for provider in self._parts.setup.providers.values():
            await provider.aclose()
        await self._ledger.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background_ended)

    def _background_ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background task failed", exc_info=error)

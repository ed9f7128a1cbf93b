"""The daemon: start-up, run, reload, shut-down. Everything is put together here and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbus_next import Message

from cortexd import __version__, providers
from cortexd.authority import Authorizer
from cortexd.authority.polkit import Polkit, SameUser
from cortexd.bus.caller import Callers
from cortexd.bus.dispatch import Dispatcher
from cortexd.bus.interface import InterfaceMismatch, load_interface
from cortexd.bus.methods import Objects
from cortexd.bus.signals import Watchers
from cortexd.catalog import Catalog, builtin_catalog
from cortexd.config import Config, load_config, with_keys
from cortexd.connection import BusException, BusTimeout, Connection, session_address, system_address, wire
from cortexd.daemon.housekeeping import Housekeeping
from cortexd.daemon.idle import Idleness
from cortexd.daemon.notify import feed_watchdog, notify, reloading
from cortexd.errors import ConfigError, InvalidArgument, LedgerUnavailable
from cortexd.ledger import Ledger
from cortexd.requests.attempts import Party
from cortexd.requests.results import CostEvent
from cortexd.requests.service import Service
from cortexd.routing import Health, State
from cortexd.telemetry.metrics import Metrics
from cortexd.telemetry.request_log import log_settled

log = logging.getLogger("cortexd.daemon")

STOPPED, BUS_LOST, BUS_UNAVAILABLE, BADLY_INSTALLED, LEDGER_UNUSABLE, CONFIG_WRONG = 0, 1, 69, 70, 74, 78
_CONNECT_TIMEOUT_S = 10.0
_PROBE_S = 30.0  # how often the bus is asked for a sign of life, and how long that may take


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


def read_config(options: RunOptions) -> Config:
    """The configuration with its keys. Raises ConfigError."""
    return with_keys(load_config(options.config))


class Daemon:
    """One run, from the lock on the ledger to the last reply."""

    def __init__(self, options: RunOptions, config: Config) -> None:
        self._options = options
        self._config = config
        self._stopping = asyncio.Event()
        self._serving = False
        self._reload_wanted = False
        self._pause_ends: asyncio.TimerHandle | None = None
        self._background: set[asyncio.Task[None]] = set()

    async def serve(self) -> int:
        """Run until told to stop; the exit status."""
        try:
            await self._startup()
        except (LedgerUnavailable, ConfigError) as error:
            log.critical("the ledger cannot be used: %s", error)
            return LEDGER_UNUSABLE
        except BusException as error:
            log.critical("cannot serve on the bus (%s): %s", self._options.bus, error)
            await self._ledger.close()
            return BUS_UNAVAILABLE
        except InterfaceMismatch as error:
            log.critical("this installation does not fit together: %s", error)
            await self._ledger.close()
            return BADLY_INSTALLED
        status = await self._main_loop()
        await self._shutdown(drain_timeout_s=self._config.daemon.drain_timeout_s if status == STOPPED else 0.0)
        return status

    async def _startup(self) -> None:
        """Lock, migrate, recover, load; then the bus, the name, and READY."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        loop.add_signal_handler(signal.SIGINT, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        self._ledger = await Ledger.open(self._config.ledger)
        if self._ledger.recovered:
            log.warning("%d requests of an earlier run were settled as lost", self._ledger.recovered)
        self._connection = await Connection.open(self._options.address, timeout_s=_CONNECT_TIMEOUT_S)
        await self._put_together()
        await self._connection.request_name(wire.BUS_NAME, timeout_s=_CONNECT_TIMEOUT_S)
        if self._config.daemon.preload_sdks:
            self._start(providers.preload({item.api for item in self._config.providers.values() if item.configured}))
        housekeeping = Housekeeping(self._ledger, lambda: self._config.ledger, self._watchers.period_started)
        self._start(housekeeping.run())
        self._start(feed_watchdog())
        self._start(self._metrics.run())
        gc.collect()
        gc.freeze()  # what start-up made stays; no collection needs to look at it again
        self._serving = True
        notify("READY=1", f"STATUS=serving {wire.BUS_NAME}")
        log.info("serving %s %s as %s", wire.BUS_NAME, __version__, self._connection.unique_name)
        if self._reload_wanted:
            self._reload()

    async def _put_together(self) -> None:
        connection, config = self._connection, self._config
        self._callers = Callers(connection)
        authorizer = await self._authorizer()
        self._health = Health(self._provider_changed)
        self._service = Service(
            config,
            *_assemble(config, {}),
            self._ledger,
            authorizer,
            self._health,
            tell=self._settled,
            on_activity=lambda: self._watchers.activity(),
            overrides=await self._ledger.budget_overrides(),
        )
        service = self._service
        self._metrics = Metrics(lambda: self._config.metrics, lambda: service.condition)
        self._watchers = Watchers(connection, config, lambda: service.totals, lambda: service.active_requests)
        objects = Objects(service, self._watchers, self._reload_or_refuse)
        self._dispatcher = Dispatcher(
            connection, load_interface(), self._callers, authorizer, objects.handlers(), objects.properties()
        )
        self._callers.on_left.append(self._watchers.forget)
        connection.on_signal = self._on_signal
        activatable = await connection.activatable(wire.BUS_NAME, timeout_s=_CONNECT_TIMEOUT_S)
        self._idleness = Idleness(lambda: self._config.daemon.idle_exit_s if activatable else 0.0, self._busy)
        connection.on_call = self._on_call
        await self._callers.watch()

    def _settled(self, event: CostEvent) -> None:
        """Whoever may know of a request's cost."""
        self._watchers.cost_incurred(event)
        self._metrics.settled(event)
        if self._config.daemon.log_requests:
            log_settled(event)
        if event.late:
            self._watchers.activity()  # its request has ended long ago: nothing else says that the totals changed

    def _provider_changed(self, provider: str, state: State, last_failure: str) -> None:
        """Tell of it, and look again when a breaker's pause ends: nothing but time says so."""
        self._watchers.provider_state(provider, state, last_failure)
        self._look_again()

    def _look_again(self) -> None:
        """Arm the timer for the next end of a pause, which a further failure may have put off."""
        if self._pause_ends is not None:
            self._pause_ends.cancel()
        wait_s = self._health.next_change()
        self._pause_ends = (
            None if wait_s is None else asyncio.get_running_loop().call_later(wait_s + 0.01, self._pause_ended)
        )

    def _pause_ended(self) -> None:
        self._health.refresh()
        self._look_again()

    async def _authorizer(self) -> Authorizer:
        self._polkit: Polkit | None = None
        if not self._options.on_system_bus:
            return SameUser()
        self._polkit = Polkit(self._connection, self._config.authorization)
        await self._polkit.watch()
        self._callers.on_left.append(self._polkit.forget)
        return self._polkit

    async def _main_loop(self) -> int:
        """Until SIGTERM, the end of the bus connection, or nobody's asking for long; the exit status."""
        stopping = asyncio.create_task(self._stopping.wait())
        lost = asyncio.create_task(self._bus_lost())
        idle = asyncio.create_task(self._idle())
        await asyncio.wait({stopping, lost, idle}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        idle.cancel()
        if lost.done():
            log.critical("the bus connection ended: %s", lost.result())
            return BUS_LOST
        lost.cancel()
        log.info("stopping; %d requests under way", self._service.active_requests)
        return STOPPED

    def _on_call(self, message: Message) -> None:
        self._idleness.touch()
        self._dispatcher.on_call(message)

    def _busy(self) -> bool:
        """Somebody waits for an answer, reads a stream, or watches."""
        service = self._service
        waited_for = service.active_requests or service.open_streams or self._dispatcher.calls_under_way
        return bool(waited_for or len(self._watchers))

    async def _idle(self) -> None:
        """Return once nobody has asked for as long as the setting wants, the name is given up, and every call that
        came before that is answered."""
        idle_s = await self._idleness.wait()
        log.info("nobody has asked for %g s; the next caller starts %s again", idle_s, wire.BUS_NAME)
        notify("STOPPING=1")  # first: what the bus wants started from here on waits for the end of this process
        with contextlib.suppress(BusException):
            await self._connection.release_name(wire.BUS_NAME, timeout_s=_PROBE_S)
        await self._dispatcher.drain(timeout_s=self._config.daemon.drain_timeout_s)

    async def _bus_lost(self) -> str:
        """Why the bus is gone, once it is.

        dbus-daemon stops reading from a service whose answers two callers leave unread by the megabyte. Small answers
        then vanish in the socket's buffer, and nothing but a question of our own shows it.
        """
        while True:
            try:
                async with asyncio.timeout(_PROBE_S):
                    return await self._connection.wait_closed()
            except TimeoutError:
                pass
            try:
                await self._connection.call_bus("GetId", timeout_s=_PROBE_S)
            except BusTimeout:
                return f"the bus has not answered for {_PROBE_S:g} s"
            except BusException as error:
                log.debug("asked the bus for a sign of life: %s", error)

    async def _shutdown(self, drain_timeout_s: float) -> None:
        """Let the requests under way finish, answer them, then leave the bus."""
        notify("STOPPING=1")
        if not await self._service.close(drain_timeout_s):
            log.warning("requests were cancelled at shut-down")
        await self._dispatcher.drain(timeout_s=2)
        self._watchers.close()
        for task in self._background:
            task.cancel()
        await self._metrics.write()
        await self._connection.drain(timeout_s=2)
        await self._connection.close()
        for provider in self._service.party.providers.values():
            await provider.aclose()
        await self._ledger.close()

    def _on_signal(self, message: Message) -> None:
        self._callers.on_signal(message)
        if self._polkit is not None:
            self._polkit.on_signal(message)

    def _reload(self) -> None:
        """SIGHUP: take the new configuration where it is right, keep the old one where it is not."""
        if not self._serving:
            self._reload_wanted = True
            return
        with contextlib.suppress(InvalidArgument):
            self._reload_or_refuse()

    def _reload_or_refuse(self) -> None:
        """As SIGHUP; raises InvalidArgument where the new configuration is wrong."""
        reloading()
        try:
            self._adopt(read_config(self._options))
        except ConfigError as error:
            log.error("the configuration stays as it was: %s", error)
            raise InvalidArgument(f"the configuration stays as it was: {error}") from None
        finally:
            notify("READY=1")
        log.info("configuration reloaded")

    def _adopt(self, config: Config) -> None:
        if config.ledger != self._config.ledger:
            log.warning("changes of [ledger] take effect at the next start")
        old = self._service.party.providers
        kept = {
            name: provider
            for name, provider in old.items()
            if config.network == self._config.network
            and config.limits.max_answer_bytes == self._config.limits.max_answer_bytes
            and config.providers.get(name) == self._config.providers[name]
        }
        old_config, self._config = self._config, config
        self._service.adopt(config, *_assemble(config, kept))
        self._watchers.config = config
        if self._polkit is not None:
            self._polkit.settings = config.authorization
        self._health.forget()
        self._tell_configured(old_config, config)
        logging.getLogger("cortexd").setLevel(config.daemon.log_level.upper())
        self._start(self._retire([provider for name, provider in old.items() if name not in kept]))

    def _tell_configured(self, old: Config, new: Config) -> None:
        """Providers that a reload has given a key, or taken it from."""
        for name, item in new.providers.items():
            before = old.providers.get(name)
            if item.configured != (before is not None and before.configured):
                state = self._health.state(name) if item.configured else State.UNCONFIGURED
                self._watchers.provider_state(name, state, "")
        self._watchers.configuration_changed()

    async def _retire(self, old: list[providers.Provider]) -> None:
        """Close clients that no new request uses, once the requests that use them have ended."""
        await self._service.outlive_requests()
        for provider in old:
            await provider.aclose()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background_ended)

    def _background_ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background task failed", exc_info=error)


def _assemble(config: Config, kept: Mapping[str, providers.Provider]) -> tuple[Catalog, Party]:
    """The catalogue with the operator's rates, and a provider for each endpoint."""
    catalog = builtin_catalog().with_rates(config.providers)
    members = {
        name: kept.get(name)
        or providers.make_provider(settings, config.network, max_answer_bytes=config.limits.max_answer_bytes)
        for name, settings in config.providers.items()
    }
    return catalog, Party(members, {name: item.timeout_s for name, item in config.providers.items()}, catalog)

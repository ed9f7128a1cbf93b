"""Taking another configuration while requests go on: at SIGHUP, and for Manager.Reload."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from cortexd.config import Config
from cortexd.daemon.assembly import Assembly, make_setup
from cortexd.daemon.fleet import Fleet
from cortexd.daemon.notify import notify, reloading
from cortexd.errors import ConfigError, InvalidArgument
from cortexd.providers import Provider
from cortexd.requests.setup import Setup

log = logging.getLogger("cortexd.daemon")


class Reload:
    """`read` gives the configuration as it stands now, or raises ConfigError; `start` runs work in the background;
    `fleet` is asked first for what it may have decided."""

    def __init__(
        self,
        assembly: Assembly,
        read: Callable[[], Config],
        start: Callable[[Coroutine[Any, Any, None]], None],
        fleet: Fleet,
    ) -> None:
        self._assembly = assembly
        self._read = read
        self._start = start
        self._fleet = fleet

    def at_signal(self) -> None:
        """Take the new configuration where it is right, keep the old one where it is not."""
        self._start(self._quietly())

    async def or_refuse(self) -> None:
        """The same, done once this returns; raises InvalidArgument where the new configuration is wrong."""
        await self._fleet.look()
        self._now()

    async def know_the_fleet(self) -> None:
        """Take what the fleet had decided when its ledger was away. Raises LedgerUnavailable where it is still."""
        if await self._fleet.know():
            await self._quietly()

    async def _quietly(self) -> None:
        with contextlib.suppress(InvalidArgument):
            await self.or_refuse()

    def _now(self) -> None:
        reloading()
        try:
            config = self._read()
        except ConfigError as error:
            log.error("the configuration stays as it was: %s", error)
            raise InvalidArgument(f"the configuration stays as it was: {error}") from None
        else:
            self._adopt(config)
        finally:
            notify("READY=1")
        log.info("configuration reloaded")

    def _adopt(self, config: Config) -> None:
        old = self._assembly.setup
        kept_as_long = replace(config.ledger, keep_days=old.config.ledger.keep_days)  # it holds at once
        if kept_as_long != old.config.ledger:
            log.warning("changes of [ledger] take effect at the next start")
        same = _same_connections(old.config, config)
        kept = _unchanged(old, config) if same else {}
        said = {name: said for name, said in old.said.items() if name in kept}
        self._assembly.adopt(make_setup(config, kept, old.providers if same else None, said))
        self._fleet.adopted(config)
        self._assembly.asking.begin(name for name in config.providers if name not in kept)
        logging.getLogger("cortexd").setLevel(config.daemon.log_level.upper())
        self._start(self._retire([provider for name, provider in old.providers.items() if name not in kept]))

    async def _retire(self, old: list[Provider]) -> None:
        """Close clients that no new request uses, once the requests that use them have ended."""
        await self._assembly.service.outlive_requests()
        for provider in old:
            await provider.aclose()


def _same_connections(before: Config, config: Config) -> bool:
    return config.network == before.network and config.limits.max_answer_bytes == before.limits.max_answer_bytes


def _unchanged(old: Setup, config: Config) -> dict[str, Provider]:
    """The providers whose settings are the same, with their open connections."""
    before = old.as_written
    return {
        name: provider
        for name, provider in old.providers.items()
        if config.providers.get(name) == before.providers[name]
    }

"""Everything that serves, put together here and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from cortexd.access import HeldBytes
from cortexd.accounts.owners import Owners
from cortexd.authority import Authorizer
from cortexd.authority.polkit import Polkit
from cortexd.authority.same_user import SameUser
from cortexd.bus.caller import Callers
from cortexd.bus.dispatch import Dispatcher
from cortexd.bus.interface import load_interface
from cortexd.bus.methods import Methods
from cortexd.bus.signals import Signals
from cortexd.bus.totals import PublicTotals
from cortexd.catalog import Said
from cortexd.config import Config, ProviderSettings
from cortexd.connection import Connection, Message
from cortexd.daemon.afterwards import Afterwards
from cortexd.daemon.catching_up import catch_up, known
from cortexd.daemon.recollection import recollect, relearn
from cortexd.ledger import Ledger
from cortexd.pool import make_pool
from cortexd.providers import Provider, make_provider
from cortexd.requests.asking import Asking
from cortexd.requests.events import CostEvent
from cortexd.requests.service import Service
from cortexd.requests.setup import Setup
from cortexd.routing import Health, Observed, State
from cortexd.telemetry.metrics import Metrics
from cortexd.telemetry.request_log import log_settled

_START_S = 0.5


def make_setup(
    config: Config,
    kept: Mapping[str, Provider] | None = None,
    before: Mapping[str, Provider] | None = None,
    said: Mapping[str, Said] | None = None,
) -> Setup:
    """Each provider; those of `kept` are taken over, and what their servers `said` of their models, and of those
    `before` the endpoints that are the same."""
    kept, before = kept or {}, before or {}
    providers = {
        name: kept.get(name) or _provider(settings, config, before.get(name))
        for name, settings in config.providers.items()
    }
    return Setup.of(config, providers, said or {})


def _provider(settings: ProviderSettings, config: Config, before: Provider | None) -> Provider:
    most = config.limits.max_answer_bytes
    if settings.pooled:
        return make_pool(settings, config.network, max_answer_bytes=most, before=before)
    return make_provider(settings, config.network, max_answer_bytes=most)


class Assembly:
    """The parts that serve, and what each tells the others. `setup` is the one in force: parts that follow the
    configuration look there, or are told by `adopt`."""

    def __init__(self, connection: Connection, ledger: Ledger, setup: Setup, *, on_system_bus: bool) -> None:
        self.setup = setup
        self.connection = connection
        self.ledger = ledger
        self.held = HeldBytes(setup.config.limits)
        self.afterwards = Afterwards()
        self.authority = self._make_authority(on_system_bus)
        self._pause_ends: asyncio.TimerHandle | None = None

    def _make_authority(self, on_system_bus: bool) -> Polkit | SameUser:
        if not on_system_bus:
            return SameUser()
        return Polkit(self.connection, lambda: self.setup.config.authorization)

    async def put_together(self, reload: Callable[[], Awaitable[None]]) -> None:
        """Make the rest and begin to hear the bus. `reload`: what the method of that name does."""
        authority: Authorizer = self.authority
        found = await known(self.ledger)
        self.owners = owners = Owners(self.ledger, found.owners)
        self.callers = Callers(self.connection, owners.name, owners.settled)
        self.health = Health(self._provider_changed, on_missing=lambda name: self.asking.again(name))
        self.asking = Asking(lambda: self.setup, self._refine, self.health)
        self.observed = Observed(later=self.afterwards.add)
        self.learner = await relearn(self.ledger)
        self.service = service = Service(
            self.setup,
            self.ledger,
            authority,
            self.health,
            tell=self._settled,
            on_activity=lambda: self.signals.activity(),
            overrides=found.overrides,
            observed=self.observed,
            asking=self.asking,
            learner=self.learner,
            own_caps=found.own_caps,
            tell_hold=lambda told: self.signals.hold(told),
        )
        owners.before_change.append(service.end_requests)
        owners.on_change += [service.forget, self.callers.forget]
        self.metrics = Metrics(lambda: self.setup.config.metrics, lambda: service.condition)
        totals = PublicTotals(
            lambda: service.totals,
            lambda: self.setup.config.signals.publish_totals,
            lambda: service.accounts.coarsest_step_nano,
        )
        self.signals = Signals(self.connection, lambda: self.setup.config, totals, lambda: service.active_requests)
        methods = Methods(service, self.signals, reload)
        self.dispatcher = Dispatcher(
            self.connection,
            load_interface(),
            self.callers,
            authority,
            methods.handlers(),
            methods.properties(),
            self.held,
        )
        self.callers.on_left += [self.signals.forget, self.authority.forget]
        self.connection.on_signal = self._on_signal
        await self.authority.watch()
        await self.callers.watch()

    def adopt(self, setup: Setup) -> None:
        """Go on with another setup; requests under way finish under theirs."""
        before, self.setup = self.setup, setup
        self.service.adopt(setup)
        self.held.limits = setup.config.limits
        self.health.forget()
        self.observed.forget(_elsewhere(before.config, setup.config))
        old, new = _configured(before.config), _configured(setup.config)
        for name in sorted(old ^ new):
            self.signals.provider_state(name, self.health.state(name) if name in new else State.UNCONFIGURED, "")
        self.signals.configuration_changed()

    async def ask_servers(self) -> None:
        """Who has come first is served first: a start for a single call shall not wait for this."""
        await asyncio.sleep(_START_S)
        await self.service.outlive_requests()
        self.asking.begin_first()

    def _refine(self, setup: Setup) -> None:
        """The same configuration, with what a server said of its models."""
        self.setup = setup
        self.service.refine(setup)

    @property
    def shared_with_others(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What to do where other machines have changed something of what this one has in memory."""
        accounts, holds = self.service.accounts, self.service.holds
        return {
            "limits": accounts.refresh_limits,
            "own_caps": holds.refresh_caps,
            "preferences": accounts.refresh_wishes,
        }

    async def catch_up(self, know_the_fleet: Callable[[], Awaitable[None]]) -> None:
        """Read what was away when all this was put together, where it was."""
        shared = self.shared_with_others
        await catch_up(self.ledger, (know_the_fleet, self.owners.refresh, *shared.values(), self._relearn))

    async def _relearn(self) -> None:
        self.learner.adopt((await relearn(self.ledger)).learned)
        await recollect(self.ledger, self.observed)

    @property
    def busy(self) -> bool:
        """Somebody waits for an answer, reads a stream, or watches."""
        waited_for = self.service.active_requests or self.service.open_streams or self.dispatcher.calls_under_way
        return bool(waited_for or len(self.signals))

    def _settled(self, event: CostEvent) -> None:
        """Whoever may know of a request's cost: subscribers before its caller has the answer, others then, since he
        waits for it."""
        self.signals.cost_incurred(event)
        self.afterwards.add(partial(self._note_settled, event))
        if event.late:
            self.signals.activity()  # its request has ended long ago: nothing else says that the totals changed

    def _note_settled(self, event: CostEvent) -> None:
        self.metrics.settled(event)
        if self.setup.config.daemon.log_requests:
            log_settled(event)

    def _provider_changed(self, provider: str, state: State, last_failure: str) -> None:
        """Tell of it, and look again when a breaker's pause ends: nothing but time says so."""
        self.signals.provider_state(provider, state, last_failure)
        self._look_again()
        if state is State.OK:
            self.asking.again(provider)

    def _look_again(self) -> None:
        """Arm the timer for the next end of a pause, which a further failure may have put off."""
        if self._pause_ends is not None:
            self._pause_ends.cancel()
        wait_s = self.health.next_change()
        self._pause_ends = (
            None if wait_s is None else asyncio.get_running_loop().call_later(wait_s + 0.01, self._pause_ended)
        )

    def _pause_ended(self) -> None:
        self.health.refresh()
        self._look_again()

    def _on_signal(self, message: Message) -> None:
        self.callers.on_signal(message)
        self.authority.on_signal(message)


def _elsewhere(before: Config, after: Config) -> set[str]:
    """Names that stand for another endpoint than before."""
    at = {name: (item.api, item.base_url) for name, item in before.providers.items()}
    return {name for name, item in after.providers.items() if at.get(name) != (item.api, item.base_url)}


def _configured(config: Config) -> set[str]:
    return {name for name, item in config.providers.items() if item.configured}

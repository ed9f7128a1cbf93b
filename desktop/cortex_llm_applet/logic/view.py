"""All that the applet knows at a moment, and how each event changes it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from cortex_llm_applet.logic.figures import Budget, Cost, Provider, Request, Sums

LAST_COSTS = 5


class Service(StrEnum):
    """Where the router is."""

    UNKNOWN = "unknown"  # not looked yet
    THERE = "there"
    AWAY = "away"  # it has left the bus, or never was on it
    NO_BUS = "no_bus"


class Absence(StrEnum):
    """Why the router is away, as far as bus and systemd say."""

    RESTING = "resting"  # the next request starts it
    NOT_INSTALLED = "not_installed"
    MASKED = "masked"
    FAILED = "failed"
    RESTARTING = "restarting"  # it fails and is started again


@dataclass(frozen=True, slots=True)
class View:
    """`allowed`: whether polkit lets this user ask, None where it did not say. `refused`: the router takes no
    subscription of this user. `clock_wrong`: the computer's clock contradicts what was written before.
    `has_window`: there is a window to open."""

    service: Service = Service.UNKNOWN
    absence: Absence = Absence.RESTING
    sums: Sums = field(default_factory=Sums)
    budgets: tuple[Budget, ...] = ()
    providers: tuple[Provider, ...] = ()
    running: tuple[Request, ...] = ()
    costs: tuple[Cost, ...] = ()
    ledger_writable: bool = True
    allowed: bool | None = None
    refused: bool = False
    clock_wrong: bool = False
    has_window: bool = False

    @property
    def configured(self) -> bool:
        """Whether some provider can be asked; True as long as nobody has said."""
        return not self.providers or any(provider.configured for provider in self.providers)

    def with_cost(self, cost: Cost, sums: Sums) -> View:
        """The newest cost first, each once."""
        others = (item for item in self.costs if item.request_id != cost.request_id)
        return replace(self, sums=sums, costs=(cost, *others)[:LAST_COSTS])

    def with_earlier(self, cost: Cost) -> View:
        """What was settled before anybody listened, where nothing has been since."""
        return self if self.costs else replace(self, costs=(cost,))

    def with_provider_state(self, name: str, state: str, last_failure: str = "") -> View:
        rows = self.providers
        changed = (replace(row, state=state, last_failure=last_failure) if row.name == name else row for row in rows)
        return replace(self, providers=tuple(changed))

    def away(self, service: Service = Service.AWAY) -> View:
        """Sums and budgets stay, shown as stale; what ran has ended with the router."""
        return replace(self, service=service, running=(), absence=Absence.RESTING)

    def there(self) -> View:
        return replace(self, service=Service.THERE, refused=False)

    def forgotten(self, *, month: bool) -> View:
        """A day (and `month`) went by while the router was away: nobody has said what the new one's sums are."""
        sums = Sums(None, None if month else self.sums.month_nano_usd)
        return replace(self, sums=sums, budgets=())

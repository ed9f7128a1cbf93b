"""The view, its slots and what a person was told, changed by one event after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from cortex_llm_applet.logic.clock import month_changed
from cortex_llm_applet.logic.figures import (
    Budget,
    Provider,
    Record,
    Request,
    Row,
    Sums,
    cost_of,
    cost_of_record,
    filled,
    rows_of,
)
from cortex_llm_applet.logic.notices import Notice, Outages, Thresholds
from cortex_llm_applet.logic.picture import Picture, picture_of
from cortex_llm_applet.logic.slots import Slots, assigned, empty
from cortex_llm_applet.logic.view import Absence, Service, View


class Model:
    """`monotonic` and `today` are the clocks; `tell` gets each notice."""

    def __init__(
        self, monotonic: Callable[[], float], today: Callable[[], date], tell: Callable[[Notice], None]
    ) -> None:
        self.view = View()
        self.outages = Outages()
        self._thresholds = Thresholds()
        self._slots: Slots = empty()
        self._menu_open = False
        self._sums_of = today()
        self._monotonic, self._today, self._tell = monotonic, today, tell

    def picture(self) -> Picture:
        return picture_of(self.view, self._slots)

    def router_there(self) -> None:
        self.view = self.view.there()

    def router_away(self, service: Service = Service.AWAY) -> None:
        self.view = self.view.away(service)
        self.outages.router_away()
        self._assign()

    def absence(self, absence: Absence) -> None:
        self.view = replace(self.view, absence=absence)

    def refused(self) -> None:
        self.view = replace(self.view, refused=True)

    def snapshot(self, row: Row) -> None:
        self._sums(filled(Sums, row))

    def cost(self, request_id: str, task_type: str, provider: str, model: str, details: Row) -> None:
        sums = filled(Sums, details)
        self.view = self.view.with_cost(cost_of(request_id, task_type, provider, model, details), sums)
        self._sums(sums)

    def earlier(self, record: Record) -> None:
        self.view = self.view.with_earlier(cost_of_record(record))

    def threshold(self, period: str, fraction: float, spent_usd: float, limit_usd: float) -> None:
        self._told(self._thresholds.crossed(period, fraction, spent_usd, limit_usd, self._today().isoformat()))

    def provider_state(self, name: str, state: str, last_failure: str = "") -> None:
        self.view = self.view.with_provider_state(name, state, last_failure)
        self._told(self.outages.state(name, state, self._monotonic()))

    def providers(self, rows: Iterable[Row]) -> None:
        self.view = replace(self.view, providers=rows_of(Provider, rows))
        self._told(*self.outages.states(self.view.providers, self._monotonic()))

    def outages_due(self) -> None:
        self._told(*self.outages.due(self._monotonic()))

    def budgets(self, rows: Iterable[Row]) -> None:
        self.view = replace(self.view, budgets=rows_of(Budget, rows))

    def running(self, rows: Iterable[Row]) -> None:
        self.view = replace(self.view, running=rows_of(Request, rows))
        self._assign()

    def stats(self, row: Mapping[str, Any]) -> None:
        service = row.get("service", {})
        self.view = replace(self.view, ledger_writable=service.get("ledger_writable", True) is not False)

    def allowed(self, allowed: bool | None) -> None:
        self.view = replace(self.view, allowed=allowed)

    def clock(self, wrong: bool) -> None:
        self.view = replace(self.view, clock_wrong=wrong)

    def has_window(self, has_window: bool) -> None:
        self.view = replace(self.view, has_window=has_window)

    def menu(self, *, open: bool) -> None:
        self._menu_open = open
        self._assign()

    def request_in(self, slot: int) -> str | None:
        """The id of the request that this entry of the menu cancels."""
        held = self._slots[slot]
        return held.request.request_id if held and not held.ended else None

    def day_over(self) -> bool:
        """Forget the sums of a day that has passed while nobody could say what comes after it."""
        today = self._today()
        if self.view.service is Service.THERE or today == self._sums_of:
            return False
        self.view = self.view.forgotten(month=month_changed(self._sums_of, today))
        self._sums_of = today
        return True

    def _sums(self, sums: Sums) -> None:
        self.view = replace(self.view, sums=sums)
        self._sums_of = self._today()

    def _assign(self) -> None:
        self._slots = assigned(self._slots, self.view.running, menu_open=self._menu_open)

    def _told(self, *notices: Notice | None) -> None:
        for notice in notices:
            if notice is not None:
                self._tell(notice)

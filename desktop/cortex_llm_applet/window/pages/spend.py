"""Spend: what was spent when and by whom, and how long the budgets will last."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from cortex_llm_applet.edges.live import Live
from cortex_llm_applet.logic.projection import METHOD_DAYS
from cortex_llm_applet.logic.rings import rings_of
from cortex_llm_applet.logic.spans import GROUPINGS, SPANS, days_query, query_of
from cortex_llm_applet.logic.spend import by_day, chart_of
from cortex_llm_applet.logic.trouble import trouble_of
from cortex_llm_applet.logic.view import Service, View
from cortex_llm_applet.texts import N_
from cortex_llm_applet.window.pages.page import Page
from cortex_llm_applet.window.spend.budgets import Budgets
from cortex_llm_applet.window.spend.choosing import Choosing
from cortex_llm_applet.window.spend.feed import Feed
from cortex_llm_applet.window.spend.panel import ChartPanel
from cortex_llm_applet.window.toolkit import Adw, Gtk

_WIDEST = 720


class Spend(Page):
    name: ClassVar = "spend"
    title: ClassVar = N_("Spend")
    icon: ClassVar = "x-office-spreadsheet-symbolic"

    def __init__(self, live: Live) -> None:
        super().__init__(live)
        self._view = View()
        self._heard: object = None
        self._numbers: dict[str, dict[str, int]] = {}
        self._choosing = Choosing(self._draw)
        self._panel = ChartPanel()
        self._budgets = Budgets()
        self.widget = self._whole()
        self._chart = Feed(live, self.widget.get_mapped, self._draw)
        self._days = Feed(live, self.widget.get_mapped, self._draw)

    def show(self, view: View) -> None:
        """Costs, a new day and the router's return are what changes the sums."""
        self._view = view
        heard = (view.sums, view.costs, view.service)
        news, self._heard = heard != self._heard, heard
        self._draw(news=news)

    def _draw(self, *, news: bool = False) -> None:
        today = date.today()
        span, grouping = SPANS[self._choosing.span], GROUPINGS[self._choosing.grouping]
        self._chart.want(query_of(span, grouping, today), news=news)
        self._days.want(days_query(today, METHOD_DAYS + 1), news=news)
        self._draw_chart(today)
        self._draw_budgets(today)

    def _draw_chart(self, today: date) -> None:
        span, grouping = SPANS[self._choosing.span], GROUPINGS[self._choosing.grouping]
        rows, failure, trouble = self._chart.rows, self._chart.failure, trouble_of(self._view)
        if rows is not None:
            numbers = self._numbers.setdefault(grouping.name, {})
            chart = chart_of(rows, span, grouping, today, numbers)
            numbers.update(chart.numbers)
            self._panel.show_chart(chart, span)
        elif trouble is not None and self._view.service is not Service.THERE:
            self._panel.show_trouble(trouble)
        elif failure is not None and self._view.service is Service.THERE:
            self._panel.show_words(failure.words, failure.step)
        else:
            self._panel.show_loading()

    def _draw_budgets(self, today: date) -> None:
        days = None if self._days.rows is None else by_day(self._days.rows)
        rings = rings_of(self._view.budgets, days, today)
        self._budgets.show_rings(rings, self._view.sums.month_nano_usd, days, today)

    def _whole(self) -> Gtk.Widget:
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=18, css_classes=["spend-page"])
        for part in (self._choosing, self._panel, self._budgets):
            box.append(part)
        clamp = Adw.Clamp(child=box, maximum_size=_WIDEST)
        return Gtk.ScrolledWindow(child=clamp, hscrollbar_policy=Gtk.PolicyType.NEVER)

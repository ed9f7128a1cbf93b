"""The page Now."""

from __future__ import annotations

from typing import Any, ClassVar

from cortex_llm_applet.edges.live import Live
from cortex_llm_applet.logic import now
from cortex_llm_applet.logic.figures import Record, filled
from cortex_llm_applet.logic.trouble import trouble_of
from cortex_llm_applet.logic.view import Service, View
from cortex_llm_applet.texts import N_, _
from cortex_llm_applet.window.line_list import LineList
from cortex_llm_applet.window.pages.page import Page
from cortex_llm_applet.window.toolkit import Adw
from cortex_llm_applet.window.trouble_status import TroubleStatus


class Now(Page):
    """What is wrong, what is spent and left, what runs, and what was asked last."""

    name: ClassVar = "now"
    title: ClassVar = N_("Now")
    icon: ClassVar = "preferences-system-time-symbolic"

    def __init__(self, live: Live) -> None:
        super().__init__(live)
        self._asked = False
        self._trouble = TroubleStatus()
        self._running = LineList(_("Running"), live.cancel)
        self._spent = LineList(_("Spent"))
        self._last = LineList(_("Last requests"))
        self.widget = Adw.PreferencesPage()
        for group in (self._trouble, self._spent, self._running, self._last):
            self.widget.add(group)

    def show(self, view: View) -> None:
        self._trouble.show_trouble(trouble_of(view))
        self._running.show_lines(now.running(view))
        self._spent.show_lines(now.spent(view))
        self._last.show_lines(now.last(view))
        if view.service is Service.THERE and not self._asked:
            self._asked = True
            self.live.ask("GetRequest", ("",), self._earlier)

    def _earlier(self, row: dict[str, Any]) -> None:
        self.live.model.earlier(filled(Record, row))
        self.live.changed()

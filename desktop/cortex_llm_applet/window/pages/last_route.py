"""The page Last route."""

from __future__ import annotations

from typing import Any, ClassVar

from gi.repository import GLib

from cortex_llm_applet.edges.live import Live
from cortex_llm_applet.logic import last_route
from cortex_llm_applet.logic.figures import Decision, Record, decision_of, filled
from cortex_llm_applet.logic.trouble import trouble_away
from cortex_llm_applet.logic.view import Service, View
from cortex_llm_applet.texts import N_, _
from cortex_llm_applet.window.line_list import LineList
from cortex_llm_applet.window.pages.page import Page
from cortex_llm_applet.window.toolkit import Adw
from cortex_llm_applet.window.trouble_status import TroubleStatus

_NO_WORDS = ({"role": GLib.Variant("s", "user"), "content": GLib.Variant("s", "")},)


class LastRoute(Page):
    """Asks for the last request, and where one of its kind would go, whenever either may be another one."""

    name: ClassVar = "last_route"
    title: ClassVar = N_("Last route")
    icon: ClassVar = "mark-location-symbolic"

    def __init__(self, live: Live) -> None:
        super().__init__(live)
        self._known: object = None  # what the view said when it was asked last
        self._asking = False
        self._record: Record | None = None
        self._request = LineList(_("The last request"))
        self._candidates = LineList(_("Asked again now"))
        self._left_out = LineList(_("Not asked"))
        self._away = TroubleStatus()
        self.widget = Adw.PreferencesPage()
        for group in (self._away, self._request, self._candidates, self._left_out):
            self.widget.add(group)

    def show(self, view: View) -> None:
        self._away.show_trouble(trouble_away(view))
        if view.service is not Service.THERE:
            self._asking, self._known = False, None
            return
        known = (view.costs[:1], view.providers)
        if not self._asking and known != self._known:
            self._asking, self._known = True, known
            self.live.ask("GetRequest", ("",), self._found, self._failed)

    def _found(self, row: dict[str, Any]) -> None:
        record = self._record = filled(Record, row)
        self.live.ask("Route", (record.task_type, _NO_WORDS, {}), self._decided, self._failed)

    def _decided(self, row: dict[str, Any]) -> None:
        self._draw(decision_of(row))

    def _failed(self, _error: str) -> None:
        self._draw(Decision())

    def _draw(self, decision: Decision) -> None:
        self._request.show_lines(last_route.request(self._record))
        self._candidates.set_description(
            _("The words of a request are not kept, so this is for one of the same kind.")
            + " "
            + last_route.ranked_by(decision)
        )
        self._candidates.show_lines(last_route.candidates(decision, self._record))
        self._left_out.show_lines(last_route.left_out(decision))
        self._asking = False
        self.show(self.live.view)

"""The page Providers."""

from __future__ import annotations

from typing import ClassVar

from cortex_llm_applet.edges.live import Live
from cortex_llm_applet.logic import providers
from cortex_llm_applet.logic.trouble import trouble_away
from cortex_llm_applet.logic.view import View
from cortex_llm_applet.texts import N_, _
from cortex_llm_applet.window.line_list import LineList
from cortex_llm_applet.window.pages.page import Page
from cortex_llm_applet.window.toolkit import Adw
from cortex_llm_applet.window.trouble_status import TroubleStatus


class Providers(Page):
    """How each stands, why, and the next step; those that are not set up come last."""

    name: ClassVar = "providers"
    title: ClassVar = N_("Providers")
    icon: ClassVar = "network-server-symbolic"

    def __init__(self, live: Live) -> None:
        super().__init__(live)
        self._in_use = LineList(_("In use"))
        self._not_set_up = LineList(_("Not set up"))
        self._away = TroubleStatus()
        self.widget = Adw.PreferencesPage()
        for group in (self._away, self._in_use, self._not_set_up):
            self.widget.add(group)

    def show(self, view: View) -> None:
        self._away.show_trouble(trouble_away(view))
        self._in_use.show_lines(providers.in_use(view))
        self._not_set_up.show_lines(providers.not_set_up(view))

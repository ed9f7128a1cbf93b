"""Providers."""

from __future__ import annotations

from typing import ClassVar

from cortex_llm_applet.edges.live import Live
from cortex_llm_applet.logic.view import View
from cortex_llm_applet.texts import N_
from cortex_llm_applet.window.pages.page import Page
from cortex_llm_applet.window.toolkit import Adw


class Providers(Page):
    name: ClassVar = "providers"
    title: ClassVar = N_("Providers")
    icon: ClassVar = "network-server-symbolic"

    def __init__(self, live: Live) -> None:
        super().__init__(live)
        self.widget = Adw.PreferencesPage()

    def show(self, view: View) -> None:
        pass

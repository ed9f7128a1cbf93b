"""The pages of the window, in their order. A new one is a row here."""

from __future__ import annotations

from cortex_llm_applet.window.pages.last_route import LastRoute
from cortex_llm_applet.window.pages.now import Now
from cortex_llm_applet.window.pages.page import Page
from cortex_llm_applet.window.pages.preferences import Preferences
from cortex_llm_applet.window.pages.providers import Providers
from cortex_llm_applet.window.pages.spend import Spend

PAGES: tuple[type[Page], ...] = (Now, Spend, Providers, LastRoute, Preferences)

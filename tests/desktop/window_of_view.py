"""A window of the real classes that shows a view as it would come from a machine in a bad state.

Run by the distribution's Python: window_of_view.py SHARE NAME, where SHARE holds the installed package.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

share, name = Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, str(share / "cortex-llm-applet"))

from cortex_llm_applet.edges.live import Live  # noqa: E402 - the path comes first
from cortex_llm_applet.installed import ICONS, LOCALES, made_at  # noqa: E402
from cortex_llm_applet.logic.figures import Budget, Provider, Sums  # noqa: E402
from cortex_llm_applet.logic.view import Absence, Service, View  # noqa: E402
from cortex_llm_applet.texts import speak  # noqa: E402

speak(LOCALES)

from cortex_llm_applet.window.application import Application  # noqa: E402

THERE = View(Service.THERE, sums=Sums(412_300_000, 3_070_000_000), providers=(Provider("claude", "ok", True),))
AWAY = replace(THERE, service=Service.AWAY)
NEVER = View(Service.AWAY)
# each as the table of bad states names it
VIEWS = {
    "no_bus": View(Service.NO_BUS),
    "not_installed": replace(NEVER, absence=Absence.NOT_INSTALLED),
    "masked": replace(NEVER, absence=Absence.MASKED),
    "stopped": AWAY,
    "failed": replace(AWAY, absence=Absence.FAILED),
    "restarting": replace(AWAY, absence=Absence.RESTARTING),
    "refused": View(Service.THERE, refused=True),
    "ledger_full": replace(THERE, ledger_writable=False),
    "not_allowed": replace(THERE, allowed=False),
    "no_key": replace(THERE, providers=(Provider("claude", "unconfigured"), Provider("kimi_k2", "unconfigured"))),
    "clock_wrong": replace(THERE, clock_wrong=True),
    "used_up": replace(THERE, budgets=(Budget("user", "", "day", 400_000_000, 0, "", "exceeded"),)),
}


class Pictured(Application):
    """Never connected: its view stays."""

    def connect_live(self, live: Live) -> None:
        live.model.view = VIEWS[name]


sys.exit(Pictured("session", ICONS, made_at()).run([]))

"""Bad states, each with what it means and the next step; and the state that the icon shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from cortex_llm_applet.logic.limits import used_up
from cortex_llm_applet.logic.view import Absence, Service, View
from cortex_llm_applet.texts import N_, _

UNIT = "cortex-llm-router.service"


class State(StrEnum):
    """Seven, each with a shape and a colour of its own."""

    LOADING = "loading"
    OK = "ok"
    WARN = "warn"
    OVER = "over"
    STALE = "stale"
    UNCONFIGURED = "unconfigured"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Trouble:
    """`meaning` and `step` are for a person, not yet translated; `command`, where there is one, is what `step` says to
    type. `words` say the icon where those of its state would not."""

    name: str
    state: State
    meaning: str
    step: str
    applies: Callable[[View], bool]
    command: str = ""
    words: str = ""

    @property
    def next_step(self) -> str:
        """In the person's language."""
        return _(self.step).format(command=self.command)


def _gone(absence: Absence) -> Callable[[View], bool]:
    return lambda view: view.service is Service.AWAY and view.absence is absence


def _there(holds: Callable[[View], bool]) -> Callable[[View], bool]:
    return lambda view: view.service is Service.THERE and holds(view)


# the first that applies is shown
TROUBLES: tuple[Trouble, ...] = (
    Trouble(
        "no_bus",
        State.ERROR,
        N_("The system bus cannot be reached."),
        N_("Restart the computer if this stays so."),
        lambda view: view.service is Service.NO_BUS,
    ),
    Trouble(
        "not_installed",
        State.ERROR,
        N_("cortexd is not installed."),
        N_("Install the package cortexd."),
        _gone(Absence.NOT_INSTALLED),
    ),
    Trouble(
        "masked",
        State.ERROR,
        N_("An administrator has switched cortexd off."),
        N_("Switch it on: {command}"),
        _gone(Absence.MASKED),
        "sudo systemctl unmask cortex-llm-router",
    ),
    Trouble(
        "failed",
        State.ERROR,
        N_("cortexd failed and does not run."),
        N_("See why: {command}"),
        _gone(Absence.FAILED),
        "journalctl -b -u cortex-llm-router",
    ),
    Trouble(
        "restarting",
        State.ERROR,
        N_("cortexd fails and is started again and again."),
        N_("See why: {command}"),
        _gone(Absence.RESTARTING),
        "journalctl -b -u cortex-llm-router",
    ),
    Trouble(
        "stopped",
        State.STALE,
        N_("cortexd does not run now."),
        N_("Your next request starts it, or: {command}"),
        _gone(Absence.RESTING),
        "sudo systemctl start cortex-llm-router",
    ),
    Trouble(
        "refused",
        State.ERROR,
        N_("cortexd serves another user here."),
        N_("Start it on your own bus, or use the system's."),
        _there(lambda view: view.refused),
    ),
    Trouble(
        "ledger_full",
        State.ERROR,
        N_("cortexd cannot write its ledger, so it spends nothing."),
        N_("Make room on the disk; {command} says more."),
        _there(lambda view: not view.ledger_writable),
        "journalctl -b -u cortex-llm-router",
    ),
    Trouble(
        "not_allowed",
        State.ERROR,
        N_("You are not allowed to ask language models."),
        N_("An administrator can add you to the group cortex; then log in again."),
        _there(lambda view: view.allowed is False),
    ),
    Trouble(
        "no_key",
        State.UNCONFIGURED,
        N_("No provider has a key yet."),
        N_("Set one: {command}"),
        _there(lambda view: not view.configured),
        "sudo cortexctl credentials set claude",
    ),
    Trouble(
        "held",
        State.OVER,
        N_("A request has no room under your own cap and waits for your answer."),
        N_("Answer its question, or see: {command}"),
        _there(lambda view: bool(view.holds)),
        "cortexctl budget holds",
        N_("a request waits for your answer"),
    ),
    Trouble(
        "clock_wrong",
        State.ERROR,
        N_("The computer's clock is wrong, so costs count for the wrong day."),
        N_("Set it: {command}"),
        lambda view: view.clock_wrong,
        "timedatectl set-ntp true",
    ),
    Trouble(
        "used_up",
        State.OVER,
        N_("A budget is used up."),
        N_("Wait until it starts again, or ask an administrator for more."),
        _there(lambda view: used_up(view.budgets, own=False)),
    ),
    Trouble(
        "own_cap_used_up",
        State.OVER,
        N_("The cap that you have set yourself is used up."),
        N_("Allow yourself more: {command}"),
        _there(lambda view: used_up(view.budgets, own=True)),
        "cortexctl budget allow 1.00",
    ),
)


def trouble_of(view: View) -> Trouble | None:
    return next((trouble for trouble in TROUBLES if trouble.applies(view)), None)


def trouble_away(view: View) -> Trouble | None:
    """Only of a router that is not there."""
    return None if view.service is Service.THERE else trouble_of(view)


def state_of(view: View) -> State:
    trouble = trouble_of(view)
    if trouble is not None:
        return trouble.state
    if view.service is not Service.THERE or view.sums.day_nano_usd is None:
        return State.LOADING
    return State.WARN if any(budget.severity == "warning" for budget in view.budgets) else State.OK

"""What the panel shows of a view: icon, label, title, tooltip and menu, compared to send no more than what changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cortex_llm_applet.logic.amounts import usd
from cortex_llm_applet.logic.clock import time_of_day
from cortex_llm_applet.logic.holds import Asked
from cortex_llm_applet.logic.limits import left_nano_usd
from cortex_llm_applet.logic.menu import Entry, entries, tightest_in_words
from cortex_llm_applet.logic.slots import Slots, beyond
from cortex_llm_applet.logic.trouble import State, Trouble, state_of, trouble_of
from cortex_llm_applet.logic.view import View
from cortex_llm_applet.texts import N_, _

IN_WORDS = {
    State.LOADING: N_("looking for cortexd"),
    State.OK: N_("all is well"),
    State.WARN: N_("near the end of a budget"),
    State.OVER: N_("a budget is used up"),
    State.STALE: N_("cortexd does not run now"),
    State.UNCONFIGURED: N_("no key yet"),
    State.ERROR: N_("something is wrong"),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """`label` is what stands beside the icon; `icon_words` says the icon to who cannot see it."""

    state: State
    label: str
    title: str
    tooltip: str
    icon_words: str
    menu: tuple[Entry, ...]

    @property
    def written(self) -> tuple[str, str]:
        return self.title, self.tooltip

    @property
    def seen(self) -> tuple[State, str, tuple[str, str]]:
        """All but the menu."""
        return self.state, self.label, self.written

    def icon(self, *, symbolic: bool) -> str:
        return icon_name(self.state) + ("-symbolic" if symbolic else "")


def icon_name(state: State) -> str:
    return f"cortex-llm-{state}"


def picture_of(view: View, slots: Slots, asked: Asked | None = None) -> Picture:
    state = state_of(view)
    label = usd(view.sums.day_nano_usd)
    title = _("Language models today: {amount}").format(amount=label)
    menu = entries(view, slots, beyond(slots, view.running), asked)
    trouble = trouble_of(view)
    words = (trouble.words if trouble else "") or IN_WORDS[state]
    return Picture(state, label, title, "\n".join(_tooltip(view, trouble, state)), _(words), menu)


def _tooltip(view: View, trouble: Trouble | None, state: State) -> Iterator[str]:
    """The next step last."""
    yield _("This month: {amount}").format(amount=usd(view.sums.month_nano_usd))
    if left_nano_usd(view.budgets) is not None:
        yield tightest_in_words(view.budgets)
    if view.pause:
        yield _("Your spending is paused until {time}.").format(time=time_of_day(view.pause.resets_at, view.today))
    if trouble:
        yield _(trouble.meaning)
        yield trouble.next_step
    elif not (view.pause and state is State.OK):
        yield _(IN_WORDS[state])


def changed(before: tuple[Entry, ...], after: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """The entries of `after` that are not as `before` had them."""
    known = {entry.id: entry for entry in before}
    return tuple(entry for entry in after if known.get(entry.id) != entry)

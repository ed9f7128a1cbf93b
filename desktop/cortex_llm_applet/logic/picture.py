"""What the panel shows of a view: icon, label, title, tooltip and menu, compared to send no more than what changed."""

from __future__ import annotations

from dataclasses import dataclass

from cortex_llm_applet.logic.amounts import usd
from cortex_llm_applet.logic.menu import Entry, entries
from cortex_llm_applet.logic.slots import Slots, beyond
from cortex_llm_applet.logic.trouble import State, state_of, trouble_of
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


def picture_of(view: View, slots: Slots) -> Picture:
    state = state_of(view)
    label = usd(view.sums.day_nano_usd)
    title = _("Language models today: {amount}").format(amount=label)
    menu = entries(view, slots, beyond(slots, view.running))
    return Picture(state, label, title, _tooltip(view, state), _(IN_WORDS[state]), menu)


def _tooltip(view: View, state: State) -> str:
    trouble = trouble_of(view)
    month = _("This month: {amount}").format(amount=usd(view.sums.month_nano_usd))
    said = [_(trouble.meaning), trouble.next_step] if trouble else [_(IN_WORDS[state])]
    return "\n".join([month, *said])


def changed(before: tuple[Entry, ...], after: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """The entries of `after` that are not as `before` had them."""
    known = {entry.id: entry for entry in before}
    return tuple(entry for entry in after if known.get(entry.id) != entry)

"""Rows that are set to a word, or to yes and no."""

from __future__ import annotations

from collections.abc import Callable

from cortex_llm_applet.logic.wishes import Choice, Wishes, chosen
from cortex_llm_applet.texts import _
from cortex_llm_applet.window.toolkit import Adw, Gtk


class ChoiceRow(Adw.ComboRow):
    """`wanted` gets the word that a person has chosen."""

    def __init__(self, choice: Choice, wanted: Callable[[str], None]) -> None:
        super().__init__(title=_(choice.title), subtitle=_(choice.about), use_markup=False)
        self._choice, self._wanted = choice, wanted
        self._words: tuple[str, ...] = ()
        self._showing = False
        self.connect("notify::selected", self._selected)

    def show_wishes(self, wishes: Wishes) -> None:
        self._showing = True
        words = self._choice.words(wishes)
        if words != self._words:
            self._words = words
            self.set_model(Gtk.StringList.new([_(self._choice.text(word)) for word in words]))
        self.set_selected(words.index(chosen(wishes, self._choice.key)))
        self._showing = False

    def _selected(self, *_changed: object) -> None:
        number = self.get_selected()
        if not self._showing and number < len(self._words):
            self._wanted(self._words[number])


class SwitchRow(Adw.ActionRow):
    """`wanted` gets what a person has switched it to."""

    def __init__(self, title: str, about: str, wanted: Callable[[bool], None]) -> None:
        super().__init__(title=title, subtitle=about, use_markup=False)
        self._switch = Gtk.Switch(valign=Gtk.Align.CENTER)
        self._wanted, self._showing = wanted, False
        self._switch.connect("notify::active", self._switched)
        self.add_suffix(self._switch)
        self.set_activatable_widget(self._switch)

    def show_value(self, value: bool) -> None:
        self._showing = True
        self._switch.set_active(value)
        self._showing = False

    def _switched(self, *_changed: object) -> None:
        if not self._showing:
            self._wanted(self._switch.get_active())

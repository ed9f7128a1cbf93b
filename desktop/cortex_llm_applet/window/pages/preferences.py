"""Preferences: what this user wishes of routing, kept by the router at once."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from cortex_llm_applet.edges.live import Live
from cortex_llm_applet.logic import wishes as wished
from cortex_llm_applet.logic.trouble import trouble_of
from cortex_llm_applet.logic.view import Service, View
from cortex_llm_applet.logic.wishes import CHOICES, Wishes
from cortex_llm_applet.texts import N_, _
from cortex_llm_applet.window.pages.page import Page
from cortex_llm_applet.window.preferences.choice_row import ChoiceRow, SwitchRow
from cortex_llm_applet.window.preferences.keeper import Keeper
from cortex_llm_applet.window.preferences.names_row import About, NamesRow
from cortex_llm_applet.window.preferences.notes import Notes
from cortex_llm_applet.window.toolkit import Adw, Gtk


class Preferences(Page):
    name: ClassVar = "preferences"
    title: ClassVar = N_("Preferences")
    icon: ClassVar = "emblem-system-symbolic"

    def __init__(self, live: Live) -> None:
        super().__init__(live)
        self._service = Service.UNKNOWN
        self._notes = Notes()
        self._keeper = Keeper(live, self._draw, self._notes.refused)
        self._local = SwitchRow(
            _("Only local models"), _("Nothing that you ask leaves this computer"),
            lambda wanted: self._keeper.change(lambda now: wished.with_local_only(now, wanted)),
        )  # fmt: skip
        self._choices = [ChoiceRow(choice, partial(self._choose, choice.key)) for choice in CHOICES]
        self._excluded = NamesRow(About(_("Never ask"), _("none"), ordered=False), self._exclude)
        self._orders: dict[str, NamesRow] = {}
        self._order_group = Adw.PreferencesGroup(title=_("Who answers which task"))
        self.widget = self._notes.around(self._page())
        self.widget.connect("map", lambda _widget: self._read())

    def show(self, view: View) -> None:
        """Nobody signals a preference: they are read when the page is opened, and when the router comes back."""
        came = view.service is Service.THERE and self._service is not Service.THERE
        self._service = view.service
        trouble = trouble_of(view)
        if came:
            self._read()
        elif view.service is Service.UNKNOWN or trouble is None:
            self._draw()
        elif view.service is not Service.THERE:
            self._notes.trouble(trouble)

    def _read(self) -> None:
        if not self._keeper.known:
            self._notes.waiting()
        if self._service is Service.THERE:
            self._keeper.read(self._notes.unread)

    def _draw(self) -> None:
        keeper = self._keeper
        if keeper.wishes is None or keeper.providers is None or keeper.tasks is None:
            return
        wishes = keeper.wishes
        self._local.show_value(wished.local_only(wishes))
        for row in self._choices:
            row.show_wishes(wishes)
        for task in keeper.tasks:
            names = wished.order(wishes, task)
            self._order_of(task).show_names(names, wished.targets(keeper.providers, names))
        names = wished.excluded(wishes)
        self._excluded.show_names(names, wished.targets(keeper.providers, names))
        self._notes.ready()

    def _order_of(self, task: str) -> NamesRow:
        if task not in self._orders:
            about = About(task, _("Default"), ordered=True)
            self._orders[task] = NamesRow(about, partial(self._order, task))
            self._order_group.add(self._orders[task])
        return self._orders[task]

    def _choose(self, key: str, word: str) -> None:
        self._keeper.change(lambda now: wished.with_choice(now, key, word))

    def _order(self, task: str, names: tuple[str, ...]) -> None:
        self._keeper.change(lambda now: wished.with_order(now, task, names))

    def _exclude(self, names: tuple[str, ...]) -> None:
        self._keeper.change(lambda now: wished.with_excluded(now, names))

    def _give_up(self, _button: Gtk.Button) -> None:
        self._keeper.change(lambda _now: {}, self._given_up)

    def _given_up(self, before: Wishes) -> None:
        self._notes.undo(_("All preferences are given up"), lambda: self._keeper.change(lambda _now: before))

    def _page(self) -> Gtk.Widget:
        page = Adw.PreferencesPage()
        general = Adw.PreferencesGroup(description=_("They hold where a request does not say otherwise."))
        for row in (self._local, *self._choices, self._excluded):
            general.add(row)
        reset = Gtk.Button(label=_("Give all up"), halign=Gtk.Align.CENTER, css_classes=["destructive-action", "pill"])
        reset.set_tooltip_text(_("What the computer's operator has set holds again"))
        reset.connect("clicked", self._give_up)
        last = Adw.PreferencesGroup()
        last.add(reset)
        for group in (general, self._order_group, last):
            page.add(group)
        return page

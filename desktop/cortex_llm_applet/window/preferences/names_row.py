"""A list of providers and models that a person can order, shorten and lengthen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from cortex_llm_applet.logic.wishes import moved
from cortex_llm_applet.texts import N_, _
from cortex_llm_applet.window.toolkit import Adw, Gtk, say, say_chosen

_UP, _DOWN = "up", "down"
_BUTTONS = {
    _UP: ("go-up-symbolic", N_("Move {name} up")),
    _DOWN: ("go-down-symbolic", N_("Move {name} down")),
    "remove": ("list-remove-symbolic", N_("Remove {name}")),
}


@dataclass(frozen=True, slots=True)
class About:
    """`none` is said of an empty list, `ordered` whether its order means anything."""

    title: str
    none: str
    ordered: bool


class NameRow(Adw.ActionRow):
    """One of the names with its buttons."""

    def __init__(self, pressed: Callable[[NameRow, str], None], kinds: Sequence[str]) -> None:
        super().__init__(use_markup=False)
        self.buttons = {kind: _button(_BUTTONS[kind][0], partial(pressed, self, kind)) for kind in kinds}
        for button in self.buttons.values():
            self.add_suffix(button)

    def show_name(self, name: str, *, first: bool, last: bool) -> None:
        self.set_title(name)
        for kind, button in self.buttons.items():
            words = _(_BUTTONS[kind][1]).format(name=name)
            button.set_tooltip_text(words)
            say(button, words)
            button.set_sensitive(not (first and kind == _UP) and not (last and kind == _DOWN))


class AddRow(Adw.ActionRow):
    """Adds one of those that are not in the list; with `reset` it gives the whole list up. `title`: the list's."""

    def __init__(self, title: str, added: Callable[[str], None], reset: Callable[[], None]) -> None:
        super().__init__(title=_("Add"))
        self._names: tuple[str, ...] = ()
        self._added = added
        self._drop_down = Gtk.DropDown(valign=Gtk.Align.CENTER)
        say_chosen(self._drop_down, _("Provider or model to add"))
        self._add = _button("list-add-symbolic", self._add_pressed)
        self._reset = _button("edit-clear-symbolic", reset)
        for button, words in ((self._add, _("Add to: {list}")), (self._reset, _("Give up: {list}"))):
            button.set_tooltip_text(words.format(list=title))
            say(button, words.format(list=title))
        for widget in (self._drop_down, self._add, self._reset):
            self.add_suffix(widget)

    def show_names(self, names: tuple[str, ...], *, any_set: bool) -> None:
        if names != self._names:
            self._names = names
            self._drop_down.set_model(Gtk.StringList.new(list(names)))
        for widget in (self._drop_down, self._add):
            widget.set_visible(bool(names))
        self._reset.set_sensitive(any_set)

    def _add_pressed(self) -> None:
        number = self._drop_down.get_selected()
        if number < len(self._names):
            self._added(self._names[number])


class NamesRow(Adw.ExpanderRow):
    """`wanted` gets the whole list that a person wants."""

    def __init__(self, about: About, wanted: Callable[[tuple[str, ...]], None]) -> None:
        super().__init__(title=about.title, use_markup=False)
        self._about, self._wanted = about, wanted
        self._names: tuple[str, ...] = ()
        self._rows: list[NameRow] = []
        self._follow: tuple[int, str] | None = None
        self._add = AddRow(about.title, lambda name: wanted((*self._names, name)), lambda: wanted(()))
        self.add_row(self._add)

    def show_names(self, names: tuple[str, ...], others: tuple[str, ...]) -> None:
        """`others`: what may be added."""
        self._names = names
        self._make(len(names))
        for number, (row, name) in enumerate(zip(self._rows, names, strict=True)):
            row.show_name(name, first=number == 0, last=number == len(names) - 1)
        self._add.show_names(others, any_set=bool(names))
        apart = _(", then ") if self._about.ordered else ", "
        self.set_subtitle(apart.join(names) or self._about.none)
        self._keep_focus()

    def _make(self, count: int) -> None:
        kinds = tuple(_BUTTONS) if self._about.ordered else ("remove",)
        if len(self._rows) == count:
            return
        self.remove(self._add)  # it stays the last
        while len(self._rows) > count:
            self.remove(self._rows.pop())
        while len(self._rows) < count:
            self._rows.append(NameRow(self._pressed, kinds))
            self.add_row(self._rows[-1])
        self.add_row(self._add)

    def _pressed(self, row: NameRow, kind: str) -> None:
        index = self._rows.index(row)
        if kind == "remove":
            self._wanted((*self._names[:index], *self._names[index + 1 :]))
            return
        by = -1 if kind == _UP else 1
        self._follow = (index + by, kind)
        self._wanted(moved(self._names, index, by))

    def _keep_focus(self) -> None:
        """The keyboard goes with the name that was moved, to the other button where it can go no further."""
        if self._follow is None or self._follow[0] >= len(self._rows):
            return
        (index, kind), self._follow = self._follow, None
        buttons = self._rows[index].buttons
        wanted = buttons[kind] if buttons[kind].get_sensitive() else buttons[_DOWN if kind == _UP else _UP]
        wanted.grab_focus()


def _button(icon: str, pressed: Callable[[], None]) -> Gtk.Button:
    button = Gtk.Button(icon_name=icon, valign=Gtk.Align.CENTER, css_classes=["flat"])
    button.connect("clicked", lambda _button: pressed())
    return button

"""A bad state with its next step, large; nothing where all is well."""

from __future__ import annotations

from cortex_llm_applet.logic.picture import icon_name
from cortex_llm_applet.logic.trouble import Trouble
from cortex_llm_applet.texts import _
from cortex_llm_applet.window.toolkit import Adw, Gtk

_ICON_PIXELS = 96


class TroubleStatus(Adw.PreferencesGroup):
    """Copies the command that the next step names, where it names one.

    Looks like Adw.StatusPage, which scrolls by itself and so cannot stand above other things that scroll.
    """

    def __init__(self) -> None:
        super().__init__(visible=False)
        self._trouble: Trouble | None = None
        self._icon = Gtk.Image(pixel_size=_ICON_PIXELS, accessible_role=Gtk.AccessibleRole.PRESENTATION)
        self._meaning = _label("title-1")
        self._step = _label("body")
        self._step.set_selectable(True)
        self._copy = Gtk.Button(label=_("Copy the Command"), halign=Gtk.Align.CENTER, css_classes=["pill"])
        self._copy.connect("clicked", self._copied)
        box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=18)
        for part in (self._icon, self._meaning, self._step, self._copy):
            box.append(part)
        self.add(box)

    def show_trouble(self, trouble: Trouble | None) -> None:
        if trouble == self._trouble:
            return
        self._trouble = trouble
        self.set_visible(trouble is not None)
        if trouble is None:
            return
        self._icon.set_from_icon_name(icon_name(trouble.state))
        self._meaning.set_text(_(trouble.meaning))
        self._step.set_text(trouble.next_step)
        self._copy.set_visible(bool(trouble.command))

    def _copied(self, button: Gtk.Button) -> None:
        if self._trouble:
            button.get_clipboard().set(self._trouble.command)


def _label(style: str) -> Gtk.Label:
    return Gtk.Label(wrap=True, justify=Gtk.Justification.CENTER, css_classes=[style])

"""A bad state with its next step, large; nothing where all is well."""

from __future__ import annotations

from cortex_llm_applet.logic.picture import icon_name
from cortex_llm_applet.logic.trouble import Trouble
from cortex_llm_applet.texts import _
from cortex_llm_applet.window.toolkit import Adw, Gtk


class TroubleStatus(Adw.PreferencesGroup):
    """Copies the command that the next step names, where it names one."""

    def __init__(self) -> None:
        super().__init__(visible=False)
        self._trouble: Trouble | None = None
        self._copy = Gtk.Button(label=_("Copy the Command"), halign=Gtk.Align.CENTER, css_classes=["pill"])
        self._copy.connect("clicked", self._copied)
        self._status = Adw.StatusPage(child=self._copy, css_classes=["compact"])
        self.add(self._status)

    def show_trouble(self, trouble: Trouble | None) -> None:
        if trouble == self._trouble:
            return
        self._trouble = trouble
        self.set_visible(trouble is not None)
        if trouble is None:
            return
        self._status.set_icon_name(icon_name(trouble.state))
        self._status.set_title(_(trouble.meaning))
        self._status.set_description(trouble.next_step)
        self._copy.set_visible(bool(trouble.command))

    def _copied(self, button: Gtk.Button) -> None:
        if self._trouble:
            button.get_clipboard().set(self._trouble.command)

"""What the page has to say beside its rows: that it waits, that the router is away, what it refused."""

from __future__ import annotations

from collections.abc import Callable

from gi.repository import GLib

from cortex_llm_applet.logic.failures import Failure
from cortex_llm_applet.logic.trouble import Trouble
from cortex_llm_applet.texts import _
from cortex_llm_applet.window.toolkit import Adw, Gtk
from cortex_llm_applet.window.trouble_status import TroubleStatus

_UNTIL_CLOSED = 0
_UNDO_S = 10


class Notes:
    """The page within a stack of what may stand in its place, below a place for passing words."""

    def __init__(self) -> None:
        self._overlay = Adw.ToastOverlay()
        self._stack = Gtk.Stack(vhomogeneous=False)
        self._trouble = TroubleStatus()
        self._unread = Adw.StatusPage(icon_name="dialog-warning-symbolic", title=_("Preferences cannot be read"))
        self._refusal: Adw.Toast | None = None
        self._spinner = Gtk.Spinner(width_request=48, halign=Gtk.Align.CENTER)
        self._stack.add_named(self._spinner, "loading")
        self._stack.add_named(self._trouble, "trouble")
        self._stack.add_named(self._unread, "unread")
        self._overlay.set_child(self._stack)

    def around(self, page: Gtk.Widget) -> Gtk.Widget:
        self._stack.add_named(page, "page")
        return self._overlay

    def waiting(self) -> None:
        self._turn_to("loading")

    def ready(self) -> None:
        self._turn_to("page")

    def trouble(self, trouble: Trouble) -> None:
        self._trouble.show_trouble(trouble)
        self._turn_to("trouble")

    def unread(self, failure: Failure) -> None:
        words = "\n".join(filter(None, [failure.words, failure.step]))
        self._unread.set_description(GLib.markup_escape_text(words))
        self._turn_to("unread")

    def refused(self, failure: Failure) -> None:
        """Stays until it is read: the router's words and what to do."""
        words = failure.words or _("cortexd does not answer")
        label = Gtk.Label(label=f"{words}\n{failure.step}", wrap=True, xalign=0, max_width_chars=48)
        if self._refusal:
            self._refusal.dismiss()
        self._refusal = Adw.Toast(custom_title=label, timeout=_UNTIL_CLOSED, priority=Adw.ToastPriority.HIGH)
        self._overlay.add_toast(self._refusal)

    def undo(self, words: str, undo: Callable[[], None]) -> None:
        toast = Adw.Toast(title=words, button_label=_("Undo"), timeout=_UNDO_S)
        toast.connect("button-clicked", lambda _toast: undo())
        self._overlay.add_toast(toast)

    def _turn_to(self, name: str) -> None:
        """A spinner turns, and wakes the computer, also where nobody sees it."""
        self._spinner.set_spinning(name == "loading")
        self._stack.set_visible_child_name(name)

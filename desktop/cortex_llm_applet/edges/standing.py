"""A question on the screen: one notification with buttons, for as long as the question is open."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from gi.repository import Gio, GLib

from cortex_llm_applet.edges.calls import Target, Watches, call
from cortex_llm_applet.edges.markup import escaped
from cortex_llm_applet.logic.holds import Question
from cortex_llm_applet.logic.orders import Order

SERVER: Target = (
    "org.freedesktop.Notifications",
    "/org/freedesktop/Notifications",
    "org.freedesktop.Notifications",
)
APPLICATION = "org.cortexlinux.LLMApplet"
_CRITICAL = 2
_NEVER_EXPIRES = 0


class Standing:
    """Closed when the question ends, whoever answered it. Who closes it himself has not answered; it does not come back
    for the same question then. `icon`: a name or a path; `pressed` gets the order of a button.

    One call of the server at a time, so that what it shows is the newest and never two.
    """

    def __init__(self, session: Gio.DBusConnection, icon: str, pressed: Callable[[Order], None]) -> None:
        self._session, self._icon, self._pressed = session, icon, pressed
        self._watches = Watches(session)
        self._question: Question | None = None
        self._orders: dict[str, Order] = {}  # of each button that was shown for the question
        self._sent: Question | None = None
        self._number = 0
        self._busy = self._gone = False
        Gio.bus_watch_name_on_connection(session, SERVER[0], Gio.BusNameWatcherFlags.NONE, self._server_came, None)

    def show(self, question: Question | None) -> None:
        """None: no question is open."""
        if question and self._question and question.hold_id == self._question.hold_id:
            self._question = question
        else:
            self._begin(question)
        self._go()

    def again(self) -> None:
        """The answer that was pressed was not taken."""
        self._gone = False
        self._go()

    def close(self) -> None:
        """Without waiting for the server: this process ends."""
        if self._number:
            call(self._session, SERVER, "CloseNotification", GLib.Variant("(u)", (self._number,)), lambda: None)

    def _begin(self, question: Question | None) -> None:
        self._question, self._gone = question, False
        self._orders.clear()
        self._watches.end()
        if question:
            self._watches.add(SERVER, "ActionInvoked", self._invoked)
            self._watches.add(SERVER, "NotificationClosed", self._closed)

    def _go(self) -> None:
        wanted = None if self._gone else self._question
        if self._busy or wanted == self._sent:
            return
        self._busy = True
        if wanted:
            self._ask_abilities(wanted)
        else:
            self._withdraw()

    def _withdraw(self) -> None:
        """What the server says of it from now on is about none that is open."""
        number, self._number = self._number, 0
        if not number:
            self._done(None, 0)
            return
        body = GLib.Variant("(u)", (number,))
        call(self._session, SERVER, "CloseNotification", body, lambda: self._done(None, 0), self._failed(None))

    def _ask_abilities(self, question: Question) -> None:
        """The server may be started for it."""
        call(
            self._session, SERVER, "GetCapabilities", None,
            lambda abilities: self._notify(question, abilities), self._failed(question), may_start=True,
        )  # fmt: skip

    def _notify(self, question: Question, abilities: Collection[str]) -> None:
        buttons, body = [], question.body
        if "actions" in abilities:
            self._orders |= {answer.key: answer.order for answer in question.answers}
            buttons = [word for answer in question.answers for word in (answer.key, answer.label)]
        else:
            body = f"{body}\n{question.step}"
        if "body-markup" in abilities:
            body = escaped(body)
        hints = {"urgency": GLib.Variant("y", _CRITICAL), "desktop-entry": GLib.Variant("s", APPLICATION)}
        arguments: tuple[Any, ...] = (
            "cortexd", self._number, self._icon, question.summary, body, buttons, hints, _NEVER_EXPIRES,
        )  # fmt: skip
        call(
            self._session, SERVER, "Notify", GLib.Variant("(susssasa{sv}i)", arguments),
            lambda number: self._done(question, number), self._failed(question), may_start=True,
        )  # fmt: skip

    def _failed(self, tried: Question | None) -> Callable[[str], None]:
        """What the server refuses is not tried again."""
        return lambda _error: self._done(tried, 0)

    def _done(self, sent: Question | None, number: int) -> None:
        self._busy, self._sent, self._number = False, sent, number
        self._go()

    def _invoked(self, number: int, key: str) -> None:
        if number == self._number and key in self._orders and not self._gone:
            self._gone = True
            self._pressed(self._orders[key])
            self._go()

    def _closed(self, number: int, _reason: int) -> None:
        if number != self._number:
            return
        self._gone = True
        if not self._busy:  # else the answer that is awaited says what is on the screen
            self._sent, self._number = None, 0

    def _server_came(self, _session: Any, _name: str, _owner: str) -> None:
        """Nothing of ours is on the screen of another server."""
        self._sent, self._number = None, 0
        self._go()

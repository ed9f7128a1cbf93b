"""What the machine says about the router: systemd of its unit, polkit of whether this user may ask, logind of sleep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gi.repository import Gio, GLib

from cortex_llm_applet import wire_facts as wire
from cortex_llm_applet.edges.calls import DBUS, PROPERTIES, Watches, call
from cortex_llm_applet.logic.absence import absence_of
from cortex_llm_applet.logic.trouble import UNIT
from cortex_llm_applet.logic.view import Absence

_SYSTEMD = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_INTERFACES = ("org.freedesktop.systemd1.Unit", "org.freedesktop.systemd1.Service")
_POLKIT = (
    "org.freedesktop.PolicyKit1",
    "/org/freedesktop/PolicyKit1/Authority",
    "org.freedesktop.PolicyKit1.Authority",
)
_LOGIND = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")


class Unit:
    """Says why the router is away, and again when that changes, from watch() to rest()."""

    def __init__(self, bus: Gio.DBusConnection, said: Callable[[Absence], None]) -> None:
        self._bus, self._said = bus, said
        self._watches = Watches(bus)
        self._round = 0  # answers to an earlier one are late
        self._watched = ""

    def watch(self) -> None:
        self.rest()
        self._watches.add(_SYSTEMD, "Reloading", self._reloading)
        call(self._bus, _SYSTEMD, "Subscribe", None, lambda: None)  # it sends no signals otherwise
        self._look()

    def rest(self) -> None:
        if self._watched:
            call(self._bus, _SYSTEMD, "Unsubscribe", None, lambda: None)
        self._watches.end()
        self._watched = ""
        self._round += 1

    def _reloading(self, active: bool) -> None:
        if not active:
            self._look()

    def _look(self) -> None:
        self._round += 1
        number = self._round

        def listed(names: list[str]) -> None:
            activatable = wire.BUS_NAME in names
            self._load(number, activatable)

        call(self._bus, DBUS, "ListActivatableNames", None, listed)

    def _load(self, number: int, activatable: bool) -> None:
        def loaded(path: str) -> None:
            if number == self._round:
                self._follow(path)
                self._read(number, path, activatable, {}, _INTERFACES)

        call(
            self._bus, _SYSTEMD, "LoadUnit", GLib.Variant("(s)", (UNIT,)), loaded,
            lambda _error: self._say(number, None, activatable),
        )  # fmt: skip

    def _read(
        self, number: int, path: str, activatable: bool, known: dict[str, Any], interfaces: tuple[str, ...]
    ) -> None:
        """One interface of the unit after the other; a unit that is not there has no Service."""
        if not interfaces:
            self._say(number, known, activatable)
            return
        target, (first, *rest) = (_SYSTEMD[0], path, PROPERTIES), interfaces
        call(
            self._bus, target, "GetAll", GLib.Variant("(s)", (first,)),
            lambda values: self._read(number, path, activatable, {**known, **values}, tuple(rest)),
            lambda _error: self._say(number, known, activatable),
        )  # fmt: skip

    def _follow(self, path: str) -> None:
        if path != self._watched:
            self._watched = path
            unit = (_SYSTEMD[0], path, PROPERTIES)
            self._watches.add(unit, "PropertiesChanged", lambda *_changed: self._look())

    def _say(self, number: int, unit: dict[str, Any] | None, activatable: bool) -> None:
        if number == self._round:
            self._said(absence_of(unit, activatable=activatable))


class Permission:
    """Says whether polkit lets this connection's user ask, with a password or without, and again when rules change."""

    def __init__(self, bus: Gio.DBusConnection, said: Callable[[bool | None], None]) -> None:
        self._bus, self._said = bus, said
        self._watches = Watches(bus)
        self._watches.add(_POLKIT, "Changed", self.ask)

    def ask(self) -> None:
        subject = ("system-bus-name", {"name": GLib.Variant("s", self._bus.get_unique_name())})
        arguments = GLib.Variant("((sa{sv})sa{ss}us)", (subject, wire.ASK_ACTION, {}, 0, ""))

        def answered(result: tuple[bool, bool, dict[str, str]]) -> None:
            allowed, with_password, _details = result
            self._said(allowed or with_password)

        call(self._bus, _POLKIT, "CheckAuthorization", arguments, answered, lambda _error: self._said(None))

    def close(self) -> None:
        self._watches.end()


def on_wake_up(bus: Gio.DBusConnection, woke: Callable[[], None]) -> Watches:
    """Call `woke` when the computer comes back from sleep: timers do not count what it slept."""
    watches = Watches(bus)
    watches.add(_LOGIND, "PrepareForSleep", lambda begins: None if begins else woke())
    return watches

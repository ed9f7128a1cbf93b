"""Calls on a bus whose answers come back to the main loop. None of them starts a service."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from gi.repository import Gio, GLib

from cortex_llm_applet.logic.failures import Failure

log = logging.getLogger("cortex-llm-applet")
TIMEOUT_MS = 10_000
DBUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
PROPERTIES = "org.freedesktop.DBus.Properties"
Target = tuple[str, str, str]  # destination, path, interface


def call(
    bus: Gio.DBusConnection,
    target: Target,
    method: str,
    arguments: GLib.Variant | None,
    done: Callable[..., None],
    failed: Callable[[Failure], None] = lambda _failure: None,
    *,
    may_start: bool = False,
) -> None:
    """`done` gets the reply's values as plain Python, `failed` the error; one of the bus has no name."""
    flags = Gio.DBusCallFlags.NONE if may_start else Gio.DBusCallFlags.NO_AUTO_START

    def answered(connection: Gio.DBusConnection, result: Gio.AsyncResult) -> None:
        try:
            values = connection.call_finish(result).unpack()
        except GLib.Error as error:
            log.debug("%s: %s", method, error.message)
            name = Gio.dbus_error_get_remote_error(error) or ""
            failed(Failure(name, error.message.removeprefix(f"GDBus.Error:{name}: ")))
        else:
            done(*values)

    destination, path, interface = target
    bus.call(destination, path, interface, method, arguments, None, flags, TIMEOUT_MS, None, answered)


class Watches:
    """Signal subscriptions that end together."""

    def __init__(self, bus: Gio.DBusConnection) -> None:
        self._bus = bus
        self._ids: list[int] = []

    def add(
        self,
        source: Target,
        member: str,
        heard: Callable[..., None],
        *,
        arg0: str | None = None,
        unicast: bool = False,
    ) -> None:
        """`heard` gets the signal's arguments. `unicast`: it is sent to us alone, and needs no rule on the bus."""
        sender, path, interface = source
        flags = Gio.DBusSignalFlags.NO_MATCH_RULE if unicast else Gio.DBusSignalFlags.NONE

        def signalled(_bus: Any, _sender: str, _path: str, _interface: str, _member: str, body: GLib.Variant) -> None:
            heard(*body.unpack())

        self._ids.append(self._bus.signal_subscribe(sender, interface, member, path, arg0, flags, signalled))

    def end(self) -> None:
        for number in self._ids:
            self._bus.signal_unsubscribe(number)
        self._ids.clear()


def export(
    bus: Gio.DBusConnection, path: str, xml: str, called: Callable[..., None], property: Callable[..., GLib.Variant]
) -> None:
    """The first interface of `xml` at `path`. Before GLib 2.84 each call that is answered loses about 1.6 KB."""
    register = getattr(bus, "register_object_with_closures2", bus.register_object)
    register(path, Gio.DBusNodeInfo.new_for_xml(xml).interfaces[0], called, property, None)

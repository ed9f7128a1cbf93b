"""A server of notifications without buttons, on the session bus: prints each call as a line of JSON. For the
distribution's Python, as no server of Debian's lacks them."""

from __future__ import annotations

import json
from typing import Any

from gi.repository import Gio, GLib

NAME, PATH = "org.freedesktop.Notifications", "/org/freedesktop/Notifications"
XML = f"""<node><interface name="{NAME}">
  <method name="GetCapabilities"><arg type="as" direction="out"/></method>
  <method name="Notify">
    <arg type="s" direction="in"/><arg type="u" direction="in"/><arg type="s" direction="in"/>
    <arg type="s" direction="in"/><arg type="s" direction="in"/><arg type="as" direction="in"/>
    <arg type="a{{sv}}" direction="in"/><arg type="i" direction="in"/><arg type="u" direction="out"/>
  </method>
  <method name="CloseNotification"><arg type="u" direction="in"/></method>
</interface></node>"""
ANSWERS = {
    "GetCapabilities": GLib.Variant("(as)", (["body", "body-markup"],)),
    "Notify": GLib.Variant("(u)", (7,)),
    "CloseNotification": None,
}


def called(_bus: Any, _who: str, _path: str, _interface: str, method: str, body: GLib.Variant, call: Any) -> None:
    print(json.dumps([method, *body.unpack()]), flush=True)
    call.return_value(ANSWERS[method])


session = Gio.bus_get_sync(Gio.BusType.SESSION, None)
session.register_object(PATH, Gio.DBusNodeInfo.new_for_xml(XML).interfaces[0], called, None, None)
Gio.bus_own_name_on_connection(session, NAME, Gio.BusNameOwnerFlags.NONE, None, None)
GLib.MainLoop().run()

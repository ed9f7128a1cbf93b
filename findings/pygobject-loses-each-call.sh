#!/bin/bash
# Seen: an object that Python exports with Gio.DBusConnection.register_object loses about 1.6 KB with each call that it
#   answers: its closure gets a reference to the invocation that neither GLib nor PyGObject drops. A property that is
#   read costs nothing. GLib 2.84 has register_object_with_closures2, which counts as bindings do.
# Versions: PyGObject 3.42.2, GLib 2.74.6.
# Expected: a service whose calls are answered, and which keeps nothing, stays as large as it is.
# Matters to: authors of services and of tray icons (every opened menu is some calls) in PyGObject or on dasbus.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for package in python3-gi=3.42.2-3+b1 libglib2.0-0=2.74.6; do
    seen=$(dpkg-query -W -f '${Version}' "${package%%=*}" 2>/dev/null) || { echo "skipped: install ${package%%=*}"; exit 77; }
    [[ "$seen" == "${package#*=}"* ]] || echo "note: seen with $package, here is $seen"
done
command -v dbus-run-session >/dev/null || { echo "skipped: install dbus-daemon"; exit 77; }

cat >"$work/service.py" <<'PY'
import gc
import subprocess
import sys

from gi.repository import Gio, GLib

XML = """<node><interface name="org.example.T">
  <method name="Ask"><arg type="s" direction="out"/></method><property name="P" type="s" access="read"/>
</interface></node>"""
CALLS = 2000
CLIENT = """
import sys
from gi.repository import Gio, GLib
bus = Gio.bus_get_sync(Gio.BusType.SESSION)
calls = {"Ask": ("org.example.T", "Ask", None),
         "Get": ("org.freedesktop.DBus.Properties", "Get", GLib.Variant("(ss)", ("org.example.T", "P")))}
for _ in range(int(sys.argv[3])):
    bus.call_sync(sys.argv[1], "/t", *calls[sys.argv[2]], None, 0, -1, None)
"""


def private_kb():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Private_Dirty"))


def called(_bus, _sender, _path, _interface, _method, _arguments, invocation):
    invocation.return_value(GLib.Variant("(s)", ("hello",)))


def grown_kb(method):
    before = private_kb()
    client = Gio.Subprocess.new([sys.executable, "-I", "-c", CLIENT, bus.get_unique_name(), method, str(CALLS)], 0)
    client.wait_check_async(None, lambda process, result: (process.wait_check_finish(result), loop.quit()))
    loop.run()
    gc.collect()
    return private_kb() - before


bus, loop = Gio.bus_get_sync(Gio.BusType.SESSION), GLib.MainLoop()
info = Gio.DBusNodeInfo.new_for_xml(XML).interfaces[0]
bus.register_object("/t", info, called, lambda *_: GLib.Variant("s", "hello"), None)
grown = {}
for method in ("Ask", "Get"):
    grown_kb(method)  # what any first calls need
    grown[method] = 1024 * grown_kb(method) / CALLS
print(f"bytes lost by a call: {grown['Ask']:.0f}; by a property that is read: {grown['Get']:.0f}")
as_described = grown["Ask"] > 500 > grown["Get"]
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY
dbus-run-session -- /usr/bin/python3 -I "$work/service.py"

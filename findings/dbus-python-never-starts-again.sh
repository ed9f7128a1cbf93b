#!/bin/bash
# Seen: a dbus-python proxy is bound to the process that owned the name when the proxy was made. Once an activatable
#   service has left (for being idle, say), calls on the proxy end in ServiceUnknown for its unique name and start
#   nothing; a new proxy, or gdbus with the same well-known name, starts the service.
# Versions: python3-dbus 1.3.2-4+b1, dbus-daemon 1.14.10-1~deb12u1, libglib2.0-bin 2.74.6-2+deb12u8, jeepney 0.9.0.
# Expected: the proxy was asked for by its well-known name, and calls to that name activate.
# Matters to: services that end when nobody needs them, and their long-lived clients: the first call of the day works
#   and the second fails.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for package in python3-dbus=1.3.2-4+b1 dbus-daemon=1.14.10-1~deb12u1 libglib2.0-bin=2.74.6-2+deb12u8; do
    seen=$(dpkg-query -W -f '${Version}' "${package%%=*}" 2>/dev/null) || { echo "skipped: install ${package%%=*}"; exit 77; }
    [ "$seen" = "${package#*=}" ] || echo "note: seen with $package, here is $seen"
done
python3 -m venv "$work/venv"
timeout 600 "$work/venv/bin/python" -m pip install -q jeepney==0.9.0 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: jeepney==0.9.0 cannot be installed here"; exit 77; }
cat >"$work/service.py" <<'PY'
from jeepney import HeaderFields, MessageType, message_bus, new_method_return
from jeepney.io.blocking import open_dbus_connection

service = open_dbus_connection("SESSION")
service.send_and_get_reply(message_bus.RequestName("org.example.Finding"), timeout=10)
member = None
while member != "Leave":
    message = service.receive(timeout=30)
    if message.header.message_type is MessageType.method_call:
        member = message.header.fields[HeaderFields.member]
        service.send(new_method_return(message))
PY
mkdir "$work/services"
cat >"$work/services/org.example.Finding.service" <<END
[D-BUS Service]
Name=org.example.Finding
Exec=$work/venv/bin/python $work/service.py
END
cat >"$work/bus.conf" <<END
<busconfig><type>session</type><listen>unix:tmpdir=$work</listen><servicedir>$work/services</servicedir>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>
END

timeout 60 dbus-run-session --config-file="$work/bus.conf" -- /usr/bin/python3 - <<'PY'
import subprocess
import sys
import time

import dbus

bus, name = dbus.SessionBus(), "org.example.Finding"


def outcome(proxy, member):
    try:
        proxy.get_dbus_method(member, name)(timeout=10)
        return "answered"
    except dbus.DBusException as error:
        return error.get_dbus_name()


def leave(proxy):
    outcome(proxy, "Leave")
    deadline = time.monotonic() + 10
    while bus.name_has_owner(name) and time.monotonic() < deadline:
        time.sleep(0.02)


old = bus.get_object(name, "/", introspect=False)
first = outcome(old, "Ping")
leave(old)
again, running = outcome(old, "Ping"), bus.name_has_owner(name)
print(f"proxy: {first}; after the service left: {again}; started: {bool(running)}")
new = bus.get_object(name, "/", introspect=False)
fresh = outcome(new, "Ping")
print(f"a new proxy: {fresh}")
leave(new)
command = ["gdbus", "call", "--session", "--dest", name, "--object-path", "/", "--method", f"{name}.Ping"]
gdbus = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
print(f"gdbus after it left again: {gdbus}")
leave(bus.get_object(name, "/", introspect=False))
unknown = "org.freedesktop.DBus.Error.ServiceUnknown"
as_described = (first, again, bool(running), fresh, gdbus) == ("answered", unknown, False, "answered", "()")
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY

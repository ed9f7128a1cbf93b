#!/bin/bash
# Seen: in dbus-python the first element alone names the type of a list in a variant: `[True, 2]` is sent as two
#   booleans, both true; `[1, True]` as two integers; `[1.5, 2]` as doubles. No error, nothing on the receiving side.
# Versions: python3-dbus 1.3.2-4+b1, jeepney 0.9.0, dbus-daemon 1.14.10-1~deb12u1.
# Expected: TypeError, as for `[2, "x"]`, or a type that holds all elements: the 2 is lost, not converted.
# Matters to: clients that pass Python data through as `a{sv}`: options, metadata, JSON. Which list survives depends on
#   the order of its elements.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for package in python3-dbus=1.3.2-4+b1 dbus-daemon=1.14.10-1~deb12u1; do
    seen=$(dpkg-query -W -f '${Version}' "${package%%=*}" 2>/dev/null) || { echo "skipped: install ${package%%=*}"; exit 77; }
    [ "$seen" = "${package#*=}" ] || echo "note: seen with $package, here is $seen"
done
python3 -m venv "$work/venv"
timeout 600 "$work/venv/bin/python" -m pip install -q jeepney==0.9.0 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: jeepney==0.9.0 cannot be installed here"; exit 77; }
cat >"$work/client.py" <<'PY'
import dbus

service = dbus.SessionBus().get_object("org.example.Finding", "/", introspect=False)
for value in ([True, 2], [1, True], [1.5, 2], [2, "x"]):
    try:
        service.Tell({"v": value}, dbus_interface="org.example.Finding", signature="a{sv}", timeout=10)
    except TypeError:
        service.Tell({"v": "TypeError"}, dbus_interface="org.example.Finding", signature="a{sv}", timeout=10)
PY

timeout 60 dbus-run-session -- "$work/venv/bin/python" -I - "$work" <<'PY'
import subprocess
import sys
import threading

from jeepney import HeaderFields, MessageType, message_bus, new_method_return
from jeepney.io.blocking import open_dbus_connection

arrived = []
service = open_dbus_connection("SESSION")
service.send_and_get_reply(message_bus.RequestName("org.example.Finding"), timeout=10)


def loop():
    while True:
        message = service.receive()
        if message.header.message_type is MessageType.method_call:
            if message.header.fields[HeaderFields.member] == "Tell":
                arrived.append(message.body[0]["v"])
            service.send(new_method_return(message))


threading.Thread(target=loop, daemon=True).start()
subprocess.run(["/usr/bin/python3", f"{sys.argv[1]}/client.py"], timeout=30, check=True)
for sent, seen in zip(("[True, 2]", "[1, True]", "[1.5, 2]", '[2, "x"]'), arrived, strict=True):
    print(f"sent {sent:10} arrived {seen}")
as_described = repr(arrived) == "[('ab', [True, True]), ('ai', [1, 1]), ('ad', [1.5, 2.0]), ('s', 'TypeError')]"
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY

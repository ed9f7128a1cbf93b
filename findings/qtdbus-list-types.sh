#!/bin/bash
# Seen: QtDBus for Python chooses a list's D-Bus type by what is in it: strings make `as`, numbers and dictionaries make
#   `av`, and an empty list is `av` whatever it was to hold; an integer is `i` or `x` by its size. No call form names
#   the type wanted.
# Versions: PySide6_Essentials 6.12.0, jeepney 0.9.0, dbus-daemon 1.14.10-1~deb12u1.
# Expected: the service's introspection decides, or `ai`, `aa{sv}` and so on from the elements, as QtDBus does in C++
#   for its list types.
# Matters to: Qt programs that call a method of `as` (which works until the list is empty) or of `aa{sv}`, as message
#   lists are: the service answers InvalidArgs for data that is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for package in dbus-daemon=1.14.10-1~deb12u1; do
    seen=$(dpkg-query -W -f '${Version}' "${package%%=*}" 2>/dev/null) || { echo "skipped: install ${package%%=*}"; exit 77; }
    [ "$seen" = "${package#*=}" ] || echo "note: seen with $package, here is $seen"
done
python3 -m venv "$work/venv"
timeout 600 "$work/venv/bin/python" -m pip install -q PySide6_Essentials==6.12.0 jeepney==0.9.0 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: PySide6_Essentials==6.12.0 jeepney==0.9.0 cannot be installed here"; exit 77; }
cat >"$work/client.py" <<'PY'
from PySide6.QtCore import QCoreApplication
from PySide6.QtDBus import QDBusConnection, QDBusMessage

application, bus = QCoreApplication([]), QDBusConnection.sessionBus()
for value in (["a"], [], [1], [{"role": "user"}], 5, 2**40):
    call = QDBusMessage.createMethodCall("org.example.Finding", "/", "org.example.Finding", "Tell")
    call.setArguments([value])
    bus.call(call, timeout=10000)
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
                arrived.append(message.header.fields[HeaderFields.signature])
            service.send(new_method_return(message))


threading.Thread(target=loop, daemon=True).start()
subprocess.run([sys.executable, f"{sys.argv[1]}/client.py"], timeout=40, check=True)
for sent, signature in zip(('["a"]', "[]", "[1]", '[{"role": "user"}]', "5", "2**40"), arrived, strict=True):
    print(f"sent {sent:18} arrived as {signature}")
as_described = arrived == ["as", "av", "av", "av", "i", "x"]
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY

#!/bin/bash
# Seen: QtDBus for Python gives a dictionary of a reply (`a{sv}`) as a QDBusArgument from which no value can be taken:
#   `asVariant()` is another QDBusArgument, `beginMap()` is the one that writes, and what it then gives is None. The same
#   reply, delivered to a slot that is declared `@Slot("QVariantMap")`, is a dict.
# Versions: PySide6_Essentials 6.12.0, jeepney 0.9.0, dbus-daemon 1.14.10-1~deb12u1.
# Expected: a dict, as for `as` (a list of str), or a documented way to read the argument, as `qdbus_cast` in C++.
# Matters to: Python programs that call org.freedesktop.DBus.Properties.GetAll, or any service that answers with a
#   dictionary: a plain `call()` arrives, and its content is out of reach.
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
from PySide6.QtCore import SLOT, QCoreApplication, QObject, QTimer, Slot
from PySide6.QtDBus import QDBusConnection, QDBusError, QDBusMessage, QDBusReply

application, bus = QCoreApplication([]), QDBusConnection.sessionBus()


class Heard(QObject):
    @Slot("QVariantMap")
    def typed(self, value):
        print("typed slot", type(value).__name__, value)
        application.quit()


def call(member):
    return QDBusMessage.createMethodCall("org.example.Finding", "/", "org.example.Finding", member)


print("as", bus.call(call("List"), timeout=10000).arguments()[0])
value = bus.call(call("Map"), timeout=10000).arguments()[0]
print("a{sv}", type(value).__name__, hasattr(value, "keys"), hasattr(value, "__getitem__"), hasattr(value, "__iter__"))
print("asVariant", type(value.asVariant()).__name__)
value = bus.call(call("Map"), timeout=10000).arguments()[0]
value.beginMap()
value.beginMapEntry()
key = value.asVariant()
print("in the map", key)
print("its value", value.asVariant())
print("QDBusReply", type(QDBusReply(bus.call(call("Map"), timeout=10000)).value()).__name__)
heard = Heard()
QTimer.singleShot(10000, application.quit)
bus.callWithCallback(call("Map"), heard, SLOT("typed(QVariantMap)"), 10000)
application.exec()
PY

timeout 60 dbus-run-session -- "$work/venv/bin/python" -I - "$work" <<'PY'
import subprocess
import sys
import threading

from jeepney import HeaderFields, MessageType, message_bus, new_method_return
from jeepney.io.blocking import open_dbus_connection

ANSWERS = {"List": ("as", (["one"],)), "Map": ("a{sv}", ({"key": ("s", "one")},))}
service = open_dbus_connection("SESSION")
service.send_and_get_reply(message_bus.RequestName("org.example.Finding"), timeout=10)


def loop():
    while True:
        message = service.receive()
        if message.header.message_type is MessageType.method_call:
            answer = ANSWERS.get(message.header.fields[HeaderFields.member], ())
            service.send(new_method_return(message, *answer))


threading.Thread(target=loop, daemon=True).start()
done = subprocess.run([sys.executable, f"{sys.argv[1]}/client.py"], capture_output=True, text=True, timeout=50)
print((done.stdout + done.stderr).rstrip())
as_described = done.stdout.splitlines() == [
    "as ['one']",
    "a{sv} QDBusArgument False False False",
    "asVariant QDBusArgument",
    "in the map None",
    "its value None",
    "QDBusReply QDBusArgument",
    "typed slot dict {'key': 'one'}",
]
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY

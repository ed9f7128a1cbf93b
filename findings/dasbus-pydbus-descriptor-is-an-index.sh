#!/bin/bash
# Seen: a method that returns a file descriptor (type `h`) gives 0 in dasbus and pydbus: not the descriptor but its
#   place in the message's list. The list itself is out of reach in pydbus; dasbus hands out the descriptor only to a
#   proxy made with `client=GLibClientUnix`.
# Versions: python3-dasbus 1.7-1, python3-pydbus 0.6.0-5, python3-gi 3.42.2-3+b1, jeepney 0.9.0, dbus-daemon
#   1.14.10-1~deb12u1.
# Expected: a number that can be read from, or an error that descriptors are not supported here.
# Matters to: clients of services that stream through a pipe: 0 is a descriptor that nearly every process has, so the
#   read works, from standard input, and closing it closes that.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for package in python3-dasbus=1.7-1 python3-pydbus=0.6.0-5 python3-gi=3.42.2-3+b1 dbus-daemon=1.14.10-1~deb12u1; do
    seen=$(dpkg-query -W -f '${Version}' "${package%%=*}" 2>/dev/null) || { echo "skipped: install ${package%%=*}"; exit 77; }
    [ "$seen" = "${package#*=}" ] || echo "note: seen with $package, here is $seen"
done
python3 -m venv "$work/venv"
timeout 600 "$work/venv/bin/python" -m pip install -q jeepney==0.9.0 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: jeepney==0.9.0 cannot be installed here"; exit 77; }
cat >"$work/client.py" <<'PY'
import os

from dasbus.connection import SessionMessageBus
from dasbus.unix import GLibClientUnix
from pydbus import SessionBus

name = "org.example.Finding"
print("pydbus", SessionBus().get(name, "/").Open())
print("dasbus", SessionMessageBus().get_proxy(name, "/").Open())
descriptor = SessionMessageBus().get_proxy(name, "/", client=GLibClientUnix).Open()
print("GLibClientUnix", descriptor > 2, os.read(descriptor, 9).decode())
PY

timeout 60 dbus-run-session -- "$work/venv/bin/python" -I - "$work" <<'PY'
import os
import subprocess
import sys
import threading

from jeepney import HeaderFields, MessageType, message_bus, new_method_return
from jeepney.io.blocking import open_dbus_connection

DESCRIPTION = (
    '<node><interface name="org.example.Finding"><method name="Open"><arg type="h" direction="out"/></method>'
    "</interface></node>"
)
service = open_dbus_connection("SESSION", enable_fds=True)
service.send_and_get_reply(message_bus.RequestName("org.example.Finding"), timeout=10)


def loop():
    while True:
        message = service.receive()
        if message.header.message_type is not MessageType.method_call:
            continue
        if message.header.fields[HeaderFields.member] == "Introspect":
            service.send(new_method_return(message, "s", (DESCRIPTION,)))
            continue
        read_end, write_end = os.pipe()
        os.write(write_end, b"hello")
        os.close(write_end)
        service.send(new_method_return(message, "h", (read_end,)))
        os.close(read_end)


threading.Thread(target=loop, daemon=True).start()
client = ["/usr/bin/python3", f"{sys.argv[1]}/client.py"]
output = subprocess.run(client, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL).stdout
print(output.rstrip())
as_described = output.splitlines() == ["pydbus 0", "dasbus 0", "GLibClientUnix True hello"]
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY

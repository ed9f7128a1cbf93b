#!/bin/bash
# Seen: `send_and_get_reply` reads messages until it finds its reply and keeps only what an open filter asks for: a
#   signal that arrives before the reply is gone, and a later `receive()` waits in vain. Sent with `send()`, the same
#   call lets `receive()` give first the signal, then the reply.
# Versions: jeepney 0.9.0, dbus-daemon 1.14.10-1~deb12u1.
# Expected: what is not the reply waits for `receive()`, as the two methods read from one connection.
# Matters to: clients that subscribe to a progress signal and then make the call that starts the work: the first
#   signals, often the ones that name the job, arrive within the call and are never seen.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for package in dbus-daemon=1.14.10-1~deb12u1; do
    seen=$(dpkg-query -W -f '${Version}' "${package%%=*}" 2>/dev/null) || { echo "skipped: install ${package%%=*}"; exit 77; }
    [ "$seen" = "${package#*=}" ] || echo "note: seen with $package, here is $seen"
done
python3 -m venv "$work/venv"
timeout 600 "$work/venv/bin/python" -m pip install -q jeepney==0.9.0 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: jeepney==0.9.0 cannot be installed here"; exit 77; }

timeout 60 dbus-run-session -- "$work/venv/bin/python" -I - "$work" <<'PY'
import sys
import threading

from jeepney import DBusAddress, MessageType, message_bus, new_method_call, new_method_return, new_signal
from jeepney.io.blocking import open_dbus_connection

name = "org.example.Finding"
address = DBusAddress("/", bus_name=name, interface=name)
service = open_dbus_connection("SESSION")
service.send_and_get_reply(message_bus.RequestName(name), timeout=10)


def loop():
    while True:
        message = service.receive()
        if message.header.message_type is MessageType.method_call:
            service.send(new_signal(address, "Started", "s", ("job 1",)))
            service.send(new_method_return(message))


threading.Thread(target=loop, daemon=True).start()
client = open_dbus_connection("SESSION")
client.send_and_get_reply(message_bus.AddMatch(f"type='signal',interface='{name}'"), timeout=10)


def received():
    try:
        return client.receive(timeout=2).header.message_type.name
    except TimeoutError:
        return "nothing"


call = new_method_call(address, "Start")
reply = client.send_and_get_reply(call, timeout=10)
after_reply = received()
print(f"send_and_get_reply: {reply.header.message_type.name}; receive() after it: {after_reply}")
client.send(call)
in_order = [received(), received()]
print(f"send; receive() twice: {in_order}")
as_described = after_reply == "nothing" and in_order == ["signal", "method_return"]
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY

#!/bin/bash
# Seen: `with connection.filter(rule) as messages:` keeps one message. Of three signals that arrive before it is read,
#   the third alone is there; the others are gone, without a warning. A `queue=deque()` of one's own keeps all.
# Versions: jeepney 0.9.0, dbus-daemon 1.14.10-1~deb12u1.
# Expected: what the filter asks for waits until it is read, up to a bound that one meets rarely; a bound of one loses
#   every burst.
# Matters to: clients that count, sum or log what signals tell: the newest state is there, and the sums are short.
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

timeout 60 dbus-run-session -- "$work/venv/bin/python" -I - <<'PY'
import sys
import threading
from collections import deque

from jeepney import DBusAddress, MatchRule, MessageType, message_bus, new_method_call, new_method_return, new_signal
from jeepney.io.blocking import open_dbus_connection

name = "org.example.Finding"
address = DBusAddress("/", bus_name=name, interface=name)
service = open_dbus_connection("SESSION")
service.send_and_get_reply(message_bus.RequestName(name), timeout=10)


def loop():
    while True:
        message = service.receive()
        if message.header.message_type is MessageType.method_call:
            for number in (1, 2, 3):
                service.send(new_signal(address, "Paid", "u", (number,)))
            service.send(new_method_return(message))


threading.Thread(target=loop, daemon=True).start()
client = open_dbus_connection("SESSION")
rule = MatchRule(type="signal", interface=name, member="Paid")
client.send_and_get_reply(message_bus.AddMatch(rule), timeout=10)


def kept(**options):
    with client.filter(rule, **options) as messages:
        client.send_and_get_reply(new_method_call(address, "Work"), timeout=10)
        return [message.body[0] for message in messages]


by_default, by_own_queue = kept(), kept(queue=deque())
print(f"sent [1, 2, 3]; filter(rule): {by_default}; filter(rule, queue=deque()): {by_own_queue}")
as_described = (by_default, by_own_queue) == ([3], [1, 2, 3])
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY

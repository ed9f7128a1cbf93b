#!/bin/bash
# Seen: two of the three npm packages called dbus-native write a BigInt given for a 64-bit integer (`x`) as 0: no error,
#   the call succeeds. A plain number, or the digits in a string, arrive whole; the third package takes all three.
# Versions: @homebridge/dbus-native 0.7.9, @httptoolkit/dbus-native 0.1.5, dbus-native 0.13.0, jeepney 0.9.0, node 20.20.2.
# Expected: BigInt is the language's own 64-bit integer, so it passes, or it is refused as an unknown type.
# Matters to: node clients that send sizes, limits, times in nanoseconds or sums of money, and whoever swaps one fork
#   for another: a limit of 0 is as valid as the one that was meant.
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
command -v node npm >"$work/log" || { echo "skipped: install node and npm"; exit 77; }
timeout 600 npm install --prefix "$work" --no-save --no-audit --no-fund --ignore-scripts --silent @homebridge/dbus-native@0.7.9 @httptoolkit/dbus-native@0.1.5 dbus-native@0.13.0 >"$work/log" 2>&1 ||
    { cat "$work/log"; echo "skipped: @homebridge/dbus-native@0.7.9 @httptoolkit/dbus-native@0.1.5 dbus-native@0.13.0 cannot be installed here"; exit 77; }
cat >"$work/client.js" <<'JS'
const bus = require(process.argv[2]).sessionBus();
setTimeout(() => process.exit(3), 10000);
const body = [5n, 5, "9007199254740991"];
const call = { destination: "org.example.Finding", path: "/", interface: "org.example.Finding", member: "Tell" };
bus.invoke({ ...call, signature: "xxx", body }, (error) => process.exit(error ? 2 : 0));
JS

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
                arrived.append(message.body)
            service.send(new_method_return(message))


threading.Thread(target=loop, daemon=True).start()
names = ("@homebridge/dbus-native", "@httptoolkit/dbus-native", "dbus-native")
for name in names:
    subprocess.run(["node", "client.js", name], cwd=sys.argv[1], timeout=20, check=True)
    print(f'{name}: 5n, 5 and "9007199254740991" arrive as {arrived[-1]}')
whole = 9007199254740991
as_described = arrived == [(0, 5, whole), (0, 5, whole), (5, 5, whole)]
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY

#!/bin/bash
# Seen: in npm's dbus-next `negotiateUnixFd: true` has no effect where the optional package usocket is missing or was not
#   compiled: the connection comes up without an error or a warning. A method that returns a file descriptor is then
#   never answered, as dbus-daemon withholds such a reply and tells the service alone; the promise has no timeout.
# Versions: dbus-next 0.10.2, node 20.20.2, npm 11.19.1, jeepney 0.9.0, dbus-daemon 1.14.10-1~deb12u1.
# Expected: an error at `sessionBus({negotiateUnixFd: true})`, or `Error` in place of a promise that waits for ever.
# Matters to: node clients of services that hand over pipes, sockets or files. Scripts of packages do not run by
#   themselves any more (npm asks first), so that usocket is there and not compiled, and the program that worked hangs.
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
timeout 600 npm install --prefix "$work" --no-save --no-audit --no-fund --ignore-scripts --silent dbus-next@0.10.2 >"$work/log" 2>&1 ||
    { cat "$work/log"; echo "skipped: dbus-next@0.10.2 cannot be installed here"; exit 77; }
cat >"$work/client.js" <<'JS'
const dbus = require("dbus-next");
const bus = dbus.sessionBus({ negotiateUnixFd: true });
const ask = (member) => bus.call(new dbus.Message({ destination: "org.example.Finding", path: "/", interface: "org.example.Finding", member }));
const late = () => new Promise((resolve) => setTimeout(resolve, 5000, "nothing within 5 s"));
const outcome = (member) => Promise.race([ask(member).then(() => "answered", (error) => error.type), late()]);
(async () => {
  for (const member of ["Plain", "Open", "Plain"]) console.log(`${member}: ${await outcome(member)}`);
  process.exit(0);
})();
JS

timeout 90 dbus-run-session -- "$work/venv/bin/python" -I - "$work" <<'PY'
import os
import subprocess
import sys
import threading

from jeepney import HeaderFields, MessageType, message_bus, new_method_return
from jeepney.io.blocking import open_dbus_connection

told = []
service = open_dbus_connection("SESSION", enable_fds=True)
service.send_and_get_reply(message_bus.RequestName("org.example.Finding"), timeout=10)


def loop():
    while True:
        message = service.receive()
        if message.header.message_type is MessageType.error:
            told.append(message.header.fields[HeaderFields.error_name])
        if message.header.message_type is not MessageType.method_call:
            continue
        if message.header.fields[HeaderFields.member] == "Plain":
            service.send(new_method_return(message))
            continue
        read_end, write_end = os.pipe()
        service.send(new_method_return(message, "h", (read_end,)))
        os.close(read_end)
        os.close(write_end)


threading.Thread(target=loop, daemon=True).start()
client = ["node", f"{sys.argv[1]}/client.js"]
output = subprocess.run(client, capture_output=True, text=True, timeout=60, check=True)
print(output.stdout.rstrip())
print(f"the client's standard error: {output.stderr.strip() or 'nothing'}; the service is told: {told}")
as_described = (
    output.stdout.splitlines() == ["Plain: answered", "Open: nothing within 5 s", "Plain: answered"]
    and not output.stderr.strip()
    and told == ["org.freedesktop.DBus.Error.NotSupported"]
)
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY

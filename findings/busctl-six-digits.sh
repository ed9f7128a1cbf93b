#!/bin/bash
# Seen: busctl (without --json) and dbus-send print a double with six digits: 1234567.891 as 1.23457e+06, 0.1234567 as
#   0.123457. `busctl --json=short` and gdbus print the same reply in full.
# Versions: systemd 252.39-1~deb12u2 (busctl), dbus-bin 1.14.10-1~deb12u1, libglib2.0-bin 2.74.6-2+deb12u8, jeepney 0.9.0.
# Expected: a tool for looking at a bus shows the value that was on it, as it does for 64-bit integers.
# Matters to: whoever reads prices, sums or timestamps of a service by these tools in a script or a bug report: the
#   figure is wrong from the seventh digit on, and nothing says that it was rounded.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for package in dbus-daemon=1.14.10-1~deb12u1 systemd=252.39-1~deb12u2 dbus-bin=1.14.10-1~deb12u1 libglib2.0-bin=2.74.6-2+deb12u8; do
    seen=$(dpkg-query -W -f '${Version}' "${package%%=*}" 2>/dev/null) || { echo "skipped: install ${package%%=*}"; exit 77; }
    [ "$seen" = "${package#*=}" ] || echo "note: seen with $package, here is $seen"
done
python3 -m venv "$work/venv"
timeout 600 "$work/venv/bin/python" -m pip install -q jeepney==0.9.0 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: jeepney==0.9.0 cannot be installed here"; exit 77; }

timeout 60 dbus-run-session -- "$work/venv/bin/python" -I - "$work" <<'PY'
import subprocess
import sys
import threading

from jeepney import MessageType, message_bus, new_method_return
from jeepney.io.blocking import open_dbus_connection


def serve(answer):
    """Own org.example.Finding on the session bus; `answer(message)` gives signature and body of each reply."""
    service = open_dbus_connection("SESSION")
    service.send_and_get_reply(message_bus.RequestName("org.example.Finding"), timeout=10)

    def loop():
        while True:
            message = service.receive()
            if message.header.message_type is MessageType.method_call:
                service.send(new_method_return(message, *answer(message)))

    threading.Thread(target=loop, daemon=True).start()


def run(*command):
    print("$", *command)
    output = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    print(output.rstrip())
    return output


serve(lambda message: ("ddx", (1234567.891, 0.1234567, 1234567891234567891)))
name, path = "org.example.Finding", "/"
short = [
    run("busctl", "--user", "call", name, path, name, "Read"),
    run("dbus-send", "--session", "--print-reply", f"--dest={name}", path, f"{name}.Read"),
]
full = [
    run("busctl", "--user", "--json=short", "call", name, path, name, "Read"),
    run("gdbus", "call", "--session", "--dest", name, "--object-path", path, "--method", f"{name}.Read"),
]
as_described = all("1.23457e+06" in text and "0.123457" in text for text in short) and all(
    "1234567891234567891" in text for text in short + full
)
as_described &= all("1.23457e+06" not in text and ("1234567.891" in text or "1.234567891" in text) for text in full)
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY

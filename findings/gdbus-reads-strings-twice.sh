#!/bin/bash
# Seen: `gdbus call` reads even an argument of type `s` as GVariant text first, and takes it as it stands only if that
#   fails: the second try puts it in quotes and reads it again. So `'word'` and `"word"` lose their quotes, and in plain
#   words a backslash is an escape: `a\d` arrives as `ad`, `a\nb` with a line break. busctl passes all of them as given.
# Versions: libglib2.0-bin 2.74.6-2+deb12u8, systemd 252.39-1~deb12u2 (busctl), jeepney 0.9.0.
# Expected: the method's signature says `s`, the shell has done its own unquoting, so the argument is the string.
# Matters to: scripts that hand text of others (a question, a path, a pattern) to a method: most texts pass unchanged,
#   which hides that some arrive as another text, without an error.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for package in dbus-daemon=1.14.10-1~deb12u1 systemd=252.39-1~deb12u2 libglib2.0-bin=2.74.6-2+deb12u8; do
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


arrived = []
DESCRIPTION = (
    '<node><interface name="org.example.Finding"><method name="Tell"><arg type="s" direction="in"/></method>'
    "</interface></node>"
)


def answer(message):
    if message.body:
        arrived.append(message.body[0])
        return ()
    return ("s", (DESCRIPTION,))


serve(answer)
name = "org.example.Finding"
texts = ["plain words", "'word'", '"word"', r"a\d", r"a\nb", "it's"]
for text in texts:
    run("gdbus", "call", "--session", "--dest", name, "--object-path", "/", "--method", f"{name}.Tell", text)
by_gdbus = arrived.copy()
arrived.clear()
for text in texts:
    run("busctl", "--user", "call", name, "/", name, "Tell", "s", text)
for given, gdbus, busctl in zip(texts, by_gdbus, arrived, strict=True):
    print(f"given {given!r:14} by gdbus {gdbus!r:14} by busctl {busctl!r}")
as_described = by_gdbus == ["plain words", "word", "word", "ad", "a\nb", "it's"] and arrived == texts
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY

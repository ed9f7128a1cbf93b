#!/bin/bash
# Seen: a data source of Plasma's engine `executable` gives a program's output once, when the program has ended. Lines that
#   it wrote and flushed seconds before come with the last one; a program that never ends is never heard.
# Versions: plasma5support 4:6.3.4-1 with Qt 6.8 (Debian 13), 4:6.7.4-1 with Qt 6.11 (Debian testing of October 2026).
# Expected: `onNewData` for each line, or each read, as the engine's sources may change as often as they like.
# Matters to: authors of widgets. Before Plasma 6.4 QML cannot listen to D-Bus signals either, so that following
#   anything needs a child for each change, a timer, or C++.
set -euo pipefail
qml=$(command -v qml6 || ls /usr/lib/qt6/bin/qml 2>/dev/null) || { echo "skipped: install qml-qt6"; exit 77; }
package=qml6-module-org-kde-plasma-plasma5support=4:6.3.4-1
seen=$(dpkg-query -W -f '${Version}' "${package%%=*}" 2>/dev/null) || { echo "skipped: install ${package%%=*}"; exit 77; }
[ "$seen" = "${package#*=}" ] || echo "note: seen with $package, here is $seen"
command -v dbus-run-session >/dev/null || { echo "skipped: install dbus-daemon"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/source.qml" <<'END'
import QtQuick
import org.kde.plasma.plasma5support as Support

Item {
    Support.DataSource {
        engine: "executable"
        connectedSources: ["echo first; sleep 2; echo second"]
        onNewData: (name, data) => {
            console.log("DATA", JSON.stringify(data.stdout), "ended:", data["exit code"] !== undefined);
            if (data["exit code"] !== undefined)
                Qt.exit(0);
        }
    }
}
END
QT_QPA_PLATFORM=offscreen QT_FORCE_STDERR_LOGGING=1 HOME=$work XDG_RUNTIME_DIR=$work \
    timeout 60 dbus-run-session -- "$qml" "$work/source.qml" >"$work/log" 2>&1 || true
grep -o 'DATA.*' "$work/log" || { cat "$work/log"; echo "changed: nothing was heard"; exit 1; }
[ "$(grep -o 'DATA.*' "$work/log")" = 'DATA "first\nsecond\n" ended: true' ] && echo "as described" || { echo changed; exit 1; }

#!/bin/bash
# Seen: of an introspection file with the interfaces `org.example.Thing` and `org.example.Thing.Part` qdbusxml2cpp makes,
#   without a warning and with status 0, a header that no compiler takes: a typedef `Thing` and a namespace `Thing` in one
#   scope. Each interface by itself (its name as a further argument) compiles.
# Versions: qtbase5-dev-tools and qtbase5-dev 5.15.8+dfsg-11+deb12u3, g++ 12.2.0-3, pkg-config 1.8.1-1.
# Expected: a header that compiles, as the names are usual (org.freedesktop.NetworkManager has such ones), or an error.
# Matters to: services that group members below their main interface, and those who generate proxies of an installed
#   interface file in their build.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for package in qtbase5-dev-tools=5.15.8+dfsg-11+deb12u3 qtbase5-dev=5.15.8+dfsg-11+deb12u3 g++=4:12.2.0-3 pkg-config=1.8.1-1; do
    seen=$(dpkg-query -W -f '${Version}' "${package%%=*}" 2>/dev/null) || { echo "skipped: install ${package%%=*}"; exit 77; }
    [ "$seen" = "${package#*=}" ] || echo "note: seen with $package, here is $seen"
done
cd "$work"
cat >file.xml <<'XML'
<node>
  <interface name="org.example.Thing"><method name="One"><arg type="s" direction="out"/></method></interface>
  <interface name="org.example.Thing.Part"><method name="Two"><arg type="s" direction="out"/></method></interface>
</node>
XML

made() { # WHAT INTERFACE…: prints whether the header is made, and whether it compiles
    local what=$1 header=no compiled=no
    shift
    timeout 20 qdbusxml2cpp -p proxy file.xml "$@" >said 2>&1 && header="yes, saying $(wc -c <said) bytes"
    echo '#include "proxy.h"' >try.cpp
    # shellcheck disable=SC2046
    timeout 120 g++ -std=c++17 -fPIC -fsyntax-only $(pkg-config --cflags Qt5DBus) try.cpp 2>errors && compiled=yes
    echo "$what: header: $header; compiles: $compiled"
}

{
    made "both interfaces"
    grep -o -m 1 'error: .*' errors
    made "the first alone" org.example.Thing
    made "the second alone" org.example.Thing.Part
} | tee seen
if diff seen - >/dev/null <<'END'; then
both interfaces: header: yes, saying 0 bytes; compiles: no
error: ‘namespace org::example::Thing { }’ redeclared as different kind of entity
the first alone: header: yes, saying 0 bytes; compiles: yes
the second alone: header: yes, saying 0 bytes; compiles: yes
END
    echo "as described"
else
    echo "changed"
    exit 1
fi

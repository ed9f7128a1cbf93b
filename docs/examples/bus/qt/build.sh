#!/bin/sh
# build.sh [INTERFACE FILE]: makes ./ask. Debian: g++ pkg-config qtbase5-dev qtbase5-dev-tools
set -eu
file=${1:-/usr/share/dbus-1/interfaces/org.cortexlinux.LLMRouter.xml}

# One interface at a time: a header of all three has a type and a namespace of the same name, and does not compile.
qdbusxml2cpp -m -i router_types.h -c Router -p router "$file" org.cortexlinux.LLMRouter
"$(pkg-config --variable=host_bins Qt5Core)/moc" router.h -o router.moc
g++ -std=c++17 -fPIC -Wall -Wextra -o ask ask.cpp router.cpp $(pkg-config --cflags --libs Qt5DBus)

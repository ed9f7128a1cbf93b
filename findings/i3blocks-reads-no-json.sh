#!/bin/bash
# Seen: with `format=json` i3blocks looks for `"key":` and the next quote instead of reading JSON. A blank before the
#   colon loses the key, and with it the whole block; an escaped quote ends the text; `\u00e9` is passed on with its
#   backslash doubled, so that the bar shows the six characters.
# Versions: i3blocks 1.4-4.
# Expected: the three lines are the same kind of JSON as the first, which is shown; some are what encoders write when
#   nobody tells them otherwise.
# Matters to: authors of bar modules that print by a JSON encoder: text with a quotation mark is cut, and text beyond
#   ASCII is unreadable, while their line passes every JSON check.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for package in i3blocks=1.4-4; do
    seen=$(dpkg-query -W -f '${Version}' "${package%%=*}" 2>/dev/null) || { echo "skipped: install ${package%%=*}"; exit 77; }
    [ "$seen" = "${package#*=}" ] || echo "note: seen with $package, here is $seen"
done

cat >"$work/lines" <<'END'
plain {"full_text": "in order"}
blank {"full_text" : "in order"}
quote {"full_text": "say \"hi\" now"}
escape {"full_text": "caf\u00e9"}
END
while read -r name line; do
    printf '%s\n' "$line" >"$work/$name"
    printf '[%s]\ncommand=cat %s/%s\ninterval=once\nformat=json\n' "$name" "$work" "$name"
done <"$work/lines" >"$work/config"

status=0
timeout 5 i3blocks -c "$work/config" </dev/null >"$work/bar" || status=$?
[ "$status" = 124 ] || { echo "changed: i3blocks ended with status $status"; exit 1; }
python3 -I - "$work/bar" <<'PY'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as bar:
    blocks = json.loads(bar.readlines()[-1].lstrip(","))
shown = {block["name"]: block["full_text"] for block in blocks if "name" in block}
print("what the bar is told:", shown)
as_described = shown == {"plain": "in order", "quote": "say \\", "escape": "caf\\u00e9"}
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY

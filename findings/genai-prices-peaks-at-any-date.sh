#!/bin/bash
# Seen: DeepSeek's peak price is charged at its hours on every date: a request of June 2026 at 02:00 UTC costs three
#   times what one at 05:00 costs, although there was one flat price until 2026-08-17; and on Sundays as on Mondays.
# Versions: genai-prices 0.2.3, Python 3.11. Its data names both limits in a comment: a price depends on a date or on
#   an hour, never on both, and on no day of the week.
# Expected: prices are dated, and `calc_price` takes the request's time; so a past request costs what it cost then.
# Matters to: whoever prices an old ledger again, or checks an invoice: seven hours of each day come out wrong, by a
#   factor that looks like a change of use.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
timeout 900 "$work/venv/bin/python" -m pip install -q genai-prices==0.2.3 2>"$work/log" ||
    { cat "$work/log"; echo "skipped: genai-prices==0.2.3 cannot be installed here"; exit 77; }

env -i PATH="$PATH" HOME="$work" timeout 60 "$work/venv/bin/python" -I - <<'PY'
import datetime
import sys

from genai_prices import Usage, calc_price


def price(day, hour):
    when = datetime.datetime.combine(day, datetime.time(hour), datetime.UTC)
    usage = Usage(input_tokens=1_000_000)
    return calc_price(usage, "deepseek-v4-pro", provider_id="deepseek", genai_request_timestamp=when).total_price


days = [datetime.date(2026, 6, 1), datetime.date(2026, 11, 22), datetime.date(2026, 11, 23)]
table = {day: [price(day, hour) for hour in (2, 5, 7, 12)] for day in days}
for day, prices in table.items():
    print(f"{day} {day:%A}: USD a million tokens in, at 02, 05, 07 and 12 UTC: {[str(p.normalize()) for p in prices]}")
june, sunday, monday = table.values()
as_described = june[0] == june[2] == monday[0] and june[1] == june[3] != monday[1] and june[0] > june[1] and sunday == monday
print("as described" if as_described else "changed")
sys.exit(not as_described)
PY

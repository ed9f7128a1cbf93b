"""Whether the books are right: by SQL past cortexd's code, against what vendors billed and callers were answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.fleet.host import Host
from tests.fleet.vendor import INPUT_TOKENS, OUTPUT_TOKENS
from tests.postgresql import Cluster

COST_NANO = INPUT_TOKENS * 1_000 + OUTPUT_TOKENS * 10_000
_DATABASE = "ledger1"
_HIGHEST = """
SELECT coalesce(max(standing), 0) FROM (
  SELECT sum(CASE kind WHEN 'release' THEN -nano ELSE nano END) OVER (ORDER BY seq) AS standing FROM entries
) AS replayed
"""
_ROWS = """
SELECT r.request_id, r.state, r.cost_nano, r.cost_known, count(a.number),
       count(a.number) FILTER (WHERE a.outcome = 'ok')
FROM requests r LEFT JOIN attempts a ON a.request = r.id GROUP BY r.id
"""
_SUMS = """
SELECT (SELECT coalesce(sum(nano) FILTER (WHERE kind IN ('charge', 'adjust')), 0) FROM entries),
       (SELECT coalesce(sum(spent), 0) FROM sums WHERE uid = -1 AND period = ''),
       (SELECT coalesce(sum(reserved), 0) FROM sums WHERE uid = -1 AND period = ''),
       (SELECT coalesce(sum(cost_nano), 0) FROM requests),
       (SELECT coalesce(sum(CASE kind WHEN 'reserve' THEN nano WHEN 'release' THEN -nano ELSE 0 END), 0) FROM entries)
"""
# Beyond so many of a user's day, those that cost nothing stand in daily sums alone (writing/free_rows.py).
_COUNTS = """
SELECT (SELECT count(*) FROM requests WHERE state <> 'pending'), (SELECT coalesce(sum(requests), 0) FROM daily),
       (SELECT coalesce(sum(requests), 0) FROM rollups)
"""


@dataclass(frozen=True, slots=True)
class Row:
    state: str
    cost_nano: int
    known: bool
    attempts: int
    answered: int


@dataclass
class Verdict:
    """`faults`: what is wrong, in words; `figures`: what was seen."""

    faults: list[str]
    figures: dict[str, int | str]


def open_requests(cluster: Cluster) -> list[tuple[object, ...]]:
    """Key, request id, machine, run of its daemon, lease."""
    statement = "SELECT id, request_id, host, instance, lease_until FROM requests WHERE state = 'pending' ORDER BY id"
    return cluster.ask(statement, _DATABASE)


def judge(cluster: Cluster, hosts: Sequence[Host], answered: Mapping[str, str], budget_nano: int) -> Verdict:
    """Of a fleet that is at rest."""
    billed = Counter(line for host in hosts for line in host.bills.read_text().splitlines())
    rows = _rows(cluster)
    book = dict(rows)
    [[highest]] = cluster.ask(_HIGHEST, _DATABASE)
    charged, spent, reserved, costs, held = (int(str(figure)) for figure in cluster.ask(_SUMS, _DATABASE)[0])
    paid = Counter(
        {name: number for line, number in billed.items() for model, name in [line.split()] if model == "paid"}
    )
    kept, folded, settled = (int(str(figure)) for figure in cluster.ask(_COUNTS, _DATABASE)[0])
    faults = [*_twice(rows), *_lost(book, answered, folded), *_against(book, paid, billed)]
    if kept + folded != settled:
        faults.append(f"{kept} requests and {folded} in daily sums are there, and {settled} in the rollups")
    if int(str(highest)) > budget_nano:
        faults.append(f"spent and reserved came to {highest} of {budget_nano} nano-dollars")
    if not charged == spent == costs or reserved or held:
        faults.append(f"entries {charged}, sums {spent}, requests {costs}; {reserved} and {held} are reserved at rest")
    exact = [row for row in book.values() if row.known and row.cost_nano]
    vague = [row for row in book.values() if not row.known]
    if charged != len(exact) * COST_NANO + sum(row.cost_nano for row in vague):
        faults.append("what was charged is not what was billed")
    figures: dict[str, int | str] = {
        "answered": len(answered),
        "billed by vendors": sum(paid.values()),
        "booked exactly": len(exact),
        "booked at their most (cut off, or lost with their daemon)": len(vague),
        "booked as lost": sum(row.state == "lost" for row in book.values()),
        "free and booked": sum(row.answered > 0 and not row.cost_nano for row in book.values()),
        "in daily sums alone": folded,
        "highest spent and reserved, nano-dollars": f"{highest} of {budget_nano}",
    }
    return Verdict(faults, figures)


def _twice(rows: Sequence[tuple[str, Row]]) -> Iterator[str]:
    for name, number in Counter(name for name, _ in rows).items():
        if number > 1:
            yield f"{name} is booked {number} times"


def _lost(book: Mapping[str, Row], answered: Mapping[str, str], folded: int) -> Iterator[str]:
    """Whoever has an answer finds it in the books, at what it cost; so many free ones in daily sums."""
    for name, model in answered.items():
        row = book.get(name)
        if row is None and model == "free" and folded:
            folded -= 1
        elif row is None or row.answered != 1 or row.cost_nano != (COST_NANO if model == "paid" else 0):
            yield f"{name} ({model}) was answered and is booked as {row}"


def _against(book: Mapping[str, Row], paid: Mapping[str, int], billed: Mapping[str, int]) -> Iterator[str]:
    for name, number in paid.items():
        if not _covered(book.get(name), number):
            yield f"{name} was billed {number} times, and is booked as {book.get(name)}"
    for name, row in book.items():
        if row.answered and not (paid.get(name) or billed[f"free {name}"]):
            yield f"{name} is booked as answered, and nobody billed it"


def _rows(cluster: Cluster) -> list[tuple[str, Row]]:
    return [
        (str(name).partition("#")[0], Row(str(state), int(str(cost)), bool(known), int(str(made)), int(str(good))))
        for name, state, cost, known, made, good in cluster.ask(_ROWS, _DATABASE)
        if "#" not in str(name)
    ]


def _covered(row: Row | None, billed: int) -> bool:
    """One that was billed has its cost, or its most where nobody knows how it ended."""
    return row is not None and billed == 1 and (row.cost_nano == COST_NANO if row.known else row.cost_nano >= COST_NANO)

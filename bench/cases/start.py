"""From spawn to the name on the bus, and to the first answer: several starts, the median."""

from __future__ import annotations

import statistics

from bench.figures import Case, Figure, Values
from bench.lab import Lab


def run(lab: Lab) -> Values:
    name_s: list[float] = []
    answer_s: list[float] = []
    cpu_s: list[float] = []
    with lab.upstream() as upstream, lab.ledger_directory() as ledger:
        for _ in range(1 + (3 if lab.quick else 7)):  # the first one also makes the ledger
            with lab.daemon(upstream, ledger) as daemon:
                times = lab.first_answer(daemon)
                cpu_s.append(daemon.cpu_seconds())
                name_s.append((times["name_ns"] - daemon.started_ns) / 1e9)
                answer_s.append((times["answer_ns"] - daemon.started_ns) / 1e9)
    return {
        "start.name_s": statistics.median(name_s[1:]),
        "start.name_min_s": min(name_s[1:]),
        "start.name_max_s": max(name_s[1:]),
        "start.first_answer_s": statistics.median(answer_s[1:]),
        "start.first_cpu_s": statistics.median(cpu_s[1:]),
        "start.fresh_name_s": name_s[0],
        "start.fresh_first_answer_s": answer_s[0],
    }


CASE = Case(
    name="start",
    summary="spawn to name, spawn to first answer",
    figures=(
        Figure("start.name_s", "s", "spawn to the name on the bus, median", at_most=0.6),
        Figure("start.name_min_s", "s", "the fastest of these starts: closest to what a machine at rest shows"),
        Figure("start.name_max_s", "s", "the slowest of these starts"),
        Figure("start.first_answer_s", "s", "spawn to the first answer, asked at the name, median", of_baseline=0.55),
        Figure("start.first_cpu_s", "s", "CPU of the daemon until then, median: a busy machine changes it little"),
        Figure("start.fresh_name_s", "s", "spawn to name on a machine without a ledger, once"),
        Figure("start.fresh_first_answer_s", "s", "spawn to first answer on a machine without a ledger, once"),
    ),
    run=run,
)

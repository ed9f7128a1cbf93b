"""What looking for secrets costs a call: `[privacy] secrets = "redact"` against "off", by the size of the prompt.

The prompts are log lines, settings and code with one token among them, which goes out as a placeholder. There is one
name on the bus, so the daemons are started in turns. One call in flight.
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from pathlib import Path
from random import Random

from bench.figures import Case, Figure, Values
from bench.lab import Lab, Upstream
from bench.processes import CannotMeasure
from bench.samples import Round, Side

SETTINGS = {name: f'[privacy]\nsecrets = "{name}"\n' for name in ("off", "redact")}
SIZES = {"200b": 200, "8k": 8 * 1024, "256k": 256 * 1024}  # characters
ASKED = {"200b": 150, "8k": 150, "256k": 30}  # calls in a round
_LINES = (
    "Nov 29 12:{0:02} host{1} kernel: [{2}.{0:03}] usb 1-{1}: new high-speed USB device number {1} using xhci_hcd",
    "Nov 29 12:{0:02} host{1} sshd[{2}]: Accepted publickey for alice from 192.0.2.{1} port {2} ssh2",
    "    result = fetch(session, timeout={1}, retries={0})  # key by name, see settings.py:{2}",
    "max_connections = {2}  # of host{1}, see the manual of section {0}",
    '{{"id": {2}, "name": "job-{1}", "status": "done", "took_ms": {0}}}',
    "Please say why the service on node {1} restarts every {0} minutes; it began {2} days ago.",
)


def made_prompt(size: int) -> str:
    """So many characters, one token among them."""
    random = Random(size)
    lines = ["GITHUB_TOKEN=ghp_" + "".join(random.choices(string.ascii_letters + string.digits, k=36))]
    length = len(lines[0])
    while length < size:
        line = random.choice(_LINES).format(random.randrange(60), random.randrange(9), random.randrange(9999))
        lines.append(line)
        length += len(line) + 1
    return "\n".join(lines)[:size]


def run(lab: Lab) -> Values:
    prompts = {size: lab.directory / f"prompt-{size}.txt" for size in SIZES}
    for size, file in prompts.items():
        file.write_text(made_prompt(SIZES[size]))
    sides = {(name, size): Side() for name in SETTINGS for size in SIZES}
    with lab.upstream() as upstream, lab.made_ledger(upstream) as ledger:
        for _ in range(2 if lab.quick else 4):
            for name, settings in SETTINGS.items():
                rounds = _rounds(lab, (upstream, ledger, settings), prompts)
                for size, done in rounds:
                    sides[name, size].rounds.append(done)
    return {key: value for size in SIZES for key, value in _values(size, sides["off", size], sides["redact", size])}


def _rounds(lab: Lab, stage: tuple[Upstream, Path, str], prompts: dict[str, Path]) -> Iterator[tuple[str, Round]]:
    upstream, ledger, settings = stage
    with lab.ready_daemon(upstream, ledger, settings=settings) as daemon:
        for size, file in prompts.items():
            lab.calls(daemon, in_flight=1, calls=10, prompt=file)
            done = lab.calls(daemon, in_flight=1, calls=ASKED[size] // (3 if lab.quick else 1), prompt=file)
            if done.failures:
                raise CannotMeasure(f"calls failed: {done.error}\n{daemon.log_end()}")
            yield size, done


def _values(size: str, off: Side, redact: Side) -> Iterator[tuple[str, float]]:
    yield f"privacy.{size}.added_ms_p50", redact.latency_ms(0.5) - off.latency_ms(0.5)
    yield f"privacy.{size}.p50_ratio", redact.latency_ms(0.5) / off.latency_ms(0.5)
    yield f"privacy.{size}.added_cpu_ms", redact.cpu_ms - off.cpu_ms
    yield f"privacy.{size}.off_p50_ms", off.latency_ms(0.5)


def _figures(size: str) -> Iterator[Figure]:
    how = f"prompts of {SIZES[size]} characters"
    yield Figure(
        f"privacy.{size}.added_ms_p50", "ms", f"median latency that redact adds, {how}",
        at_most=1.0 if size == "8k" else None,
    )  # fmt: skip
    yield Figure(f"privacy.{size}.p50_ratio", "×", f"median latency with redact over that without, {how}")
    yield Figure(f"privacy.{size}.added_cpu_ms", "ms", f"the daemon's CPU that redact adds, {how}")
    yield Figure(f"privacy.{size}.off_p50_ms", "ms", f"median latency where nobody looks, {how}")


CASE = Case(
    name="privacy",
    summary="looking for secrets and replacing them against not looking, by the prompt's size",
    figures=tuple(figure for size in SIZES for figure in _figures(size)),
    run=run,
)

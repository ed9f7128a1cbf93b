"""What Prometheus reads: counters of settled requests since this start, and how the service is, in its text format.

Names follow OpenTelemetry's conventions for generative AI where there is one, written as Prometheus writes names.
Nobody's requests can be told apart: no request id, and no user but with `metrics.per_user`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from cortexd import __version__
from cortexd.config.settings import MetricsSettings
from cortexd.ledger import AttemptRecord
from cortexd.requests.events import CostEvent
from cortexd.requests.results import Condition

log = logging.getLogger("cortexd.metrics")

_WRITE_EVERY_S, _WRITE_TIMEOUT_S = 15.0, 5.0
_MAX_MODELS, _MAX_USERS = 200, 1000
_OTHER = "_other"
# seconds, as OpenTelemetry advises for gen_ai.client.operation.duration
_BUCKETS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_OK = "ok"
Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters in memory, and the file that they are written to where `settings` names one.

    At most 200 models and 1,000 users have series of their own; what comes later is counted as "_other".
    """

    def __init__(
        self,
        settings: Callable[[], MetricsSettings],
        condition: Callable[[], Condition],
        every_s: float = _WRITE_EVERY_S,
    ) -> None:
        self._settings = settings
        self._condition = condition
        self._every_s = every_s
        self._requests: Counter[Labels] = Counter()
        self._failures: Counter[Labels] = Counter()
        self._tokens: Counter[Labels] = Counter()
        self._cost_nano: Counter[Labels] = Counter()
        self._user_requests: Counter[str] = Counter()
        self._user_nano: Counter[str] = Counter()
        self._durations: dict[Labels, _Histogram] = {}
        self._models: set[tuple[str, str]] = set()
        self._written: tuple[Path, str] | None = None
        self._complaint = ""

    def settled(self, event: CostEvent) -> None:
        """Count one request and its attempts."""
        if self._settings().textfile is None:
            return
        labels = (("task_type", event.task_type.value), ("provider", event.provider), ("state", event.state))
        self._requests[labels] += 1
        for attempt in event.attempts:
            self._count(attempt)
        if self._settings().per_user:
            uid = str(event.uid)
            if uid not in self._user_requests and len(self._user_requests) >= _MAX_USERS:
                uid = _OTHER
            self._user_requests[uid] += 1
            self._user_nano[uid] += event.settled.cost_nano

    def _count(self, attempt: AttemptRecord) -> None:
        who = self._who(attempt.provider, attempt.model)
        self._durations.setdefault(who, _Histogram()).add(attempt.latency_ms / 1000)
        self._cost_nano[who] += attempt.cost_nano
        if attempt.outcome != _OK:
            self._failures[(("gen_ai_provider_name", attempt.provider), ("error_type", attempt.outcome))] += 1
        if attempt.usage is not None:
            self._tokens[(*who, ("gen_ai_token_type", "input"))] += attempt.usage.input_tokens
            self._tokens[(*who, ("gen_ai_token_type", "output"))] += attempt.usage.output_tokens

    def _who(self, provider: str, model: str) -> Labels:
        """Callers may name any model: only so many have a name here."""
        if (provider, model) not in self._models:
            if len(self._models) >= _MAX_MODELS:
                model = _OTHER
            else:
                self._models.add((provider, model))
        return (("gen_ai_provider_name", provider), ("gen_ai_request_model", model))

    def text(self) -> str:
        """Everything, in Prometheus' text format."""
        now = self._condition()
        up: dict[Labels, int] = {(("provider", name),): int(tried) for name, tried in now.providers.items()}
        ends = {
            (("provider", name), ("replica", str(number))): view
            for name, views in now.replicas.items()
            for number, view in enumerate(views, 1)
        }
        ends_up: dict[Labels, int] = {labels: int(view.share > 0) for labels, view in ends.items()}
        ends_busy: dict[Labels, int] = {labels: view.in_flight for labels, view in ends.items()}
        cost = {labels: _usd(nano) for labels, nano in self._cost_nano.items()}
        user_requests: dict[Labels, int] = {(("uid", uid),): number for uid, number in self._user_requests.items()}
        user_cost: dict[Labels, str] = {(("uid", uid),): _usd(nano) for uid, nano in self._user_nano.items()}
        families = (
            _family("cortexd_build_info", "gauge", "Its version.", {(("version", __version__),): 1}),
            _family("cortexd_active_requests", "gauge", "Requests under way.", {(): now.active_requests}),
            _family("cortexd_queued_requests", "gauge", "Requests waiting.", {(): now.queued_requests}),
            _family("cortexd_ledger_writable", "gauge", "0 while writes fail.", {(): int(now.ledger.writable)}),
            _family("cortexd_ledger_waiting", "gauge", "Kept here to be booked.", {(): now.ledger.waiting}),
            _family("cortexd_provider_up", "gauge", "0 while others are tried first.", up),
            _family("cortexd_replica_up", "gauge", "0 while it is left alone.", ends_up),
            _family("cortexd_replica_in_flight", "gauge", "Calls under way at an endpoint.", ends_busy),
            _family("cortexd_requests_total", "counter", "Settled requests.", self._requests),
            _family("cortexd_attempt_failures_total", "counter", "Attempts without an answer.", self._failures),
            _family("cortexd_cost_usd_total", "counter", "What was booked, in USD.", cost),
            _family("gen_ai_client_token_usage_total", "counter", "Tokens of the attempts.", self._tokens),
            _duration_family(self._durations),
            _family("cortexd_user_requests_total", "counter", "By user.", user_requests),
            _family("cortexd_user_cost_usd_total", "counter", "By user, in USD.", user_cost),
        )
        return "".join(line + "\n" for family in families for line in family)

    async def run(self) -> None:
        """Write the file now and whenever something has changed, until cancelled."""
        while True:
            await self.write()
            await asyncio.sleep(self._every_s)

    async def write(self) -> None:
        """Write the file where one is named and it would be another one. A failure is logged once."""
        file = self._settings().textfile
        if file is None:
            return
        wanted = (file, self.text())
        if wanted == self._written:
            return
        try:
            async with asyncio.timeout(_WRITE_TIMEOUT_S):
                await asyncio.to_thread(_write, *wanted)
        except OSError as error:  # TimeoutError is one
            complaint = f"metrics.textfile: cannot write {file}: {error.strerror or 'the disk does not answer'}"
            if complaint != self._complaint:
                log.warning("%s", complaint)
            self._complaint = complaint
        else:
            self._written, self._complaint = wanted, ""


class _Histogram:
    """How many seconds something took, by bucket."""

    __slots__ = ("_counts", "_sum_s")

    def __init__(self) -> None:
        self._counts = [0] * (len(_BUCKETS_S) + 1)
        self._sum_s = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(_BUCKETS_S, seconds)] += 1
        self._sum_s += seconds

    def lines(self, name: str, labels: Labels) -> Iterator[str]:
        total = 0
        for bound, count in zip((*map(repr, _BUCKETS_S), "+Inf"), self._counts, strict=True):
            total += count
            yield _sample(f"{name}_bucket", (*labels, ("le", bound)), total)
        yield _sample(f"{name}_sum", labels, f"{self._sum_s:.3f}")
        yield _sample(f"{name}_count", labels, total)


def _duration_family(durations: Mapping[Labels, _Histogram]) -> Iterator[str]:
    name = "gen_ai_client_operation_duration_seconds"
    if durations:
        yield from _head(name, "histogram", "How long the attempts took.")
    for labels, histogram in durations.items():
        yield from histogram.lines(name, labels)


def _family(name: str, kind: str, help_text: str, samples: Mapping[Labels, object]) -> Iterator[str]:
    if samples:
        yield from _head(name, kind, help_text)
    for labels, value in samples.items():
        yield _sample(name, labels, value)


def _head(name: str, kind: str, help_text: str) -> Iterable[str]:
    return f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"


def _sample(name: str, labels: Labels, value: object) -> str:
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
    return f"{name}{{{inside}}} {value}" if inside else f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _usd(nano: int) -> str:
    return f"{nano // 10**9}.{nano % 10**9:09d}"


def _write(file: Path, text: str) -> None:
    """All or nothing: a collector never reads half a file."""
    import tempfile  # half a megabyte that only those need who want metrics

    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=f".{file.name}-", delete=False) as stream:
        try:
            stream.write(text)
            stream.flush()
            os.fchmod(stream.fileno(), 0o644)
            os.replace(stream.name, file)
        except BaseException:
            Path(stream.name).unlink(missing_ok=True)
            raise

"""Memory of the daemon: before the first request, after it, and after a load.

Idle is measured as shipped, and with the SDKs' background preload off and on, because that one setting decides where
most of the memory is taken. The ledger is there already, as on any day but the first.
"""

from __future__ import annotations

from pathlib import Path

from bench.figures import Case, Figure, Values
from bench.lab import Lab, Upstream
from bench.processes import CannotMeasure, Child, pss_mb, rss_mb

PRELOAD = "[daemon]\npreload_sdks = {}\n"


def _idle(lab: Lab, upstream: Upstream, ledger: Path, settings: str = "") -> float:
    with lab.ready_daemon(upstream, ledger, settings=settings) as daemon:
        return rss_mb(daemon.pid)


def _load(lab: Lab, daemon: Child, *, in_flight: int, calls: int, task: str = "user_chat") -> None:
    done = lab.calls(daemon, in_flight=in_flight, calls=calls, task=task)
    if done.failures == done.calls:
        raise CannotMeasure(f"every call failed: {done.error}\n{daemon.log_end()}")


def run(lab: Lab) -> Values:
    with lab.upstream() as upstream, lab.ledger_directory() as ledger:
        values = {"rss.idle_fresh_mb": _idle(lab, upstream, ledger)}  # and the ledger is made
        with lab.ready_daemon(upstream, ledger) as daemon:
            values |= _as_shipped(lab, daemon)
        values["rss.idle_lazy_mb"] = _idle(lab, upstream, ledger, PRELOAD.format("false"))
        values["rss.idle_preloaded_mb"] = _idle(lab, upstream, ledger, PRELOAD.format("true"))
    return values


def _as_shipped(lab: Lab, daemon: Child) -> dict[str, float]:
    calls = 1000 if lab.quick else 4000
    values = {"rss.idle_mb": rss_mb(daemon.pid), "rss.idle_pss_mb": pss_mb(daemon.pid)}
    _load(lab, daemon, in_flight=1, calls=1)
    daemon.settle()
    values["rss.first_mb"] = rss_mb(daemon.pid)
    _load(lab, daemon, in_flight=256, calls=calls)
    daemon.settle()
    values |= {"rss.loaded_mb": rss_mb(daemon.pid), "rss.loaded_pss_mb": pss_mb(daemon.pid)}
    _load(lab, daemon, in_flight=256, calls=calls, task="configuration")
    daemon.settle()
    values["rss.loaded_both_mb"] = rss_mb(daemon.pid)
    return values


CASE = Case(
    name="rss",
    summary="the daemon's memory idle and loaded",
    figures=(
        Figure("rss.idle_mb", "MB", "as shipped, at rest, before the first request", at_most=45),
        Figure("rss.idle_pss_mb", "MB", "the same, shared pages counted by share", of_baseline=0.75),
        Figure("rss.idle_fresh_mb", "MB", "idle on the day on which it made its ledger (migrations are in memory)"),
        Figure("rss.idle_lazy_mb", "MB", "idle with preload_sdks = false"),
        Figure("rss.idle_preloaded_mb", "MB", "idle with preload_sdks = true, preload done"),
        Figure("rss.first_mb", "MB", "after the first request (claude)", at_most=130, of_baseline=0.70),
        Figure("rss.loaded_mb", "MB", "after a load at 256 in flight (claude)", at_most=130),
        Figure("rss.loaded_pss_mb", "MB", "the same, shared pages counted by share"),
        Figure("rss.loaded_both_mb", "MB", "after the same load on kimi_k2 as well: both SDKs are in memory"),
    ),
    run=run,
)

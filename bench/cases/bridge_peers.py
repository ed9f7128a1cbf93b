"""The bridge beside LiteLLM's proxy: the same bare client asks both for OpenAI's chat completions, in turns."""

from __future__ import annotations

from dataclasses import replace

from bench import bridges, peers
from bench.figures import Case, Figure, Values
from bench.lab import Lab
from bench.processes import CannotMeasure, pss_mb
from bench.samples import Side

CLIENT = "plain"


def run(lab: Lab) -> Values:
    if lab.peers is None:
        raise CannotMeasure("the peers' environment is not there: script/bench --peers makes it")
    ours, theirs = Side(), Side()
    calls, rounds = (40, 2) if lab.quick else (100, 6)
    with (
        lab.upstream() as upstream,
        lab.made_ledger(upstream) as ledger,
        lab.ready_daemon(upstream, ledger) as daemon,
        bridges.bridge(lab, daemon) as running,
        peers.proxy(lab, lab.peers, upstream) as (proxy, url),
    ):
        peers.first_reply_s(proxy, url)
        with (
            bridges.program(lab, "bench.sdk_worker", running.url, CLIENT) as bridged,
            lab.python_worker("bench.sdk_worker", url, CLIENT) as proxied,
        ):
            for turn in range(1 + rounds):  # the first is the warm-up
                done = running.calls(bridged, CLIENT, 1, calls)
                cpu = proxy.cpu_seconds()
                other = proxied.calls(CLIENT, 1, calls)
                other = replace(other, cpu_s=proxy.cpu_seconds() - cpu)
                if done.failures or other.failures:
                    raise CannotMeasure(f"calls failed: {done.error or other.error}\n{running.bridge.log_end()}")
                if turn:
                    ours.rounds.append(done)
                    theirs.rounds.append(other)
        bridge_mb, proxy_mb = pss_mb(running.bridge.pid), pss_mb(proxy.pid)
    return {
        "bridge.cpu_over_litellm": theirs.cpu_ms / ours.cpu_ms,
        "bridge.p50_over_litellm": theirs.latency_ms(0.5) / ours.latency_ms(0.5),
        "bridge.mb_over_litellm": proxy_mb / bridge_mb,
        "bridge.plain_cpu_ms": ours.cpu_ms,
        "bridge.litellm_cpu_ms": theirs.cpu_ms,
        "bridge.plain_p50_ms": ours.latency_ms(0.5),
        "bridge.litellm_p50_ms": theirs.latency_ms(0.5),
    }


CASE = Case(
    name="bridge_peers",
    summary="the bridge beside LiteLLM's proxy",
    figures=(
        Figure("bridge.cpu_over_litellm", "×", "the proxy's CPU over that of bridge and daemon", at_least=10),
        Figure("bridge.p50_over_litellm", "×", "the proxy's median latency over the bridge's"),
        Figure("bridge.mb_over_litellm", "×", "the proxy's memory over the bridge's"),
        Figure("bridge.plain_cpu_ms", "ms", "CPU of bridge and daemon per request"),
        Figure("bridge.litellm_cpu_ms", "ms", "the proxy's CPU per request"),
        Figure("bridge.plain_p50_ms", "ms", "median latency through the bridge"),
        Figure("bridge.litellm_p50_ms", "ms", "median latency through the proxy"),
    ),
    run=run,
    needs_peers=True,
)

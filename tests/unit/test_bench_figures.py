"""The benchmark's promises: declared figures, targets, tables, the JSON."""

import json
from pathlib import Path

import pytest

from bench import report
from bench.__main__ import find_cases
from bench.figures import BrokenPromise, Case, Figure, keep_promise, refuse_doubles
from bench.samples import Round, Side, percentile, spread_of_added_ms

FAST = Figure("x.fast_ms", "ms", "how long", at_most=2.5)
MANY = Figure("x.many_per_s", "/s", "how many", at_least=1000)
PLAIN = Figure("x.plain", "", "no target")
CASE = Case("x", "an example", (FAST, MANY, PLAIN), lambda _lab: {})


def _round(*latency_ms: float, failures: int = 0, cpu_s: float = 0.0) -> Round:
    calls = len(latency_ms) + failures
    return Round(calls, failures, seconds=1.0, cpu_s=cpu_s, latency_ns=[int(ms * 1e6) for ms in latency_ms])


class TestFigure:
    def test_knows_whether_its_target_is_met(self) -> None:
        """A ceiling and a floor are met on the line; a figure without a target is neither met nor missed."""
        assert (FAST.met_by(2.5), FAST.met_by(2.51)) == (True, False)
        assert (MANY.met_by(1000), MANY.met_by(999)) == (True, False)
        assert PLAIN.met_by(1) is None


class TestPromise:
    def test_a_case_returns_exactly_what_it_declares(self) -> None:
        """Figures come back in the declared order; a missing or an undeclared one is refused by name."""
        values = {"x.plain": 1, "x.many_per_s": 2, "x.fast_ms": 3}
        assert list(keep_promise(CASE, values)) == ["x.fast_ms", "x.many_per_s", "x.plain"]
        with pytest.raises(BrokenPromise, match=r"missing \['x.plain'\]"):
            keep_promise(CASE, {"x.fast_ms": 3, "x.many_per_s": 2})
        with pytest.raises(BrokenPromise, match=r"undeclared \['y'\]"):
            keep_promise(CASE, values | {"y": 1})

    def test_no_figure_belongs_to_two_cases(self) -> None:
        """Two cases with the same figure are refused, as one would overwrite the other."""
        with pytest.raises(BrokenPromise, match=r"x\.fast_ms is declared by x and by other"):
            refuse_doubles([CASE, Case("other", "", (FAST,), CASE.run)])

    def test_the_figures_that_the_first_targets_speak_of_are_declared(self) -> None:
        """Each figure by which First light is judged is promised by a case, with its target where it has one."""
        declared = {figure.name: figure.target for case in find_cases() for figure in case.figures}
        targets = {
            "complete.1.added_ms_p50": 2.5,
            "complete.1.cpu_ms": 4,
            "complete.256.failures": 0,
            "rss.idle_mb": 45,
            "rss.loaded_mb": 130,
            "start.name_s": 0.6,
        }
        assert {name: declared[name] for name in targets} == targets
        assert {"complete.1.sdk_cpu_ms", "complete.32.per_s", "start.first_answer_s"} <= declared.keys()

    def test_the_figures_that_the_whole_bus_api_is_judged_by_are_declared(self) -> None:
        """Streams, the call with everything on, the command line and the peers have their figures and their targets."""
        declared = {figure.name: figure for case in find_cases() for figure in case.figures}
        at_most = {"budgets.on.cpu_added_ms": 1.3, "budgets.on.p50_ms": 3.5, "stream.cpu_ms": 8, "cli.version_ms": 150}
        at_least = {"budgets.on.per_s": 400, "stream.chunks_per_s": 20_000, "peers.proxy.p50_ms_ratio": 7.4}
        assert {name: declared[name].at_most for name in at_most} == at_most
        assert {name: declared[name].at_least for name in at_least} == at_least
        others = {"stream.first_added_ms_p50", "stream.cancel_ms_p50", "batch.per_s_ratio", "budgets.cpu_ratio"}
        assert others | {"polkit.added_ms_p50", "client.import_ms", "peers.router.cpu_ms_ratio"} <= declared.keys()

    def test_the_figures_that_the_bridge_is_judged_by_are_declared(self) -> None:
        """Latency, CPU, memory and a cold start have their targets, and so has LiteLLM's proxy beside it."""
        declared = {figure.name: figure for case in find_cases() for figure in case.figures}
        at_most = {"bridge.added_ms_p50": 3, "bridge.cpu_over_sdk": 2.2, "bridge.raw_stream_cpu_ms": 5}
        at_most |= {"bridge.idle_mb": 30, "bridge.cold_s": 1, "bridge.failures": 0}
        assert {name: declared[name].at_most for name in at_most} == at_most
        assert declared["bridge.cpu_over_litellm"].at_least == 10


class TestReport:
    def test_the_table_shows_figure_target_ratio_and_verdict(self) -> None:
        """A row says what was measured, what was wanted, how far it is from that, and whether it is met."""
        _, fast, many, plain = report.table([CASE], {"x.fast_ms": 5, "x.many_per_s": 4000, "x.plain": 7}).splitlines()
        assert fast.split() == ["x.fast_ms", "5", "ms", "≤", "2.5", "200%", "NO"]
        assert many.split() == ["x.many_per_s", "4000", "/s", "≥", "1000", "400%", "yes"]
        assert plain.split() == ["x.plain", "7"]

    def test_each_target_is_judged_in_words(self) -> None:
        """Met, not met or not measured, with what was wanted; a figure without a target has no line."""
        head, fast, many = report.verdicts([CASE], {"x.fast_ms": 5, "x.plain": 7}).splitlines()
        assert head.startswith("targets")
        assert fast.split(None, 2) == ["NOT", "MET", "x.fast_ms (how long): 5 ms, at most 2.5 ms is wanted"]
        assert many.split(None, 2) == ["not", "measured", "x.many_per_s (how many): at least 1000 /s is wanted"]
        assert "  met  " in report.verdicts([CASE], {"x.many_per_s": 1000}).splitlines()[2]

    def test_the_json_is_one_flat_object(self, tmp_path: Path) -> None:
        """A longer old file is replaced as a whole, in place."""
        file = tmp_path / "figures.json"
        file.write_text("x" * 1000)
        inode = file.stat().st_ino
        report.write_json(file, {"x.fast_ms": 2.5})
        assert json.loads(file.read_text()) == {"x.fast_ms": 2.5}
        assert file.stat().st_ino == inode


class TestSamples:
    def test_percentiles_are_values_that_were_seen(self) -> None:
        """Nearest rank: a percentile is never between two samples."""
        values = [float(n) for n in range(1, 101)]
        assert (percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1)) == (51, 100, 100)
        assert percentile([], 0.5) == 0

    def test_one_disturbed_round_does_not_count(self) -> None:
        """Rate and CPU are medians over rounds; a failed call is an answer less and costs CPU all the same."""
        side = Side([_round(1, 2, cpu_s=0.02), _round(3, failures=1, cpu_s=0.02), _round(9, 9, 9, 9, cpu_s=4)])
        assert (side.per_s, side.cpu_ms, side.failures) == (2, 10, 1)
        assert (side.latency_ms(0.5), side.latency_ms(0.2)) == (9, 2)

    def test_the_spread_of_what_is_added_is_over_rounds(self) -> None:
        """Rounds that added 1 and 3 ms differ by 2 ms."""
        assert spread_of_added_ms(Side([_round(2), _round(5)]), Side([_round(1), _round(2)])) == 2

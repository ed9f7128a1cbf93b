"""The metrics' text and file, from events as the service tells them."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path

import pytest

from cortexd.config.settings import MetricsSettings
from cortexd.domain.messages import Usage
from cortexd.domain.tasks import TaskType
from cortexd.ledger import AttemptRecord, LedgerState, Settled, Totals
from cortexd.requests.events import CostEvent
from cortexd.requests.results import Condition
from cortexd.telemetry.metrics import Metrics
from tests.eventually import assert_eventually_async

CONDITION = Condition(5, 2, 1, LedgerState(True), {"claude": True, "kimi_k2": False})
SAMPLE = re.compile(r'[a-z_]+(\{([a-z_]+="(\\["\\n]|[^"\\\n])*",?)*\})? -?[0-9.]+')


def event(model: str = "m", uid: int = 1000, outcome: str = "ok", cost: int = 2_000_000_001) -> CostEvent:
    usage = Usage(input_tokens=10, output_tokens=3)
    attempt = AttemptRecord("claude", model, outcome, cost, True, usage, 700)
    settled = Settled(cost, True, 0, 0, Totals())
    return CostEvent(uid, "r-secret", TaskType.USER_CHAT, "claude", model, settled, "done", (attempt,), 800)


def metrics(file: Path | None = Path("/nowhere"), per_user: bool = False) -> Metrics:
    return Metrics(lambda: MetricsSettings(file, per_user), lambda: CONDITION, every_s=0.001)


class TestText:
    def test_every_line_is_prometheus_format(self) -> None:
        """Help, type, then samples, whatever a model is called; no family twice."""
        counted = metrics(per_user=True)
        for model in ("m", 'q"uote\\', "two\nlines"):
            counted.settled(event(model, outcome="timeout"))
        lines = counted.text().splitlines()
        assert [line for line in lines if not line.startswith("# ") and not SAMPLE.fullmatch(line)] == []
        types = [line for line in lines if line.startswith("# TYPE")]
        assert len(types) == len(set(types)) == 13

    def test_sums(self) -> None:
        """Requests, tokens, exact dollars and durations add up."""
        counted = metrics()
        counted.settled(event())
        counted.settled(event())
        text = counted.text()
        who = 'gen_ai_provider_name="claude",gen_ai_request_model="m"'
        for line in (
            'cortexd_requests_total{task_type="user_chat",provider="claude",state="done"} 2',
            f"cortexd_cost_usd_total{{{who}}} 4.000000002",
            f'gen_ai_client_token_usage_total{{{who},gen_ai_token_type="input"}} 20',
            f'gen_ai_client_token_usage_total{{{who},gen_ai_token_type="output"}} 6',
            f'gen_ai_client_operation_duration_seconds_bucket{{{who},le="0.64"}} 0',
            f'gen_ai_client_operation_duration_seconds_bucket{{{who},le="1.28"}} 2',
            f'gen_ai_client_operation_duration_seconds_bucket{{{who},le="+Inf"}} 2',
            f"gen_ai_client_operation_duration_seconds_sum{{{who}}} 1.400",
            "cortexd_active_requests 2",
            "cortexd_queued_requests 1",
            'cortexd_provider_up{provider="kimi_k2"} 0',
        ):
            assert f"\n{line}\n" in text

    def test_nobody_is_named(self) -> None:
        """No request id ever; no uid unless the operator wants it."""
        counted = metrics()
        counted.settled(event())
        assert "r-secret" not in counted.text()
        assert "1000" not in counted.text()
        by_user = metrics(per_user=True)
        by_user.settled(event())
        assert '\ncortexd_user_cost_usd_total{uid="1000"} 2.000000001\n' in by_user.text()

    def test_bounded_series(self) -> None:
        """Ever new models and users make no ever new series, and nothing is left uncounted."""
        counted = metrics(per_user=True)
        for number in range(1500):
            counted.settled(event(f"m{number}", uid=number))
        text = counted.text()
        assert len(re.findall(r"^cortexd_cost_usd_total", text, re.MULTILINE)) == 201
        assert 'gen_ai_request_model="_other",gen_ai_token_type="output"} 3900\n' in text
        assert 'cortexd_user_requests_total{uid="_other"} 500\n' in text


class TestFile:
    async def test_written_when_changed(self, tmp_path: Path) -> None:
        """A whole, readable file; written again only where something has changed."""
        file = tmp_path / "cortexd.prom"
        counted = metrics(file)
        running = asyncio.create_task(counted.run())
        await assert_eventually_async(file.exists)
        before = file.stat().st_ino
        await asyncio.sleep(0.05)
        assert file.stat().st_ino == before
        counted.settled(event())
        await assert_eventually_async(lambda: "cortexd_requests_total" in file.read_text())
        running.cancel()
        assert file.stat().st_mode & 0o777 == 0o644
        assert list(tmp_path.iterdir()) == [file]

    async def test_a_failure_is_told_once(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """The log names the setting and the file; the service goes on, and writes once it can."""
        directory = tmp_path / "later"
        counted = metrics(directory / "cortexd.prom")
        with caplog.at_level(logging.WARNING, "cortexd.metrics"):
            await counted.write()
            await counted.write()
        [record] = caplog.records
        file = directory / "cortexd.prom"
        assert record.getMessage() == f"metrics.textfile: cannot write {file}: No such file or directory"
        directory.mkdir()
        await counted.write()
        assert file.exists()

    async def test_off(self) -> None:
        """Without a file nothing is counted and nothing written."""
        counted = metrics(None)
        counted.settled(event())
        await counted.write()
        assert "cortexd_requests_total" not in counted.text()

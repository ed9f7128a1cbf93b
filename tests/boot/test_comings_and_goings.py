"""Users who call while the service leaves and comes back: two hundred idle exits, an upgrade."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from cortexd import __version__
from tests.boot.calls import ask, booked, version
from tests.boot.install import NEWER, install
from tests.boot.load import Load, Upstream, answered, failed
from tests.boot.machine import Machine
from tests.boot.running import exits
from tests.eventually import assert_eventually

# An exit and the start after it take a bit more than half a second; nearly every call comes just then.
_CALLS = int(os.environ.get("CORTEXD_BOOT_EXITS", "230"))
_SOONEST_EXIT_S = 0.25


class TestIdleExits:
    @pytest.mark.slow
    @pytest.mark.timeout(300 + 3 * _CALLS)
    def test_every_call_is_answered(
        self, installed: Machine, settings: Callable[[str], None], record_property: Callable[[str, object], None]
    ) -> None:
        """A user who calls around the moments at which it leaves has an answer each time, and systemd no complaint."""
        version(installed)
        settings(f"[daemon]\nidle_exit_s = {_SOONEST_EXIT_S}\n")
        before = exits(installed)
        calling = Load(installed, "alice", "idle", 1, each=_CALLS, pause_s=_SOONEST_EXIT_S * 1.1, what="properties")
        with calling:
            calling.await_calls(_CALLS, 3.0 * _CALLS)
            outcomes = calling.ended()
        assert failed(outcomes) == []
        assert len(outcomes) == _CALLS
        left = exits(installed) - before
        record_property("idle_exits", left)
        assert left >= _CALLS * 7 // 8
        journal = installed.journal("--unit=cortex-llm-router.service")
        assert "repeated too quickly" not in journal
        assert "Failed with result" not in journal


class TestUpgrade:
    @pytest.mark.timeout(400)
    def test_under_load(self, installed: Machine, newer: Path) -> None:
        """What was asked before is answered, what comes in between is told to come again, and the new one serves."""
        settings = installed.read("/etc/cortexd/config.toml")
        ask(installed)
        upstream = Upstream(installed)
        upstream.reset()
        upstream.behave({"times": 1, "delay_s": 6}, {})
        with ExitStack() as running:
            slow = running.enter_context(Load(installed, "alice", "slow", 1))
            assert_eventually(lambda: upstream.count("active") == 1, 20, "the slow request at the provider")
            calling = running.enter_context(Load(installed, "alice", "up", 4, each=0, pause_s=0.1))
            calling.await_calls(20)
            assert version(installed) == __version__
            install(installed, newer)
            assert version(installed) == NEWER
            calling.await_calls(20)
            outcomes = calling.end()
            assert not failed(slow.ended())

        assert {outcome.error for outcome in failed(outcomes)} <= {"ShuttingDown", "ServiceUnavailable"}
        assert not failed(outcomes[-15:])
        for outcome in failed(outcomes)[:5]:
            again = ("cortexctl", "ask", "--request-id", outcome.prompt)
            assert outcome.prompt in installed.output(*again, user="alice", text=outcome.prompt)
        prompts = [outcome.prompt for outcome in answered(outcomes)]
        assert set(upstream.times_asked(prompts).values()) == {1}
        assert installed.read("/etc/cortexd/config.toml") == settings
        [row] = booked(installed)
        assert row["requests"]["data"] >= len(prompts) + 2
        installed.run("cortexctl", "ledger", "check")

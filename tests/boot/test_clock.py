"""The machine's clock is set while cortexd serves: a month on, days back, from 1970, to another zone.

libfaketime shows the daemon the times; the monotonic clock goes on as it is, as it does where the real clock is set.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.boot.calls import ask, booked_nano
from tests.boot.install import apt
from tests.boot.load import Load, Upstream, failed
from tests.boot.machine import Machine
from tests.boot.running import main_pid
from tests.boot.watching import watching
from tests.eventually import assert_eventually

NOW, NEXT_MONTH, EARLIER, NEVER_SET = "+0", "+32d", "-3d", "@1970-01-01 12:00:00"
_CLOCK = "/run/clock"
_DROP_IN = "/run/systemd/system/cortex-llm-router.service.d/clock.conf"
_SETTINGS = "/etc/cortexd/conf.d/80-budget.toml"
_LOOKS_S = 45  # the daemon looks at the calendar every 30 s
_NANO = 10**9


@pytest.fixture(scope="module")
def machine(installed: Machine) -> Machine:
    """As `installed`, with a daily budget for each user and a clock of cortexd's own, the file _CLOCK."""
    apt(installed, "install", "libfaketime")
    [library] = installed.output("find", "/usr/lib", "-name", "libfaketime.so.1").split()
    set_clock(installed, NOW)
    given = (
        f"LD_PRELOAD={library}",
        f"FAKETIME_TIMESTAMP_FILE={_CLOCK}",
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
    )
    installed.write(_DROP_IN, "[Service]\n" + "".join(f"Environment={item}\n" for item in given))
    installed.write(_SETTINGS, '[budgets.each_user]\nday_usd = "1"\n')
    installed.run("systemctl", "daemon-reload")
    return installed


@pytest.fixture
def served(machine: Machine) -> Iterator[Machine]:
    """A daemon that began at the right time; it is the same one at the end, and its books are right."""
    set_clock(machine, NOW)
    machine.run("systemctl", "restart", "cortex-llm-router.service")
    ask(machine)
    pid = main_pid(machine)
    yield machine
    assert main_pid(machine) == pid
    machine.run("cortexctl", "ledger", "check")


def set_clock(machine: Machine, to: str) -> None:
    machine.write(_CLOCK, f"{to}\n")


def day(machine: Machine) -> dict[str, Any]:
    """alice's budget of the day that the daemon thinks it is."""
    [budget] = json.loads(machine.output("cortexctl", "budget", "--json", user="alice"))
    assert budget["period"] == "day"
    return dict(budget)


def spent_nano(machine: Machine) -> int:
    """Of alice's budget of the day."""
    nano: int = round(day(machine)["spent_usd"] * _NANO)
    return nano


def total_nano(machine: Machine) -> int:
    """All that alice has spent since last week."""
    since = date.today() - timedelta(days=7)
    return booked_nano(machine, since=since.isoformat())


class TestForwards:
    def test_with_requests_under_way(self, served: Machine, upstream: Upstream, tmp_path: Path) -> None:
        """They are answered and count for the day they began in; the new month is told, and its budget is whole."""
        before = spent_nano(served)
        total = total_nano(served)
        upstream.behave({"delay_s": 2.0})
        with watching(served, "alice", tmp_path / "seen") as seen:
            with Load(served, "alice", "forwards", 3) as calling:
                assert_eventually(lambda: upstream.count("active") == 3, 20, "three requests at the provider")
                set_clock(served, NEXT_MONTH)
                outcomes = calling.ended()
            assert not failed(outcomes)
            assert spent_nano(served) == 0
            assert_eventually(lambda: len(seen("period")) == 2, _LOOKS_S, "the new periods")
            assert [event["period"] for event in seen("period")] == ["day", "month"]
        cost = sum(outcome.cost_nano for outcome in outcomes)
        assert total_nano(served) == total + cost
        upstream.behave({})
        ask(served)
        assert 0 < spent_nano(served) == total_nano(served) - total - cost
        set_clock(served, NOW)
        assert spent_nano(served) == before + cost


class TestBackwards:
    def test_with_requests_under_way(self, served: Machine, upstream: Upstream) -> None:
        """They are answered, repeated they are paid once, and nothing that was spent is forgotten."""
        before = spent_nano(served)
        upstream.behave({"delay_s": 2.0})
        with Load(served, "alice", "backwards", 3) as calling:
            assert_eventually(lambda: upstream.count("active") == 3, 20, "three requests at the provider")
            set_clock(served, EARLIER)
            outcomes = calling.ended()
        with Load(served, "alice", "backwards", 3) as calling:
            again = calling.ended()
        assert not failed([*outcomes, *again])
        assert set(upstream.times_asked([outcome.prompt for outcome in outcomes]).values()) == {1}
        upstream.behave({})
        ask(served)
        on_that_day = spent_nano(served)
        assert on_that_day > 0
        set_clock(served, NOW)
        assert spent_nano(served) == before + sum(outcome.cost_nano for outcome in outcomes)
        set_clock(served, EARLIER)
        assert spent_nano(served) == on_that_day
        set_clock(served, NOW)

    def test_over_a_restart(self, machine: Machine) -> None:
        """A daemon that starts days before its ledger's last entry serves and counts on."""
        set_clock(machine, NOW)
        ask(machine)
        set_clock(machine, EARLIER)
        before = spent_nano(machine)
        machine.run("systemctl", "restart", "cortex-llm-router.service")
        ask(machine)
        assert spent_nano(machine) > before
        machine.run("cortexctl", "ledger", "check")


class TestNeverSet:
    def test_until_the_network_says_the_time(self, machine: Machine) -> None:
        """A machine without a battery for its clock begins in 1970; what is asked before the clock is set counts."""
        set_clock(machine, NEVER_SET)
        machine.run("systemctl", "restart", "cortex-llm-router.service")
        ask(machine)
        first = spent_nano(machine)
        assert first > 0
        pid = main_pid(machine)
        set_clock(machine, NOW)
        today = spent_nano(machine)
        ask(machine)
        assert spent_nano(machine) == today + first  # the same question at the same price
        assert main_pid(machine) == pid
        machine.run("cortexctl", "ledger", "check")


class TestZone:
    def test_counts_within_half_a_minute(self, served: Machine) -> None:
        """Days end at the new zone's midnight without a restart."""
        ends = day(served)["resets_at"]
        assert not ends.endswith("+14:00")
        served.run("ln", "-sfn", "/usr/share/zoneinfo/Pacific/Kiritimati", "/etc/localtime")
        assert_eventually(lambda: day(served)["resets_at"].endswith("T00:00:00+14:00"), _LOOKS_S, "its midnight")
        assert ask(served)

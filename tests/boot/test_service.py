"""The service in a booted system: started by the bus, kept alive by systemd, gone when idle, silent about keys."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from cortexd import __version__
from tests.boot.calls import NAME, PATH, ask, booked, call, spent_usd, version
from tests.boot.conftest import Write
from tests.boot.install import CANARY_KEY
from tests.boot.machine import Machine
from tests.boot.running import exits, is_replaced, main_pid
from tests.eventually import assert_eventually

_EXPOSURE_AT_MOST = 1.2
_PROGRAM = """
import sys
import cortexd.client, llm_router
assert not {"anthropic", "msgspec", "sqlalchemy"} & set(sys.modules)
assert "/usr/lib/cortexd/vendor" not in sys.path
router = llm_router.LLMRouter(claude_api_key="sk-nobody")
print(type(router.claude_client).__name__)
"""
_CALLS_AROUND_THE_EXIT = f"""
for i in $(seq 30); do
    busctl --timeout=60 get-property {NAME} {PATH} {NAME} Version || exit 1
    sleep 0.$((240 + 3 * i))
done
"""
_KEY_ELSEWHERE = """
cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | grep --text --only-matching '[s]k-sim-canary'
grep --recursive --text --files-with-matches --no-messages '[s]k-sim-canary' /var /tmp /run/log
true
"""


def is_connected(machine: Machine, command: str) -> bool:
    return command in machine.output("busctl", "list", "--no-legend", "--unique")


class TestActivation:
    def test_first_call_starts_it(self, installed: Machine, record_property: Callable[[str, object], None]) -> None:
        """Nothing runs until a user of group cortex asks; then there is an answer, and it has a price."""
        installed.run("systemctl", "stop", "cortex-llm-router.service")
        began = time.monotonic()
        assert version(installed) == __version__
        record_property("activation_s", round(time.monotonic() - began, 2))
        assert "cgroup" in ask(installed)
        record_property("first_answer_s", round(time.monotonic() - began, 2))
        assert spent_usd(installed) > 0
        assert installed.unit("Result") == "success"

    def test_neither_group_nor_seat(self, installed: Machine) -> None:
        """A user without either, and without an agent to ask for the password, is refused."""
        refused = call(installed, "Ask", "ss", "user_chat", "Hello", user="bob", check=False)
        assert refused.status != 0
        assert "Access denied" in refused.stderr


class TestPrograms:
    def test_debians_python(self, installed: Machine) -> None:
        """/usr/bin/python3 imports the client with Debian's dbus-next alone; the library brings SDKs when needed."""
        assert installed.output("/usr/bin/python3", "-c", _PROGRAM, user="bob") == "Anthropic"

    def test_without_the_callers_python(self, installed: Machine) -> None:
        """What a user's environment says to Python does not reach cortexctl."""
        hostile = {"PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere", "PYTHONSTARTUP": "/nowhere"}
        done = installed.run("cortexctl", "--version", user="bob", environment=hostile)
        assert __version__ in done.stdout


class TestRecovery:
    def test_hang_is_ended(self, installed: Machine, drop_in: Write) -> None:
        """A daemon that no longer turns its event loop is replaced by a new one."""
        drop_in("WatchdogSec=3\nTimeoutAbortSec=1\n")
        pid = main_pid(installed)
        installed.run("kill", "-STOP", str(pid))
        assert_eventually(lambda: is_replaced(installed, pid), 30, "a new daemon")
        assert "Watchdog timeout" in installed.journal("--unit=cortex-llm-router.service")
        assert ask(installed)

    def test_healthy_daemon_stays(self, installed: Machine, drop_in: Write) -> None:
        """Three watchdog periods in a row pass without a restart."""
        drop_in("WatchdogSec=1\n")
        pid, restarts = main_pid(installed), installed.unit("NRestarts")
        fed = {installed.unit("WatchdogTimestampMonotonic")}

        def fed_again() -> bool:
            fed.add(installed.unit("WatchdogTimestampMonotonic"))
            return len(fed) > 6

        assert_eventually(fed_again, 30, "the watchdog's meals")
        assert (main_pid(installed), installed.unit("NRestarts")) == (pid, restarts)

    def test_kill_9(self, installed: Machine) -> None:
        """It comes back by itself, and what was spent is still known."""
        ask(installed)
        before = booked(installed)
        pid = main_pid(installed)
        installed.run("kill", "-KILL", str(pid))
        assert_eventually(lambda: is_replaced(installed, pid), 30, "a new daemon")
        assert booked(installed) == before
        installed.run("cortexctl", "ledger", "check")


class TestIdleExit:
    def test_leaves_and_comes_back(self, installed: Machine, settings: Write) -> None:
        """After idle_exit_s without a caller it leaves with success, and the next call has its answer."""
        version(installed)
        settings("[daemon]\nidle_exit_s = 0.5\n")
        assert_eventually(lambda: installed.unit("ActiveState") == "inactive", 20, "its exit")
        assert installed.unit("Result") == "success"
        assert version(installed) == __version__

    @pytest.mark.timeout(300)
    def test_no_call_fails_at_the_moment_of_leaving(self, installed: Machine, settings: Write) -> None:
        """A caller whose calls come just when it leaves gets an answer each time, and no start limit is reached."""
        version(installed)
        settings("[daemon]\nidle_exit_s = 0.25\n")
        before = exits(installed)
        installed.run("sh", "-c", _CALLS_AROUND_THE_EXIT, timeout=100)
        assert exits(installed) - before >= 5

    def test_stays_for_a_subscriber(self, installed: Machine, settings: Write) -> None:
        """As long as somebody watches costs it does not leave; then it does."""
        version(installed)
        installed.run("systemd-run", "--unit=watcher", "cortexctl", "watch")
        assert_eventually(lambda: is_connected(installed, "cortexctl"), 20, "cortexctl on the bus")
        settings("[daemon]\nidle_exit_s = 1\n")
        pid, ends = main_pid(installed), time.monotonic() + 3
        while time.monotonic() < ends:
            assert main_pid(installed) == pid
        installed.run("systemctl", "stop", "watcher.service")
        assert_eventually(lambda: installed.unit("ActiveState") == "inactive", 20, "its exit")


class TestConfinement:
    def test_exposure(self, installed: Machine) -> None:
        """systemd-analyze finds next to nothing to take away from it."""
        text = installed.output("systemd-analyze", "security", "--no-pager", "cortex-llm-router.service")
        exposure = float(text.split("Overall exposure level for cortex-llm-router.service:")[1].split()[0])
        assert exposure <= _EXPOSURE_AT_MOST, text

    def test_unit_is_right(self, installed: Machine) -> None:
        """systemd-analyze verify has nothing to say about the unit."""
        done = installed.run("systemd-analyze", "verify", "--man=no", "cortex-llm-router.service")
        assert (done.stdout + done.stderr).strip() == ""

    def test_no_core_file(self, installed: Machine) -> None:
        """Keys and prompts in its memory are never written to a disk by a crash."""
        version(installed)
        limits = installed.read(f"/proc/{main_pid(installed)}/limits")
        [core] = [line for line in limits.splitlines() if line.startswith("Max core file size")]
        assert core.split()[4:6] == ["0", "0"]


class TestSecrets:
    def test_key_is_nowhere(self, installed: Machine) -> None:
        """Asked with, it is in no log, no command line, no environment and not in the ledger."""
        ask(installed)
        assert CANARY_KEY in installed.read("/etc/cortexd/credentials/claude")
        assert installed.output("sh", "-c", _KEY_ELSEWHERE) == ""
        assert CANARY_KEY not in installed.journal()

    def test_nobody_else_reads_the_credential(self, installed: Machine) -> None:
        """The file is root's, and what systemd hands to the service is the service's."""
        version(installed)
        for path in ("/etc/cortexd/credentials/claude", "/run/credentials/cortex-llm-router.service/keys_claude"):
            assert installed.run("cat", path, user="alice", check=False).status != 0
        assert installed.read("/run/credentials/cortex-llm-router.service/keys_claude").startswith(CANARY_KEY)

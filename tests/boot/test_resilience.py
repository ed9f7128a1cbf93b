"""What goes wrong on a real machine while users call: a crash, a hang, another bus, a full disk, an upgrade."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.boot.calls import ask, booked_nano, version
from tests.boot.load import Load, Outcome, Upstream, answered, failed
from tests.boot.machine import Machine
from tests.boot.running import is_replaced, main_pid
from tests.boot.watching import Watched, watching
from tests.eventually import assert_eventually

Watch = Callable[[str], Watched]
LEDGER = "/var/lib/cortexd"
LEFT = "cortexd left the bus before it answered"
_FILL = f"dd if=/dev/zero of={LEDGER}/filler bs=4k status=none; ! dd if=/dev/zero of={LEDGER}/more count=1 status=none"


@pytest.fixture(scope="module")
def machine(installed: Machine) -> Machine:
    """As `installed`, with a second user of group cortex, carol, and the SDK in memory."""
    installed.add_user("carol", "cortex")
    ask(installed)
    return installed


@pytest.fixture
def load(machine: Machine) -> Iterator[Callable[..., Load]]:
    """A factory of Load; what still calls at the end of the test is ended."""
    with ExitStack() as running:
        yield lambda *arguments, **options: running.enter_context(Load(machine, *arguments, **options))


@pytest.fixture
def watch(machine: Machine, tmp_path: Path) -> Iterator[Watch]:
    """A factory of watching; it ends with the test."""
    with ExitStack() as running:
        yield lambda user: running.enter_context(watching(machine, user, tmp_path / user))


@pytest.fixture
def small_disk(machine: Machine) -> Iterator[None]:
    """Two megabytes for the ledger, which is a new one until the test ends."""
    machine.run("systemctl", "stop", "cortex-llm-router.service")
    ids = f"uid={machine.output('id', '-u', 'cortexd')},gid={machine.output('id', '-g', 'cortexd')}"
    machine.run("mount", "-t", "tmpfs", "-o", f"size=2m,mode=700,{ids}", "tmpfs", LEDGER)
    yield
    machine.run("systemctl", "stop", "cortex-llm-router.service")
    machine.run("umount", LEDGER)


def check_ledger(machine: Machine) -> None:
    """Every request against its entries, and the totals against all of them."""
    machine.run("cortexctl", "ledger", "check")


class TestKill:
    def test_50_calls_of_two_users(self, machine: Machine, upstream: Upstream, load: Callable[..., Load]) -> None:
        """Each call has its answer or is told that cortexd left; repeated with its id, none is asked or paid twice."""
        before = {user: booked_nano(machine, user) for user in ("alice", "carol")}
        upstream.behave(*({"times": 10, "delay_s": 0.5}, {"delay_s": 30}))
        users = {user: load(user, f"kill-{user}", 25) for user in before}
        assert_eventually(lambda: sum(len(user.outcomes) for user in users.values()) == 10, 30, "ten answers")
        assert_eventually(lambda: upstream.count("active") == 40, 30, "forty requests at the provider")
        pid = main_pid(machine)
        machine.run("kill", "-KILL", str(pid))
        told = {user: calls.ended() for user, calls in users.items()}
        assert_eventually(lambda: is_replaced(machine, pid), 30, "a new daemon")

        everything = [outcome for outcomes in told.values() for outcome in outcomes]
        assert (len(everything), len(answered(everything))) == (50, 10)
        assert {(outcome.error, outcome.text) for outcome in failed(everything)} == {("ServiceUnavailable", LEFT)}
        check_ledger(machine)
        assert "40 requests of an earlier run were settled as lost" in machine.journal(
            "--unit=cortex-llm-router.service"
        )

        upstream.behave({})
        again = {user: load(user, f"kill-{user}", 25).ended() for user in users}
        for user, outcomes in again.items():
            assert {outcome.error for outcome in outcomes} == {"AnswerExpired"}
            first = {outcome.prompt: outcome.cost_nano for outcome in answered(told[user])}
            costs = {outcome.prompt: outcome.cost_nano for outcome in outcomes}
            assert first.items() <= costs.items()
            assert all(costs.values())
            assert booked_nano(machine, user) - before[user] == sum(costs.values())
        assert set(upstream.times_asked([outcome.prompt for outcome in everything]).values()) == {1}


class TestHang:
    def test_shows_where_it_was(self, machine: Machine, drop_in: Callable[[str], None]) -> None:
        """What the watchdog ends leaves the stacks of its threads in the journal, and no core."""
        drop_in("WatchdogSec=2\nTimeoutAbortSec=20\n")
        pid = main_pid(machine)
        machine.run("kill", "-STOP", str(pid))
        assert_eventually(lambda: "Watchdog timeout" in machine.journal("_PID=1"), 30, "the watchdog")
        assert_eventually(lambda: is_replaced(machine, pid), 30, "a new daemon")
        said = machine.journal("--unit=cortex-llm-router.service")
        assert "Fatal Python error: Aborted" in said
        assert "most recent call first" in said
        assert "/cortexd/__main__.py" in said
        assert "core-dump" not in said


class TestBusRestart:
    def test_calls_go_on(self, machine: Machine, upstream: Upstream, load: Callable[..., Load]) -> None:
        """When dbus-daemon is another it comes back by itself; who waited is told so, who calls then is answered."""
        version(machine)
        calling = load("alice", "bus", 4, each=0, pause_s=0.05)
        calling.await_calls(20)
        pid = main_pid(machine)
        machine.run("systemctl", "restart", "dbus.service")
        assert_eventually(lambda: is_replaced(machine, pid), 30, "a new daemon")
        calling.await_calls(20)
        outcomes = calling.end()
        assert {outcome.error for outcome in failed(outcomes)} <= {"ServiceUnavailable"}
        assert not failed(outcomes[-10:])
        assert len(failed(outcomes)) <= 4 * 2
        assert "the bus connection ended" in machine.journal("--unit=cortex-llm-router.service")
        assert ask(machine, user="carol")
        check_ledger(machine)

    def test_comes_back_without_a_caller(self, machine: Machine) -> None:
        """Nobody has to call for it to be there again."""
        version(machine)
        pid = main_pid(machine)
        machine.run("systemctl", "restart", "dbus.service")
        assert_eventually(lambda: is_replaced(machine, pid), 30, "a new daemon")


class TestFullDisk:
    def test_paid_answers_come_all_the_same(
        self, machine: Machine, upstream: Upstream, load: Callable[..., Load], small_disk: None, watch: Watch
    ) -> None:
        """What is paid is delivered, what is new refused; with space again all is booked and told, and it goes on."""
        ask(machine)
        costs = watch("alice")
        upstream.behave({"delay_s": 2})
        paying = load("alice", "paid", 10)
        assert_eventually(lambda: upstream.count("active") == 10, 20, "ten requests at the provider")
        machine.run("sh", "-c", _FILL)
        [refused] = load("alice", "new", 1).ended()
        assert refused.error == "LedgerUnavailable"
        assert refused.text.startswith("the ledger cannot be written: the disk is full")
        paid = paying.ended()
        assert [(outcome.error, outcome.settled) for outcome in paid] == [("", False)] * 10
        assert {outcome.error for outcome in load("carol", "other", 3).ended()} == {"LedgerUnavailable"}
        assert costs("cost") == []
        assert machine.run("cortexctl", "status", check=False).status == 1

        upstream.behave({})
        machine.run("rm", f"{LEDGER}/filler", f"{LEDGER}/more")
        assert_eventually(
            lambda: machine.run("cortexctl", "status", check=False).status == 0, 30, "a ledger that writes"
        )
        assert_eventually(lambda: len(costs("cost")) == 10, 20, "the costs to be told")
        assert {event["request_id"]: event["cost_nano_usd"] for event in costs("cost")} == {
            outcome.prompt: outcome.cost_nano for outcome in paid
        }
        again = load("alice", "paid", 10).ended()
        assert by_prompt(again) == by_prompt(paid)
        assert set(upstream.times_asked([outcome.prompt for outcome in paid]).values()) == {1}
        assert not failed(load("alice", "new", 1).ended())
        journal = machine.journal("--unit=cortex-llm-router.service")
        for said in ("disk is full; new requests are refused", "the ledger can be written again"):
            assert journal.count(said) == 1
        check_ledger(machine)

    def test_start_on_it(self, machine: Machine, small_disk: None) -> None:
        """Where even its start finds no space it tries again, and serves as soon as there is some."""
        machine.run("sh", "-c", _FILL)
        machine.run("systemctl", "start", "cortex-llm-router.service", check=False)
        assert "the ledger cannot be used" in machine.journal("--unit=cortex-llm-router.service")
        machine.run("rm", f"{LEDGER}/filler", f"{LEDGER}/more")
        assert_eventually(lambda: machine.unit("ActiveState") == "active", 30, "a daemon that serves")
        assert ask(machine)
        check_ledger(machine)


def by_prompt(outcomes: list[Outcome]) -> dict[str, tuple[str, int]]:
    """What was answered, and at which cost."""
    return {outcome.prompt: (outcome.answer, outcome.cost_nano) for outcome in answered(outcomes)}

"""A session with the daemon as its users have it: who gets an answer, who is asked, who is refused, how it ends."""

from __future__ import annotations

import signal
from collections.abc import Callable

from simulated import ControlClient
from tests.system.daemon import Daemon, name_owner
from tests.system.namespace import Service
from tests.system.people import Completed
from tests.system.program import NAME

AsUser = Callable[..., Completed]
MakeDaemon = Callable[..., Daemon]
BUS_LOST, BUS_UNAVAILABLE, LEDGER_UNUSABLE, CONFIG_WRONG = 1, 69, 74, 78


def ask(task_type: str, *options: str) -> list[str]:
    call = ["call", NAME, "/org/cortexlinux/LLMRouter", NAME, "Ask", "ss", task_type, "Which kernel is this?"]
    return ["busctl", "--system", *options, *call]


class TestWhoMay:
    def test_group_is_answered(self, daemon: MakeDaemon, as_user: AsUser, simulated: ControlClient) -> None:
        """A member of group cortex gets an answer to a chat, from Claude."""
        daemon()
        done = as_user("alice", ask("user_chat"))
        assert done.stdout.startswith('s "'), done.stderr
        assert (simulated.counts("claude").answered, simulated.counts("kimi_k2").requests) == (1, 0)

    def test_privileged_task_without_asking(
        self, daemon: MakeDaemon, as_user: AsUser, simulated: ControlClient
    ) -> None:
        """A system operation without leave to ask is refused before any provider hears of it."""
        daemon()
        done = as_user("alice", ask("system_operation", "--allow-interactive-authorization=no"))
        assert "authentication" in done.stderr
        assert done.returncode != 0
        assert simulated.counts("kimi_k2").requests == 0

    def test_privileged_task_after_the_right_answer(
        self, daemon: MakeDaemon, as_user: AsUser, simulated: ControlClient
    ) -> None:
        """After an administrator's yes Kimi K2 answers; the prompt named the task type."""
        daemon()
        done = as_user("bob", ask("system_operation"), agent="allow")
        assert done.stdout.startswith('s "'), done.stderr
        assert [asked.message.endswith("(system_operation)") for asked in done.asked] == [True]
        assert simulated.counts("kimi_k2").answered == 1

    def test_privileged_task_after_a_wrong_answer(
        self, daemon: MakeDaemon, as_user: AsUser, simulated: ControlClient
    ) -> None:
        """After a wrong answer it is refused, and no provider hears of it."""
        daemon()
        done = as_user("bob", ask("system_operation"), agent="refuse")
        assert "Access denied" in done.stderr
        assert simulated.counts("kimi_k2").requests == 0


class TestLife:
    def test_stops_when_told(self, daemon: MakeDaemon) -> None:
        """SIGTERM ends it with status 0, and its name is free."""
        running = daemon()
        assert running.stop() == 0
        assert name_owner() is None

    def test_survives_kill(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """After kill -9 it starts again on the same ledger and answers."""
        running = daemon()
        running.kill()
        assert running.exit_status == -signal.SIGKILL
        running.start()
        assert as_user("alice", ask("user_chat")).returncode == 0

    def test_second_daemon(self, daemon: MakeDaemon) -> None:
        """A second daemon does not get the name of the first, and leaves."""
        first = daemon()
        second = daemon(start=False)
        second.start(wait=False)
        assert second.await_end() == BUS_UNAVAILABLE
        assert name_owner() == first.pid

    def test_second_daemon_on_one_ledger(self, daemon: MakeDaemon) -> None:
        """A second daemon on the ledger of the first is refused at its lock."""
        first = daemon()
        second = daemon(config=f'[ledger]\npath = "{first.ledger_file}"\n', start=False)
        second.start(wait=False)
        assert second.await_end() == LEDGER_UNUSABLE

    def test_bus_restart(self, daemon: MakeDaemon, bus: Service) -> None:
        """When the bus goes, it leaves at once with a status that has systemd start it again."""
        running = daemon()
        bus.restart()
        assert running.await_end(5) == BUS_LOST

    def test_wrong_configuration(self, daemon: MakeDaemon) -> None:
        """A misspelt setting stops it at the start, named with its file."""
        running = daemon(config="[limits]\nmax_promt_bytes = 1\n", start=False)
        running.start(wait=False)
        assert running.await_end() == CONFIG_WRONG
        assert "conf.d/50-test.toml: limits.max_promt_bytes" in running.log()

    def test_without_keys(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """Without any key it starts, and a request is told which key to set."""
        daemon(keys={})
        assert "ANTHROPIC_API_KEY" in as_user("alice", ask("user_chat")).stderr

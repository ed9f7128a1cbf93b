"""Who may: real users, the real polkitd, the shell commands that people type."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from cortexd.errors import Denial
from simulated import Behaviour, ControlClient
from tests.eventually import assert_eventually
from tests.system.calls import ask, ask_again, details_of, gdbus_ask, without_asking
from tests.system.daemon import Daemon
from tests.system.namespace import Service, needs_setuid
from tests.system.people import Background, Completed
from tests.system.terminal import at_terminal

AsUser = Callable[..., Completed]
MakeDaemon = Callable[..., Daemon]
COMPLETE, OPERATE = "org.cortexlinux.LLMRouter.complete", "org.cortexlinux.LLMRouter.system-operation"
QUICK = "[authorization]\npolkit_timeout_s = 1.0\ninteractive_timeout_s = 2.0\n"


class TestOrdinaryTasks:
    def test_group_cortex_is_let_through(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """alice is in the group; no seat, no password needed."""
        daemon()
        done = as_user("alice", ask("user_chat"))
        assert (done.returncode, done.stdout) == (0, 's "[claude-sonnet-5-5] You said: hello"\n'), done.stderr

    def test_without_group_and_seat_the_answer_says_what_helps(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """bob is told that a password, or the group, would help; nothing was sent to a provider."""
        daemon()
        done = as_user("bob", without_asking("user_chat"))
        assert done.returncode != 0
        assert details_of(done.stderr) == {"action": COMPLETE, "cause": Denial.NOT_ASKED}
        assert "group 'cortex'" in done.stderr

    def test_with_ones_own_password(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """bob may, once an agent has asked bob (and not an administrator) for a password."""
        daemon()
        done = as_user("bob", ask("user_chat"), agent="allow")
        assert done.returncode == 0, done.stderr
        [asked] = done.asked
        assert asked.action_id == "org.cortexlinux.LLMRouter.complete"
        assert len(asked.uids) == 1

    def test_refused_requests_reach_no_provider(
        self, daemon: MakeDaemon, as_user: AsUser, simulated: ControlClient
    ) -> None:
        """What polkit stops costs nothing."""
        daemon()
        as_user("bob", without_asking("user_chat"))
        as_user("alice", without_asking("system_operation"))
        assert not simulated.received("claude")
        assert not simulated.received("kimi_k2")


class TestPrivilegedTasks:
    def test_root_is_allowed(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """And Kimi K2 answers."""
        daemon()
        done = as_user("root", ask("system_operation"))
        assert (done.returncode, done.stdout) == (0, 's "[kimi-k2.6] You said: hello"\n'), done.stderr

    def test_the_group_alone_is_not_enough(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """Without the interactive flag: InteractiveAuthorizationRequired."""
        daemon()
        for task in ("system_operation", "tool_execution"):
            done = as_user("alice", without_asking(task))
            assert done.returncode != 0
            assert details_of(done.stderr) == {"action": OPERATE, "cause": Denial.NOT_ASKED}

    def test_an_administrators_password_opens_it(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """The prompt shows our fixed words and the task type, and administrators may answer it."""
        daemon()
        done = as_user("alice", ask("system_operation", "rm -rf <b>prompt</b>"), agent="allow")
        assert done.returncode == 0, done.stderr
        [asked] = done.asked
        assert asked.message.endswith("to operate this system (system_operation)")
        assert "prompt" not in f"{asked.message}{asked.details}"

    def test_each_request_is_asked_for(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """A privileged yes is not remembered: two calls, two prompts."""
        daemon()
        done = as_user("alice", ask_again("system_operation", "system_operation"), agent="allow")
        assert done.returncode == 0, done.stderr
        assert len(done.asked) == 2

    def test_a_wrong_password_is_refused_as_such(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """AccessDenied says that the authentication failed."""
        daemon()
        done = as_user("alice", gdbus_ask("system_operation"), agent="refuse")
        assert done.returncode != 0
        assert details_of(done.stderr) == {"action": OPERATE, "cause": Denial.NOT_AUTHENTICATED}

    def test_a_dismissed_prompt_is_refused_as_such(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """AccessDenied says that it was dismissed."""
        daemon()
        done = as_user("alice", gdbus_ask("system_operation"), agent="dismiss")
        assert details_of(done.stderr) == {"action": OPERATE, "cause": Denial.DISMISSED}

    def test_no_agent(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """With the flag but without an agent: AccessDenied at once, naming the lack."""
        daemon()
        done = as_user("alice", gdbus_ask("system_operation"))
        assert done.returncode != 0
        assert details_of(done.stderr) == {"action": OPERATE, "cause": Denial.NO_AGENT}

    def test_nobody_answers_the_prompt(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """A person who has left the room: refused when the time is over."""
        daemon(QUICK)
        done = as_user("alice", gdbus_ask("system_operation"), agent="wait")
        assert details_of(done.stderr) == {"action": OPERATE, "cause": Denial.UNANSWERED}

    def test_the_operator_can_raise_a_task_type(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """configuration, privileged by config, needs the administrator too."""
        daemon('[authorization]\nprivileged_task_types = ["configuration"]\n')
        assert details_of(as_user("alice", without_asking("configuration")).stderr)["action"] == OPERATE
        assert as_user("alice", without_asking("user_chat")).returncode == 0

    @needs_setuid
    def test_a_real_password_at_a_real_terminal(self, daemon: MakeDaemon) -> None:
        """cortexctl spawns pkttyagent; carol, an administrator, types the password. A wrong one is refused."""
        daemon()
        argv = [".venv/bin/python", "-m", "cortexd.cli", "ask", "--task", "system_operation", "hello"]
        status, screen = at_terminal("carol", argv)
        assert status == 0, screen
        assert "[kimi-k2.6] You said: hello" in screen
        status, screen = at_terminal("carol", argv, password="wrong")
        assert status == 3, screen
        assert "failed" in screen


class TestWithoutPolkit:
    def test_a_stopped_polkitd_refuses_within_the_timeout(
        self, daemon: MakeDaemon, as_user: AsUser, polkitd: Service
    ) -> None:
        """Silence is a no, also for the group."""
        daemon(QUICK)
        polkitd.pause()
        done = as_user("alice", gdbus_ask("user_chat"))
        assert done.returncode != 0
        assert details_of(done.stderr) == {"action": COMPLETE, "cause": Denial.POLKIT_SILENT}

    def test_a_polkitd_that_hears_nothing_does_not_serve(self, polkitd: Service) -> None:
        """Though it has its name: whatever follows a test that stopped it waits for an answer."""
        assert_eventually(polkitd.serves)  # each look has five seconds, which a busy machine may need more than once
        polkitd.pause()
        assert not polkitd.serves()
        polkitd.resume()
        polkitd.restore()
        assert_eventually(polkitd.serves)
        polkitd.restart()
        assert_eventually(polkitd.serves)

    def test_without_any_polkitd_only_root(self, daemon: MakeDaemon, as_user: AsUser, polkitd: Service) -> None:
        """No polkit on the bus: root works, everybody else is refused with the reason."""
        daemon()
        polkitd.kill()
        assert as_user("root", ask("system_operation")).returncode == 0
        done = as_user("alice", gdbus_ask("user_chat"))
        assert details_of(done.stderr) == {"action": COMPLETE, "cause": Denial.POLKIT_ABSENT}

    def test_polkitd_ends_while_it_is_asked(
        self, daemon: MakeDaemon, as_user: AsUser, background: Callable[..., Background], polkitd: Service
    ) -> None:
        """What it left unanswered is asked again; with nobody there it is root only, as ever."""
        daemon()
        polkitd.pause()
        caller = background("root", ask("system_operation"))
        assert_eventually(lambda: str(caller.process.pid) in as_user("root", ["busctl", "--system", "list"]).stdout)
        polkitd.kill()
        assert caller.process.wait(30) == 0, caller.output()
        assert "[kimi-k2.6]" in caller.output()

    def test_a_changed_rule_counts_at_once(self, daemon: MakeDaemon, as_user: AsUser, polkitd: Service) -> None:
        """What polkit allowed before is not remembered for a new connection once polkit refuses."""
        daemon(QUICK)
        assert as_user("alice", ask("user_chat")).returncode == 0
        polkitd.pause()
        assert as_user("alice", ask("user_chat")).returncode != 0


FLOOD = """
import asyncio, sys
from dbus_next import Message
from cortexd.connection import Connection, system_address

async def main():
    connections = [await Connection.open(system_address()) for _ in range(5)]
    def ask(connection, number):
        return connection.call(Message(
            destination="org.cortexlinux.LLMRouter", path="/org/cortexlinux/LLMRouter",
            interface="org.cortexlinux.LLMRouter", member="Ask", signature="ss", body=["user_chat", str(number)],
        ), timeout_s=60)
    replies = await asyncio.gather(*(ask(connections[n % 5], n) for n in range(500)))
    assert [r.body[0] for r in replies] == [f"[claude-sonnet-5-5] You said: {n}" for n in range(500)]
    print("all answered")

asyncio.run(main())
"""


class TestManyAtOnce:
    def test_500_ordinary_calls_with_a_slow_polkitd(
        self, daemon: MakeDaemon, as_user: AsUser, polkitd: Service
    ) -> None:
        """All are answered, none is dropped by the bus's limit of 128 pending calls, and polkit is asked little."""
        daemon()
        polkitd.pause()
        flood = subprocess.Popen(
            ["setpriv", "--reuid=alice", "--regid=alice", "--init-groups", ".venv/bin/python", "-c", FLOOD],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            time.sleep(1.5)  # polkit's own slowness, not synchronisation: it answers nobody for this long
            polkitd.resume()
            output, errors = flood.communicate(timeout=60)
        finally:
            flood.kill()
        assert output == "all answered\n", errors


class TestSlowAnswers:
    def test_a_slow_answer_delays_nobody_else(
        self, daemon: MakeDaemon, as_user: AsUser, simulated: ControlClient, background: Callable[..., object]
    ) -> None:
        """While one provider thinks, another user is answered."""
        daemon()
        simulated.behave("claude", Behaviour(times=1, delay_s=20))
        background("root", ask("user_chat"))
        deadline = time.monotonic() + 10
        while not simulated.received("claude") and time.monotonic() < deadline:
            time.sleep(0.02)
        began = time.monotonic()
        assert as_user("alice", ask("user_chat")).returncode == 0
        assert time.monotonic() - began < 15, "it waited for the slow one"

"""cortexctl where polkit decides: who is asked for a password, where, and what happens when nobody can be."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import subprocess
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from simulated import ControlClient
from tests.eventually import assert_eventually
from tests.system.daemon import Daemon
from tests.system.namespace import PYTHON, needs_setuid
from tests.system.people import Completed
from tests.system.terminal import PASSWORD, at_terminal, switch_user, user_environment

AsUser = Callable[..., Completed]
MakeDaemon = Callable[..., Daemon]
DENIED, NO_DAEMON, INTERRUPTED = 3, 4, 130
PRIVILEGED = ["--task", "system_operation", "Install", "nginx"]


def cortexctl(*words: str) -> list[str]:
    return [PYTHON, "-m", "cortexd.cli", *words]


def agents() -> list[int]:
    """Every pkttyagent that runs."""
    found = subprocess.run(["pgrep", "-x", "pkttyagent"], capture_output=True, text=True, check=False).stdout
    return [int(pid) for pid in found.split()]


class TestOrdinaryTasks:
    def test_group_is_answered(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """A member of group cortex gets an answer on the system bus, which is the default."""
        daemon()
        done = as_user("alice", cortexctl("ask", "hello"))
        assert (done.returncode, done.stdout, done.stderr) == (0, "[claude-sonnet-5-5] You said: hello\n", "")

    def test_each_sees_the_own_costs(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """usage counts the caller's own requests alone."""
        daemon()
        as_user("alice", cortexctl("ask", "hello"))
        counted = {
            name: as_user(name, cortexctl("usage")).stdout.splitlines()[-1].split()[1] for name in ("alice", "bob")
        }
        assert counted == {"alice": "1", "bob": "0"}

    def test_no_daemon(self, as_user: AsUser) -> None:
        """Without a daemon it says how to start it."""
        done = as_user("alice", cortexctl("ask", "hello"))
        assert (done.returncode, done.stdout) == (NO_DAEMON, "")
        assert done.stderr == (
            "cortexctl: cortexd is not running on the system bus. Start it with systemctl start cortex-llm-router\n"
        )


class TestPrivilegedTasks:
    def test_root_is_not_asked(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """root may."""
        daemon()
        assert as_user("root", cortexctl("ask", *PRIVILEGED)).stdout.startswith("[kimi-k2.6]")

    def test_nobody_to_ask(self, daemon: MakeDaemon, as_user: AsUser, simulated: ControlClient) -> None:
        """Without a terminal it is refused in words, no provider hears of it, and no agent is started."""
        daemon()
        done = as_user("carol", cortexctl("ask", *PRIVILEGED))
        assert (done.returncode, done.stdout) == (DENIED, "")
        assert done.stderr == (
            "cortexctl: org.cortexlinux.LLMRouter.system-operation needs authentication, but there is no terminal to "
            "ask for a password at; run it at a terminal or as root, or let an administrator allow it\n"
        )
        assert simulated.counts("kimi_k2").requests == 0
        assert agents() == []

    @needs_setuid
    def test_right_password(self, daemon: MakeDaemon) -> None:
        """At a terminal an administrator types the password and gets the answer; the agent is gone afterwards."""
        daemon()
        status, screen = at_terminal("carol", cortexctl("ask", *PRIVILEGED))
        assert status == 0, screen
        assert "[kimi-k2.6] You said: Install nginx" in screen
        assert PASSWORD not in screen
        assert agents() == []

    @needs_setuid
    def test_batch_goes_on(self, daemon: MakeDaemon) -> None:
        """A batch that needs a password asks for it and goes on where it was: one answer per line, in order."""
        daemon()
        lines = [json.dumps({"prompt": word, "task_type": "system_operation"}) for word in ("one", "two")]
        piped = f"printf '%s\\n' '{lines[0]}' '{lines[1]}' | {shlex.join(cortexctl('batch', '--parallel', '1'))} | cat"
        status, screen = at_terminal("carol", ["bash", "-o", "pipefail", "-c", piped])
        answers = [json.loads(line[line.index("{") :])["content"] for line in screen.splitlines() if '{"line"' in line]
        assert (status, answers) == (0, ["[kimi-k2.6] You said: one", "[kimi-k2.6] You said: two"]), screen
        assert "━" not in screen  # no progress bar over a prompt
        assert agents() == []

    @needs_setuid
    def test_wrong_password(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """After a wrong password it is refused, and no provider hears of it."""
        daemon()
        status, screen = at_terminal("carol", cortexctl("ask", *PRIVILEGED), password="wrong")
        assert status == DENIED, screen
        assert "cortexctl: the authentication for org.cortexlinux.LLMRouter.system-operation failed" in screen
        assert simulated.counts("kimi_k2").requests == 0
        assert agents() == []

    def test_nobody_is_asked_for_an_ordinary_task(self, daemon: MakeDaemon) -> None:
        """What polkit allows without asking starts no agent: the first thing on the screen is the answer."""
        daemon()
        status, screen = at_terminal("alice", cortexctl("ask", "hello"))
        assert (status, screen.splitlines()[0]) == (0, "[claude-sonnet-5-5] You said: hello")

    @needs_setuid
    def test_interrupted_at_the_prompt(self, daemon: MakeDaemon) -> None:
        """Ctrl-C at the password prompt ends everything, and the terminal echoes again."""
        daemon()
        with prompted() as (pid, screen):
            screen.write(b"\x03")
            _, status = os.waitpid(pid, 0)
            assert os.waitstatus_to_exitcode(status) == INTERRUPTED
            assert _echoes(screen.fileno())
        assert agents() == []

    @needs_setuid
    def test_killed_at_the_prompt(self, daemon: MakeDaemon) -> None:
        """kill -9 at the password prompt leaves no agent behind."""
        daemon()
        with prompted() as (pid, _):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            assert_eventually(lambda: not agents(), message="the agent to end")


@contextmanager
def prompted() -> Iterator[tuple[int, IO[bytes]]]:
    """cortexctl, which has just asked carol for a password, and her terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        argv = switch_user("carol", cortexctl("ask", *PRIVILEGED))
        os.execvpe(argv[0], argv, user_environment("carol"))
    with open(terminal, "r+b", buffering=0) as screen:
        assert_eventually(lambda: agents() and not _echoes(screen.fileno()), 30, "the prompt")
        yield pid, screen


def _echoes(terminal: int) -> bool:
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)

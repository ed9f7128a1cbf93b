"""Who is asked for which password, what they are told where they may not, and what stays of what they asked."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.boot.calls import NAME, call
from tests.boot.install import CANARY_KEY
from tests.boot.load import Upstream
from tests.boot.machine import Completed, Machine
from tests.boot.running import is_replaced, main_pid
from tests.boot.terminal import at_terminal, logged_in
from tests.eventually import assert_eventually

DENIED = 3
PASSWORDS = {"bob": "bobs-own", "carol": "carols-own"}
COMPLETE, SYSTEM_OPERATION = f"{NAME}.complete", f"{NAME}.system-operation"
PROMPT = "canary-prompt-Yx51kQ"
_FILE_OF_PROMPT, _CANARIES = "/srv/prompt", "/root/canaries"
_ASK = ("cortexctl", "ask", "Hello")
_ANSWER = "You said: Hello"
_SYSTEM_OPERATION = ("cortexctl", "ask", "--task", "system_operation", "Install nginx")
_WITHOUT_AGENT = """
from cortexd.client import Client
from cortexd.errors import CortexError
with Client(interactive=True) as client:
    try:
        print(client.complete("user_chat", "Hello").content)
    except CortexError as error:
        print(type(error).__name__, error)
"""
# Everything that root can read of other processes, and every file but the keys' own.
_SEARCH = f"""
for process in /proc/[0-9]*; do
    for file in cmdline environ; do
        grep --text --quiet --no-messages --file={_CANARIES} $process/$file && echo $process/$file
    done
done
grep --recursive --text --files-with-matches --no-messages --file={_CANARIES} /etc /run /tmp /var |
    grep --invert-match --extended-regexp '^/(etc/cortexd/credentials|run/credentials/cortex-llm-router.service)/'
journalctl --sync
journalctl --output=export | grep --text --file={_CANARIES}
true
"""


@pytest.fixture(scope="module")
def machine(installed: Machine) -> Machine:
    """As `installed`, with an administrator, carol, and passwords for her and bob."""
    installed.add_user("carol", "sudo")
    installed.run("chpasswd", text="".join(f"{user}:{password}\n" for user, password in PASSWORDS.items()))
    installed.write(_CANARIES, f"{CANARY_KEY}\n{PROMPT}\n")
    installed.write(_FILE_OF_PROMPT, PROMPT)
    return installed


@contextmanager
def without_polkit(machine: Machine) -> Iterator[None]:
    """polkitd is stopped, and the bus cannot start it again."""
    machine.run("systemctl", "mask", "--runtime", "--now", "polkit.service")
    try:
        yield
    finally:
        machine.run("systemctl", "unmask", "--runtime", "polkit.service")
        machine.run("systemctl", "start", "polkit.service")


@contextmanager
def hanging_polkit(machine: Machine) -> Iterator[None]:
    pid = machine.unit("MainPID", "polkit.service")
    machine.run("kill", "-STOP", pid)
    try:
        yield
    finally:
        machine.run("kill", "-CONT", pid)


def ask_as(machine: Machine, user: str) -> Completed:
    return machine.run(*_ASK, user=user, check=False)


class TestOwnPassword:
    def test_right(self, machine: Machine) -> None:
        """With neither group nor seat bob types his own password, and has his answer."""
        status, screen = at_terminal(machine, "bob", *_ASK, password=PASSWORDS["bob"])
        assert (status, "Authenticating as: bob" in screen, _ANSWER in screen) == (0, True, True), screen

    def test_right_over_ssh(self, machine: Machine) -> None:
        """The same in a login session, where the session's own agent would go first."""
        status, screen = logged_in(machine, "bob", "cortexctl ask Hello", PASSWORDS["bob"])
        assert (status, "Authenticating as: bob" in screen, _ANSWER in screen) == (0, True, True), screen

    def test_wrong(self, machine: Machine, upstream: Upstream) -> None:
        """A wrong password is refused, and no provider hears of the request."""
        status, screen = at_terminal(machine, "bob", *_ASK, password="a guess")
        assert status == DENIED, screen
        assert f"cortexctl: the authentication for {COMPLETE} failed" in screen
        assert upstream.count("requests") == 0


class TestAdministratorsPassword:
    def test_right(self, machine: Machine) -> None:
        """A system operation is carol's to allow, who administers the machine."""
        status, screen = at_terminal(machine, "bob", *_SYSTEM_OPERATION, password=PASSWORDS["carol"])
        assert status == 0, screen
        assert "Authenticating as: carol" in screen
        assert "to operate this system (system_operation)" in screen
        assert "You said: Install nginx" in screen

    def test_own_does_not_do(self, machine: Machine) -> None:
        """bob's own password does not allow it, and neither does alice's group."""
        status, screen = at_terminal(machine, "bob", *_SYSTEM_OPERATION, password=PASSWORDS["bob"])
        assert status == DENIED, screen
        assert f"cortexctl: the authentication for {SYSTEM_OPERATION} failed" in screen
        refused = machine.run(*_SYSTEM_OPERATION, user="alice", check=False)
        assert (refused.status, refused.stdout) == (DENIED, "")


class TestNobodyToAsk:
    def test_no_terminal(self, machine: Machine) -> None:
        """Without a terminal, as from cron, cortexctl says that there is none."""
        refused = ask_as(machine, "bob")
        assert refused.status == DENIED
        assert f"{COMPLETE} needs authentication, but there is no terminal to ask for a password at" in refused.stderr

    def test_no_agent(self, machine: Machine) -> None:
        """A program that lets polkit ask learns that no agent runs, and how to get in without one."""
        said = machine.output("/usr/bin/python3", "-c", _WITHOUT_AGENT, user="bob")
        assert said.startswith(f"AccessDenied {COMPLETE} needs authentication, and no authentication agent is running")
        assert "group 'cortex'" in said


class TestWithoutPolkit:
    def test_stopped(self, machine: Machine) -> None:
        """If polkitd is unavailable, only root is served; once it is back, its users are."""
        with without_polkit(machine):
            refused, served = ask_as(machine, "alice"), ask_as(machine, "root")
        assert refused.status == DENIED
        assert f"polkit is not running, so {COMPLETE} is refused to everybody but root" in refused.stderr
        assert served.status == 0
        assert ask_as(machine, "alice").status == 0

    def test_silent(self, machine: Machine, settings: Callable[[str], None]) -> None:
        """A polkitd that hangs is waited for so long and no longer, and silence is a no."""
        settings("[authorization]\npolkit_timeout_s = 1.0\n")
        with hanging_polkit(machine):
            refused = ask_as(machine, "alice")
        assert refused.status == DENIED
        assert f"polkit did not answer within 1 s, so {COMPLETE} is refused" in refused.stderr


class TestSecrets:
    def test_nothing_stays(self, machine: Machine, upstream: Upstream) -> None:
        """After answers, refusals, a provider that echoes what it got, and a crash, key and prompt are nowhere."""
        machine.run("cortexctl", "ask", user="alice", text=PROMPT)
        with_argument = ("bash", "-c", f'cortexctl ask "$(cat {_FILE_OF_PROMPT})"')
        for password in (PASSWORDS["bob"], "a guess"):
            _, screen = at_terminal(machine, "bob", *with_argument, password=password)
            assert "Password: " in screen
        upstream.behave({"times": 2, "status": 500, "error_message": f"{CANARY_KEY}-claude asked {PROMPT}"})
        machine.run("cortexctl", "ask", "--provider", "claude", user="alice", text=PROMPT, check=False)
        self._crash(machine)
        assert machine.output("sh", "-c", _SEARCH) == ""

    def test_while_it_is_answered(self, machine: Machine, upstream: Upstream) -> None:
        """A prompt given as an argument cannot be read from the process list while its answer is awaited."""
        upstream.behave({"delay_s": 20.0})
        argv = machine.enter(["bash", "-c", f'exec cortexctl ask "$(cat {_FILE_OF_PROMPT})"'], user="alice")
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            assert_eventually(lambda: upstream.count("requests") == 1, 30, "the request at the provider")
            asking = machine.output("pgrep", "--newest", "--full", "bin/cortexctl ask")
            found = machine.output("sh", "-c", _SEARCH)
            machine.run("kill", asking)
        assert found == ""

    def test_debug_report(self, machine: Machine) -> None:
        """What root would send to somebody for help has neither."""
        call(machine, "Ask", "ss", "user_chat", "Hello")
        report = machine.output("cortexctl", "debug-report")
        assert "== journal" in report
        assert "request (hidden)" in report
        assert CANARY_KEY not in report
        assert PROMPT not in report

    def test_debug_report_of_a_user(self, machine: Machine) -> None:
        """Anybody can make one; what root alone may read is missing and said so."""
        report = machine.output("cortexctl", "debug-report", user="bob")
        assert "== credentials ==\ncannot be had: " in report

    @staticmethod
    def _crash(machine: Machine) -> None:
        """With a signal that other programs leave a core file for."""
        pid = main_pid(machine)
        machine.run("kill", "-ABRT", str(pid))
        assert_eventually(lambda: is_replaced(machine, pid), 30, "a new daemon")
        assert machine.output("find", "/", "-xdev", "-name", "core", "-user", "cortexd", "-type", "f") == ""

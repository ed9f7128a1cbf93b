"""The namespace is what script/private-bus promises: its users, its polkit, its bus, and that it leaves nothing."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.eventually import assert_eventually
from tests.system.namespace import Service, needs_setuid
from tests.system.people import Background, Completed
from tests.system.polkit_agent import PolkitAgent
from tests.system.terminal import at_terminal

NAME = "org.cortexlinux.LLMRouter"
ALLOWED, NOT_AUTHORIZED, CHALLENGE, DISMISSED = 0, 1, 2, 3  # exit statuses of pkcheck
ADMINISTERED = [f"{NAME}.{action}" for action in ("system-operation", "view-all-usage", "manage")]
COMPLETE = f"{NAME}.complete"
AsUser = Callable[..., Completed]

# Owns the service's name until it is ended, and answers whatever reaches it.
OWNER = f"""
import asyncio
from dbus_next import BusType, Message, MessageType
from dbus_next.aio import MessageBus
def answer(message):
    if message.message_type is MessageType.METHOD_CALL:
        return Message.new_method_return(message, "s", ["reached"])
async def main():
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    bus.add_message_handler(answer)
    await bus.request_name("{NAME}")
    print("ready", flush=True)
    await bus.wait_for_disconnect()
asyncio.run(main())
"""


def check(action: str, *options: str) -> list[str]:
    """pkcheck of the very process that runs it."""
    return ["sh", "-c", 'exec pkcheck --process $$ --action-id "$@"', "check", action, *options]


def call(destination: str, method: str, *arguments: str, path: str = "/org/cortexlinux/LLMRouter") -> list[str]:
    return ["gdbus", "call", "--system", "-d", destination, "-o", path, "-m", method, *arguments]


def busctl(method: str) -> list[str]:
    return ["busctl", "--system", "call", NAME, "/org/cortexlinux/LLMRouter", *method.rsplit(".", 1)]


@pytest.fixture
def owner(background: Callable[..., Background]) -> Background:
    started = background("cortexd", [".venv/bin/python", "-c", OWNER])
    started.await_output("ready")
    return started


class TestUsers:
    @pytest.mark.parametrize(
        ("user", "groups"), [("alice", "alice cortex"), ("bob", "bob"), ("carol", "carol sudo"), ("cortexd", "cortexd")]
    )
    def test_groups(self, as_user: AsUser, user: str, groups: str) -> None:
        """alice is in group cortex, carol in sudo, bob and the service's user in none but their own."""
        assert as_user(user, ["id", "--groups", "--name"]).stdout.split() == groups.split()

    @pytest.mark.parametrize("user", ["alice", "bob", "carol", "cortexd"])
    def test_run_the_checkout(self, as_user: AsUser, user: str) -> None:
        """Every user runs cortexd's code from the working directory, whatever the mode of the home it lies in."""
        command = [".venv/bin/python", "-c", "import cortexd.errors, dbus_next; print('runs')"]
        assert as_user(user, command).stdout == "runs\n"

    def test_checkout_is_read_only(self, namespace: Path) -> None:
        """Not even root in there leaves a file in the checkout."""
        with pytest.raises(OSError, match="Read-only file system"):
            Path("left-behind").touch()


class TestPolicy:
    @pytest.mark.parametrize(("user", "status"), [("alice", ALLOWED), ("bob", CHALLENGE), ("carol", CHALLENGE)])
    def test_ordinary_requests(self, as_user: AsUser, user: str, status: int) -> None:
        """Without a seat group cortex may ask at once; everybody else has to prove who they are."""
        assert as_user(user, check(COMPLETE)).returncode == status

    @pytest.mark.parametrize("action", ADMINISTERED)
    @pytest.mark.parametrize("user", ["alice", "bob", "carol"])
    def test_administered_actions(self, as_user: AsUser, user: str, action: str) -> None:
        """Nobody gets the other actions without an administrator's password, also not administrators."""
        assert as_user(user, check(action)).returncode == CHALLENGE

    @pytest.mark.parametrize(("action", "kept"), [(COMPLETE, True), *((action, False) for action in ADMINISTERED)])
    def test_what_is_kept(self, as_user: AsUser, action: str, kept: bool) -> None:
        """Without a seat an administrator's password counts once; the user's own holds for a few minutes."""
        assert ("retains_authorization" in as_user("bob", check(action)).stdout) is kept

    @pytest.mark.parametrize("action", [COMPLETE, *ADMINISTERED])
    def test_service_asks_about_others(
        self, as_user: AsUser, background: Callable[..., Background], action: str
    ) -> None:
        """The unprivileged service user may ask polkit about other users' processes, task type included."""
        pid = background("alice", ["sleep", "60"]).process.pid
        question = ["pkcheck", "--process", str(pid), "--action-id", action, "--detail", "task_type", "user_chat"]
        assert as_user("cortexd", question).returncode == (ALLOWED if action == COMPLETE else CHALLENGE)
        assert "Only trusted callers" in as_user("bob", question).stderr

    def test_unknown_action(self, as_user: AsUser) -> None:
        """An action that the policy file does not define is refused to everybody."""
        assert "is not registered" in as_user("alice", check(f"{NAME}.own-the-world")).stderr


def assert_challenged(as_user: AsUser, action: str) -> None:
    assert_eventually(lambda: as_user("alice", check(action)).returncode == CHALLENGE)


@pytest.fixture
def install_example(namespace: Path, as_user: AsUser) -> Iterator[Callable[[str, str, str], None]]:
    """Installs an example rule as an administrator would, for another name than the one it stands there for."""
    installed: list[Path] = []

    def install(example: str, name: str, other: str) -> None:
        installed.append(namespace / "rules-etc" / f"{example}.rules")
        text = Path(f"polkit/examples/{example}.rules.example").read_text()
        assert f'"{name}"' in text
        installed[-1].write_text(text.replace(f'"{name}"', f'"{other}"'))

    yield install
    for rule in installed:
        rule.unlink()
    assert_eventually(lambda: "retains_authorization" in as_user("bob", check(COMPLETE)).stdout)
    for action in ADMINISTERED:
        assert_challenged(as_user, action)


class TestExamples:
    @pytest.mark.parametrize(
        ("example", "name", "other", "user", "action"),
        [
            ("40-group-system-operations", "cortex-operators", "cortex", "alice", ADMINISTERED[0]),
            ("40-usage-reports", "cortex-auditors", "cortex", "alice", ADMINISTERED[1]),
            ("40-service-user", "backup-bot", "bob", "bob", COMPLETE),
        ],
    )
    def test_allows_what_it_says(
        self,
        as_user: AsUser,
        install_example: Callable[[str, str, str], None],
        example: str,
        name: str,
        other: str,
        user: str,
        action: str,
    ) -> None:
        """An example rule takes effect once it is installed, for its action and nothing else."""
        assert as_user(user, check(action)).returncode == CHALLENGE
        install_example(example, name, other)
        assert_eventually(lambda: as_user(user, check(action)).returncode == ALLOWED)
        assert as_user(user, check(ADMINISTERED[2])).returncode == CHALLENGE

    def test_service_user_runs_tools_only(
        self,
        as_user: AsUser,
        background: Callable[..., Background],
        install_example: Callable[[str, str, str], None],
    ) -> None:
        """The service user's rule lets tool execution through, and no other privileged task type."""
        install_example("40-service-user", "backup-bot", "bob")
        assert_eventually(lambda: as_user("bob", check(COMPLETE)).returncode == ALLOWED)
        pid = background("bob", ["sleep", "60"]).process.pid
        question = ["pkcheck", "--process", str(pid), "--action-id", ADMINISTERED[0], "--detail", "task_type"]
        assert as_user("cortexd", [*question, "tool_execution"]).returncode == ALLOWED
        assert as_user("cortexd", [*question, "system_operation"]).returncode == CHALLENGE

    def test_password_for_everything(self, as_user: AsUser, install_example: Callable[[str, str, str], None]) -> None:
        """With that rule a user's password counts once, and group cortex stays exempt."""
        install_example("40-password-for-everything", "cortex", "cortex")
        assert_eventually(lambda: "retains_authorization" not in as_user("bob", check(COMPLETE)).stdout)
        assert as_user("bob", check(COMPLETE)).returncode == CHALLENGE
        assert as_user("alice", check(COMPLETE)).returncode == ALLOWED


class TestAgent:
    def test_right_answer(self, as_user: AsUser) -> None:
        """After an administrator's right answer the action is allowed; only administrators were offered."""
        done = as_user("bob", check(ADMINISTERED[0], "-u"), agent="allow")
        assert done.returncode == ALLOWED, done.stderr
        assert [asked.uids for asked in done.asked] == [[59003]]

    @pytest.mark.parametrize(("answer", "status"), [("refuse", NOT_AUTHORIZED), ("dismiss", DISMISSED)])
    def test_wrong_answer(self, as_user: AsUser, answer: str, status: int) -> None:
        """After a wrong or dismissed answer it is refused, and the two can be told apart."""
        assert as_user("bob", check(ADMINISTERED[0], "-u"), agent=answer).returncode == status

    @pytest.mark.parametrize(
        ("action", "ending"),
        [
            (COMPLETE, "to ask a language model"),
            (ADMINISTERED[0], "to ask a language model to operate this system (tool_execution)"),
            (ADMINISTERED[1], "to see what other users spent on language models"),
            (ADMINISTERED[2], "to change the language model service"),
        ],
    )
    def test_prompt(self, as_user: AsUser, background: Callable[..., Background], action: str, ending: str) -> None:
        """A person reads a sentence of ours that names the task type where it matters, and nothing else."""
        pid = background("bob", ["sleep", "60"]).process.pid
        question = ["pkcheck", "-u", "--process", str(pid), "--action-id", action]
        with PolkitAgent(pid, "dismiss") as agent:
            done = as_user("cortexd", [*question, "--detail", "task_type", "tool_execution"])
        assert done.returncode == DISMISSED
        assert [asked.message for asked in agent.asked] == [f"Authentication is required {ending}"]

    @needs_setuid
    @pytest.mark.parametrize(("password", "status"), [("secret", ALLOWED), ("wrong", NOT_AUTHORIZED)])
    def test_password_at_a_terminal(self, namespace: Path, password: str, status: int) -> None:
        """polkit's own text agent takes a user's password, and no other."""
        found, screen = at_terminal("bob", check(COMPLETE, "-u", "--enable-internal-agent"), password)
        assert found == status, screen


class TestBusPolicy:
    @pytest.mark.parametrize(("user", "owns"), [("cortexd", True), ("root", True), ("bob", False), ("carol", False)])
    def test_who_may_be_the_service(self, as_user: AsUser, user: str, owns: bool) -> None:
        """Only root and cortexd may own the name."""
        done = as_user(user, call("org.freedesktop.DBus", "org.freedesktop.DBus.RequestName", NAME, "0", path="/"))
        assert (done.stdout == "(uint32 1,)\n") is owns
        assert ("AccessDenied" in done.stderr) is not owns

    @pytest.mark.parametrize(
        "method",
        [
            f"{NAME}.Ask",
            f"{NAME}.Usage.GetStats",
            f"{NAME}.Manager.Reload",
            "org.freedesktop.DBus.Introspectable.Introspect",
            "org.freedesktop.DBus.Properties.GetAll",
            "org.freedesktop.DBus.Peer.Ping",
        ],
    )
    def test_documented_interfaces(self, as_user: AsUser, owner: Background, method: str) -> None:
        """Messages of the documented interfaces reach the service."""
        done = as_user("bob", busctl(method))
        assert done.stdout == 's "reached"\n', done.stderr

    @pytest.mark.parametrize("method", ["org.example.Other.Ask", "org.freedesktop.systemd1.Manager.Reload"])
    @pytest.mark.parametrize("user", ["alice", "bob"])
    def test_stranger_interfaces(self, as_user: AsUser, owner: Background, user: str, method: str) -> None:
        """The bus itself refuses any other interface."""
        done = as_user(user, busctl(method))
        assert "Access denied" in done.stderr
        assert done.stdout == ""

    def test_activation_file_is_well_formed(self, as_user: AsUser, namespace: Path) -> None:
        """The bus takes our activation file: the name becomes activatable after a reload."""
        installed = namespace / "services" / f"{NAME}.service"
        installed.write_text(Path(f"dbus/{NAME}.service").read_text())
        try:
            subprocess.run(call("org.freedesktop.DBus", "org.freedesktop.DBus.ReloadConfig", path="/"), check=True)
            listed = as_user("bob", call("org.freedesktop.DBus", "org.freedesktop.DBus.ListActivatableNames", path="/"))
            assert NAME in listed.stdout
        finally:
            installed.unlink()


class TestControl:
    def test_paused_polkitd(self, as_user: AsUser, polkitd: Service) -> None:
        """A paused polkitd answers nobody until it goes on."""
        polkitd.pause()
        with pytest.raises(subprocess.TimeoutExpired):
            as_user("alice", check(COMPLETE), timeout=0.5)
        polkitd.resume()
        assert as_user("alice", check(COMPLETE)).returncode == ALLOWED

    def test_killed_polkitd(self, as_user: AsUser, polkitd: Service) -> None:
        """After a kill there is no polkit on the bus, after a restart there is."""
        polkitd.kill()
        assert "ServiceUnknown" in as_user("alice", check(COMPLETE)).stderr
        polkitd.start()
        assert as_user("alice", check(COMPLETE)).returncode == ALLOWED

    def test_restarted_bus(self, as_user: AsUser, bus: Service) -> None:
        """The bus comes back at the same address with another id."""
        identity = call("org.freedesktop.DBus", "org.freedesktop.DBus.GetId", path="/")
        before = as_user("bob", identity).stdout
        bus.restart()
        after = as_user("bob", identity).stdout
        assert after.startswith("('")
        assert after != before


@pytest.fixture
def inner(namespace: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts another private bus inside this one, so that its beginning and end can be watched."""
    started = []

    def start(*command: str) -> subprocess.Popen[str]:
        started.append(subprocess.Popen(["script/private-bus", *command], stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


class TestEnd:
    def test_status(self, inner: Callable[..., subprocess.Popen[str]]) -> None:
        """It ends with its command's status."""
        assert inner("sh", "-c", "exit 7").wait(20) == 7

    def test_own_bus(self, inner: Callable[..., subprocess.Popen[str]]) -> None:
        """Its bus and its users are its own: the one inside does not see the one outside."""
        identity = call("org.freedesktop.DBus", "org.freedesktop.DBus.GetId", path="/")
        outer = subprocess.run(identity, capture_output=True, text=True, check=True).stdout
        ours, _ = inner(*identity).communicate(timeout=20)
        assert ours.startswith("('")
        assert ours != outer

    def test_nothing_stays(self, inner: Callable[..., subprocess.Popen[str]]) -> None:
        """Processes and mounts that the command leaves behind end with it."""
        before = Path("/proc/self/mounts").read_text()
        assert inner("sh", "-c", "setsid sleep 3113 & setsid sleep 3113 & mount -t tmpfs x /opt; exit 0").wait(20) == 0
        assert_eventually(lambda: not running("sleep", "3113"))
        assert len(running("dbus-daemon", "--system")) == 1
        assert Path("/proc/self/mounts").read_text() == before

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_stopped_from_outside(self, inner: Callable[..., subprocess.Popen[str]], number: signal.Signals) -> None:
        """A signal to the script, even kill -9, ends everything inside."""
        process = inner("sh", "-c", "echo up; exec sleep 3114")
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        assert process.wait(20) != 0
        assert_eventually(lambda: not running("sleep", "3114"))
        assert_eventually(lambda: len(running("dbus-daemon", "--system")) == 1)


def running(*arguments: str) -> list[int]:
    """Processes whose command line begins so."""
    return [pid for pid, argv in command_lines() if argv[: len(arguments)] == list(arguments)]


def command_lines() -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "cmdline").read_text().split("\0")
            except (FileNotFoundError, ProcessLookupError):
                continue

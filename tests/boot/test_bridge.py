"""Each user's bridge as the package brings it: a socket of their own, a port where they want one, and nobody else's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.boot.calls import booked_nano
from tests.boot.machine import Completed, Machine
from tests.eventually import assert_eventually

SOCKET, PORT, SERVICE = (f"cortex-llm-bridge{end}" for end in (".socket", "-port.socket", ".service"))
_DROP_IN = f"/etc/systemd/user/{SERVICE}.d/test.conf"
# systemd holds back what starts more than five times in ten seconds.
_SHORT = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=\nExecStart=/usr/bin/cortex-llm-bridge --idle-s 0.2\n"
# What a program does: PATH-or-port, key, how often, and how long it waits in between.
_CLIENT = """
import http.client, json, socket, sys, time

where, key, times, pause_s = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])


class OverSocket(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(where)


body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "Hello"}]})
headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
statuses = []
for _ in range(times):
    over_tcp = where.isdigit() and http.client.HTTPConnection("127.0.0.1", int(where), timeout=30)
    line = over_tcp or OverSocket("localhost")
    try:
        line.request("POST", "/v1/chat/completions", body, headers)
        statuses.append(line.getresponse().status)
    except OSError as error:
        statuses.append(type(error).__name__)
    line.close()
    time.sleep(pause_s)
print(json.dumps(statuses))
"""


@pytest.fixture(scope="module")
def machine(installed: Machine) -> Machine:
    """As `installed`, with services of alice's and bob's own; both may ask."""
    installed.run("usermod", "--append", "--groups=cortex", "bob")
    for user in ("alice", "bob"):
        # as loginctl enable-linger, which logind 257 refuses in some containers: "Protocol driver not attached"
        installed.run("install", "-D", "/dev/null", f"/var/lib/systemd/linger/{user}")
        installed.run("systemctl", "start", f"user@{installed.output('id', '--user', user)}.service")
        assert_eventually(lambda user=user: active(installed, user, SOCKET) == "active", 60, f"the socket of {user}")  # type: ignore[misc]
    return installed


def runtime(machine: Machine, user: str) -> str:
    return f"/run/user/{machine.output('id', '--user', user)}"


def socket_of(machine: Machine, user: str) -> str:
    return f"{runtime(machine, user)}/cortex-llm/api.sock"


def systemctl(machine: Machine, user: str, *words: str, check: bool = True) -> Completed:
    environment = {"XDG_RUNTIME_DIR": runtime(machine, user)}
    return machine.run("systemctl", "--user", *words, user=user, environment=environment, check=check)


def active(machine: Machine, user: str, unit: str) -> str:
    return systemctl(machine, user, "is-active", unit, check=False).stdout.strip()


def asked(machine: Machine, user: str, where: str, key: str = "", times: int = 1, pause_s: float = 0.0) -> list[Any]:
    """The statuses of that user's requests, or the errors' names."""
    words = ("/usr/bin/python3", "-c", _CLIENT, where, key, str(times), str(pause_s))
    statuses: list[Any] = json.loads(machine.output(*words, user=user))
    return statuses


def status(machine: Machine, user: str = "alice") -> Any:
    return json.loads(machine.run("cortexctl", "bridge", "status", "--json", user=user, check=False).stdout)


@contextmanager
def open_port(machine: Machine, user: str, *options: str) -> Iterator[tuple[str, str]]:
    """Its number, and the key."""
    said = machine.output("cortexctl", "bridge", "port", "on", *options, user=user)
    try:
        yield said.splitlines()[0].rpartition(":")[2], machine.read(said.split()[-1]).strip()
    finally:
        machine.run("cortexctl", "bridge", "port", "off", user=user)


class TestSocket:
    def test_answers_its_user(self, machine: Machine) -> None:
        """The first request starts the bridge; it is paid for by who asked."""
        before = booked_nano(machine, "alice"), booked_nano(machine, "bob")
        assert asked(machine, "alice", socket_of(machine, "alice")) == [200]
        assert booked_nano(machine, "alice") > before[0]
        assert booked_nano(machine, "bob") == before[1]
        told = status(machine)
        assert (told["status"], told["socket"]["answers"], told["port"]["at"]) == ("healthy", True, "")
        assert told["pid"] > 0

    def test_is_nobody_elses(self, machine: Machine) -> None:
        """The file system keeps others out, and where it would not, the kernel's word about the connection does."""
        path = socket_of(machine, "alice")
        assert asked(machine, "bob", path) == ["PermissionError"]
        machine.run("mount", "--bind", path, self._elsewhere(machine))
        machine.run("chmod", "666", path)
        try:
            assert asked(machine, "bob", "/srv/api.sock") == [403]
            assert asked(machine, "alice", "/srv/api.sock") == [200]
        finally:
            machine.run("umount", "/srv/api.sock")
            machine.run("chmod", "600", path)

    @staticmethod
    def _elsewhere(machine: Machine) -> str:
        machine.run("touch", "/srv/api.sock")
        return "/srv/api.sock"


class TestPort:
    def test_takes_its_users_programs_alone(self, machine: Machine) -> None:
        """Two users, two ports: the other's key opens nothing, also where it was stolen."""
        with open_port(machine, "alice") as (port, key), open_port(machine, "bob") as (bobs, bobs_key):
            assert port != bobs
            assert asked(machine, "alice", port, key) == [200]
            before = booked_nano(machine, "alice"), booked_nano(machine, "bob")
            assert asked(machine, "bob", port, key) == [403]
            assert asked(machine, "alice", bobs, bobs_key) == [403]
            assert asked(machine, "alice", port, bobs_key) == [403]
            assert (booked_nano(machine, "alice"), booked_nano(machine, "bob")) == before
            assert asked(machine, "bob", bobs, bobs_key) == [200]
            assert booked_nano(machine, "bob") > before[1]
            assert status(machine)["port"] == {"at": f"http://127.0.0.1:{port}", "answers": True}
            assert machine.run("cat", "/home/alice/.local/state/cortex-llm/bridge-key", user="bob", check=False).status
        assert asked(machine, "alice", port, key) == ["ConnectionRefusedError"]

    def test_lasts(self, machine: Machine) -> None:
        """Opened again it is the same one, with the same key, unless a new one is wanted; nothing is left of it."""
        with open_port(machine, "alice") as first, open_port(machine, "alice") as again:
            assert again == first
            systemctl(machine, "alice", "stop", PORT, SERVICE)
            systemctl(machine, "alice", "start", PORT)
            assert asked(machine, "alice", *first) == [200]
        with open_port(machine, "alice", "--new-key") as (port, key):
            assert (port == first[0], key == first[1]) == (True, False)
            assert asked(machine, "alice", port, first[1]) == [403]
        assert machine.output("find", "/home/alice/.config/systemd", "-name", "*bridge*") == ""

    def test_that_is_taken(self, machine: Machine) -> None:
        """By whom is said, before and after it is taken."""
        with open_port(machine, "bob") as (bobs, _):
            said = machine.run("cortexctl", "bridge", "port", "on", "--port", bobs, user="alice", check=False)
            assert (said.status, "A program of bob listens" in said.stderr) == (1, True)
        with open_port(machine, "alice") as (port, _):
            systemctl(machine, "alice", "stop", PORT, SERVICE)
            with open_port(machine, "bob", "--port", port):
                [problem] = status(machine)["problems"]
            assert f"A program of bob listens on port {port}" in problem


class TestIdle:
    def test_nobody_is_lost(self, machine: Machine) -> None:
        """It leaves between requests, again and again, and every one of them is answered."""
        machine.write(_DROP_IN, _SHORT)
        systemctl(machine, "alice", "daemon-reload")
        systemctl(machine, "alice", "stop", SERVICE)
        try:
            path = socket_of(machine, "alice")
            for pause_s in (0.2, 0.21, 0.23):
                assert asked(machine, "alice", path, times=5, pause_s=pause_s) == [200] * 5
            assert_eventually(lambda: active(machine, "alice", SERVICE) == "inactive", 30, "the bridge to leave")
            starts = machine.journal(f"USER_UNIT={SERVICE}").count("Started ")
            assert starts > 2
        finally:
            machine.run("rm", _DROP_IN)
            systemctl(machine, "alice", "daemon-reload")

    def test_a_stop_lets_requests_finish(self, machine: Machine) -> None:
        """Restarts under load, as an upgrade makes them, cost nobody an answer."""
        path = socket_of(machine, "alice")
        machine.run("sh", "-c", f"for n in 1 2 3 4; do {self._restart(machine)}; done >/dev/null 2>&1 &")
        assert asked(machine, "alice", path, times=60, pause_s=0.02) == [200] * 60

    @staticmethod
    def _restart(machine: Machine) -> str:
        return f"runuser -u alice -- env XDG_RUNTIME_DIR={runtime(machine, 'alice')} systemctl --user restart {SERVICE}"


_STATES = {
    "masked": (("mask", "--runtime", "--now", SOCKET), ("unmask", "--runtime", SOCKET), f"{SOCKET} is masked"),
    "stopped": (("stop", SOCKET, SERVICE), (), f"{SOCKET} is stopped: systemctl --user start {SOCKET}"),
}


class TestStates:
    @pytest.mark.parametrize(("words", "back", "said"), _STATES.values(), ids=_STATES)
    def test_are_named(self, machine: Machine, words: tuple[str, ...], back: tuple[str, ...], said: str) -> None:
        """With the step that mends each."""
        systemctl(machine, "alice", *words)
        try:
            assert any(said in problem for problem in status(machine)["problems"])
        finally:
            if back:
                systemctl(machine, "alice", *back)
            systemctl(machine, "alice", "start", SOCKET)
        assert status(machine)["status"] == "healthy"

    def test_a_socket_that_was_taken_away(self, machine: Machine) -> None:
        """systemd still listens, and nobody finds it."""
        machine.run("rm", socket_of(machine, "alice"))
        [problem] = status(machine)["problems"]
        assert f"Put it back: systemctl --user restart {SOCKET}" in problem
        systemctl(machine, "alice", "stop", SERVICE)
        systemctl(machine, "alice", "restart", SOCKET)
        assert status(machine)["status"] == "healthy"

    def test_nobody_to_run_it(self, machine: Machine) -> None:
        """A user for whom systemd runs nothing is told what to do."""
        machine.add_user("erin", "cortex")
        problems = status(machine, "erin")["problems"]
        assert any("sudo loginctl enable-linger erin" in problem for problem in problems)
        ran = machine.output("cortexctl", "run", "--", "sh", "-c", "echo $OPENAI_BASE_URL", user="erin")
        assert ran.startswith("http://127.0.0.1:")


class TestConnect:
    def test_opens_the_port_that_a_program_needs(self, machine: Machine) -> None:
        """Connecting a program opens the port where it is off, and asks at it; disconnecting leaves it to others."""
        file = "/home/alice/.aider.conf.yml"
        try:
            said = machine.output("cortexctl", "connect", "aider", "--yes", "--try", user="alice")
            told = status(machine)
            assert (told["status"], told["port"]["answers"]) == ("healthy", True)
            assert f"openai-api-base: {told['port']['at']}/v1\n" in machine.read(file)
            assert machine.read("/home/alice/.local/state/cortex-llm/bridge-key").strip() in machine.read(file)
            assert "claude" in said
            assert machine.output("stat", "--format=%a %U", file).strip() == "600 alice"
            machine.run("cortexctl", "disconnect", "aider", "--yes", user="alice")
            assert not machine.run("find", file, check=False).stdout
            assert status(machine)["port"]["answers"]
        finally:
            machine.run("cortexctl", "bridge", "port", "off", user="alice")

"""What docs/administration.md promises: keys in and out, settings taken over, the journal, the status, the purge."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.boot.calls import NAME, PATH, ask, booked_nano
from tests.boot.install import CANARY_KEY, apt, install, start_simulated
from tests.boot.load import Upstream
from tests.boot.machine import Completed, Machine
from tests.boot.running import main_pid
from tests.eventually import assert_eventually

_PLAIN = "/etc/cortexd/credentials/claude"
_ENCRYPTED = "/etc/systemd/system/cortex-llm-router.service.d/key-claude.conf"
_SETTINGS = "/etc/cortexd/conf.d/90-test.toml"
_LEFTOVERS = "find / -xdev -iname *cortex* -not -path /root/* -not -path /srv/*"
_SEARCH = """
cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | grep --text --only-matching '[s]k-sim-canary'
journalctl --sync
journalctl --output=export | grep --text '[s]k-sim-canary'
grep --text --files-with-matches '[s]k-sim-canary' /var/lib/cortexd/*
true
"""


@pytest.fixture(scope="module")
def machine(boot: Callable[[], Machine], package: Path) -> Iterator[Machine]:
    """cortexd as the package leaves it, without a key."""
    with boot() as fresh:
        install(fresh, package)
        start_simulated(fresh)
        fresh.add_user("alice", "cortex")
        yield fresh


@pytest.fixture
def claude(machine: Machine) -> Iterator[Upstream]:
    """The provider, and a key for it."""
    if listed(machine) != {"claude": (_PLAIN, True)}:
        set_key(machine, CANARY_KEY)
    upstream = Upstream(machine)
    upstream.reset()
    yield upstream
    upstream.reset()


def set_key(machine: Machine, key: str, *options: str, check: bool = True) -> Completed:
    return machine.run("cortexctl", "credentials", "set", *options, "claude", text=f"{key}\n", check=check)


def listed(machine: Machine) -> dict[str, tuple[str, bool]]:
    """Each provider with a key: where it is kept, and whether the service has it."""
    rows = json.loads(machine.output("cortexctl", "credentials", "list", "--json"))
    return {row["provider"]: (row["file"], row["has_key"]) for row in rows}


class TestCredentials:
    def test_set(self, machine: Machine) -> None:
        """One command, and a user of group cortex has an answer; the key is in its file and nowhere else."""
        done = set_key(machine, CANARY_KEY)
        assert f"{_PLAIN} holds the key of claude\nclaude answers: claude-sonnet-5-5, " in done.stdout
        assert ask(machine, "Hello") == "[claude-sonnet-5-5] You said: Hello"
        assert listed(machine) == {"claude": (_PLAIN, True)}
        assert machine.output("stat", "--format=%a %U", _PLAIN) == "600 root"
        assert machine.output("sh", "-c", _SEARCH) == ""

    def test_replaced(self, machine: Machine) -> None:
        """A service that runs is restarted with the new key; one that the provider refuses is said so."""
        set_key(machine, CANARY_KEY)
        pid = main_pid(machine)
        refused = set_key(machine, "not-a-key-of-this-provider", check=False)
        assert refused.status != 0
        assert "claude does not answer with this key" in refused.stderr
        assert main_pid(machine) not in (0, pid)

    def test_encrypted(self, machine: Machine) -> None:
        """--encrypt keeps it in a drop-in that does not show it, in place of the file, and cortexd has it."""
        set_key(machine, CANARY_KEY)
        done = set_key(machine, CANARY_KEY, "--encrypt")
        assert "claude answers: " in done.stdout
        assert ask(machine, "Hello") == "[claude-sonnet-5-5] You said: Hello"
        assert listed(machine) == {"claude": (_ENCRYPTED, True)}
        assert not machine.exists(_PLAIN)
        assert CANARY_KEY not in machine.read(_ENCRYPTED)
        assert machine.output("sh", "-c", _SEARCH) == ""

    @pytest.mark.parametrize("options", [(), ("--encrypt",)], ids=["plain", "encrypted"])
    def test_remove(self, machine: Machine, options: tuple[str, ...]) -> None:
        """A removed key is gone from the disk and from the service."""
        set_key(machine, CANARY_KEY, "--no-verify", *options)
        machine.run("cortexctl", "credentials", "remove", "claude")
        assert listed(machine) == {}
        assert not machine.exists(_PLAIN)
        assert not machine.exists(_ENCRYPTED)

    def test_roots_alone(self, machine: Machine) -> None:
        """Users, also of group cortex, neither set nor see keys."""
        for words in (["set", "claude"], ["list"], ["remove", "claude"]):
            refused = machine.run("cortexctl", "credentials", *words, user="alice", text="sk-sim-mine\n", check=False)
            assert (refused.status, "try again with sudo" in refused.stderr) == (3, True)


class TestJournal:
    def test_fields_of_a_request(self, machine: Machine, claude: Upstream) -> None:
        """journalctl CORTEXD_UID=… finds a user's request, with who answered and what the ledger has for it."""
        before = booked_nano(machine)
        ask(machine)
        machine.run("journalctl", "--sync")
        uid = machine.output("id", "--user", "alice")
        found = machine.output(
            "journalctl", "--output=json", "--unit=cortex-llm-router", "--lines=1", f"CORTEXD_UID={uid}"
        )
        entry = json.loads(found)
        assert (entry["CORTEXD_PROVIDER"], entry["CORTEXD_STATE"]) == ("claude", "done")
        assert int(entry["CORTEXD_COST_NANO_USD"]) == booked_nano(machine) - before > 0


class TestReload:
    def test_running_request_stays(self, machine: Machine, claude: Upstream) -> None:
        """systemctl reload takes new settings over; a request under way ends as it began."""
        claude.behave({"times": 1, "delay_s": 3.0})
        pid = main_pid(machine)
        argv = ["busctl", "--timeout=60", "call", NAME, PATH, NAME, "Ask", "ss", "user_chat", "first"]
        with subprocess.Popen(machine.enter(argv, user="alice"), stdout=subprocess.PIPE, text=True) as slow:
            assert_eventually(lambda: claude.count("requests") == 1, 30, "the request at the provider")
            machine.write(_SETTINGS, '[providers.claude]\nmodel = "claude-haiku-5-5"\n')
            machine.run("systemctl", "reload", "cortex-llm-router.service")
            assert_eventually(
                lambda: "configuration reloaded" in machine.journal("--unit=cortex-llm-router.service"), 20
            )
            assert ask(machine, "second") == "[claude-haiku-5-5] You said: second"
            assert slow.poll() is None
            answer, _ = slow.communicate(timeout=60)
        assert answer.strip() == 's "[claude-sonnet-5-5] You said: first"'
        assert main_pid(machine) == pid
        machine.run("rm", _SETTINGS)


class TestStatus:
    def test_healthy(self, machine: Machine, claude: Upstream) -> None:
        """All is well: status 0, in words and as JSON, for any user."""
        assert "all is well" in machine.output("cortexctl", "status", user="alice")
        assert json.loads(machine.output("cortexctl", "--json", "status"))["status"] == "healthy"


class TestSharedLedger:
    def test_needs_one_more_package(self, machine: Machine, for_postgresql: Path) -> None:
        """Without it the command says which; with it cortexd has a driver for the database, compiled, beside its own
        libraries; removed it leaves those alone."""
        url = "postgresql+psycopg://cortexd@127.0.0.1:9/cortexd"
        machine.write("/root/fleet.toml", f'[ledger]\nurl = "{url}"\n')
        status = ("cortexctl", "fleet", "status", "--config", "/root/fleet.toml")
        assert "package cortexd-postgresql" in machine.run(*status, check=False).stderr
        install(machine, for_postgresql)
        assert "cannot be reached" in machine.run(*status, check=False).stderr
        assert machine.output("dpkg", "--verify", "cortexd", "cortexd-postgresql") == ""
        looked = "import sys; sys.path.insert(0, '/usr/lib/cortexd/vendor'); import psycopg; print(psycopg.pq.__impl__)"
        assert machine.output("/usr/bin/python3", "-I", "-c", looked).strip() == "binary"
        apt(machine, "purge", "cortexd-postgresql")
        assert machine.output("find", "/usr/lib/cortexd/vendor", "-maxdepth", "1", "-name", "psycopg*") == ""
        assert "package cortexd-postgresql" in machine.run(*status, check=False).stderr


class TestPurge:
    def test_encrypted_keys(self, machine: Machine) -> None:
        """At the end: keys in drop-ins go with the package too; what the administrator wrote beside them stays."""
        set_key(machine, CANARY_KEY, "--encrypt")
        own = f"{Path(_ENCRYPTED).parent}/own.conf"
        machine.write(own, "[Service]\nIPAddressDeny=any\n")
        apt(machine, "purge", "cortexd")
        assert machine.output(*_LEFTOVERS.split()) == str(Path(own).parent)
        assert machine.output("ls", str(Path(own).parent)) == "own.conf"

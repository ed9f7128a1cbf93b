"""A machine without a package of cortexd: pip, `cortexctl service install`, an answer, `remove`, nothing left."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cortexd.cli.service.places import rows
from tests.boot.calls import ask, booked, call, version
from tests.boot.install import CANARY_KEY, apt, install, put_in_keys, start_simulated
from tests.boot.machine import CHECKOUT, Completed, Machine
from tests.boot.running import main_pid

_WHEELS = ".cache/wheels-{}"  # in the checkout, which the machine sees
_VENV, _UNIT = "/opt/cortexd", "cortex-llm-router.service"
_RECORD = "/usr/local/lib/cortexd/installed.json"
# Everything on the system but what changes by itself: what is there, and of files their sums.
_EVERYTHING = """
find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /root -o -path /srv \\
    -o -path /var/log -o -path /var/tmp -o -path /var/lib/systemd -o -name __pycache__ \\) -prune \\
    -o -not -type d -printf '%y %m %u:%g %l %p\\n' -o -type d -printf '%y %m %u:%g %p\\n'
find /etc /usr /opt /var/lib/dpkg /boot -xdev -type f -not -path '*/__pycache__/*' -print0 | xargs -0 sha256sum
"""
_USERS = {f"/etc/{name}{backup}" for name in ("passwd", "group", "shadow", "gshadow") for backup in ("", "-")}
_EXPOSURE_AT_MOST = 1.2


@pytest.fixture(scope="session")
def wheels(package: Path) -> str:
    """The directory, as the machine sees it, with the wheel of this checkout and of every library."""
    [python] = Path(os.environ["CORTEXD_BOOT_TREE"], "var/cache/apt/archives").glob("python3.*-minimal_*.deb")
    version = python.name.removeprefix("python").partition("-")[0]
    directory = _WHEELS.format(version)
    argv: list[str | Path] = [CHECKOUT / "script/wheel", "--libraries", "--python", version, CHECKOUT / directory]
    made = subprocess.run(argv, capture_output=True, text=True, timeout=280)
    assert made.returncode == 0, made.stderr
    return f"/srv/cortexd/{directory}"


@pytest.fixture
def machine(fresh: Callable[[], Machine], wheels: str) -> Machine:
    """With cortexd in a virtual environment of root's, and polkit."""
    booted = fresh()
    apt(booted, "install", "--no-install-recommends", "python3-venv", "polkitd", "procps")
    pip_install(booted, wheels, _VENV)
    return booted


def pip_install(machine: Machine, wheels: str, venv: str) -> None:
    machine.run("python3", "-m", "venv", venv)
    offline = ("--quiet", "--no-index", "--find-links", wheels)
    machine.run(f"{venv}/bin/pip", "install", *offline, "cortexd", timeout=110)


def service(machine: Machine, *arguments: str, check: bool = True, venv: str = _VENV, user: str = "root") -> Completed:
    return machine.run(f"{venv}/bin/cortexctl", "service", *arguments, check=check, user=user, timeout=110)


def everything(machine: Machine) -> set[str]:
    return set(machine.run("sh", "-c", _EVERYTHING, timeout=110).stdout.splitlines())


def paths(lines: set[str]) -> set[str]:
    return {line.rpartition(" ")[2] for line in lines}


class TestLife:
    @pytest.mark.timeout(400)
    def test_first_answer_update_remove(self, machine: Machine) -> None:
        """An ordinary user's first call is answered under the unit's whole sandbox; in the end all is as it was."""
        before = everything(machine)
        dry = service(machine, "install", "--dry-run")
        assert everything(machine) == before
        assert f"The service will run {_VENV}/bin/cortexd." in dry.stdout
        service(machine, "install", "--yes")
        files = set(json.loads(machine.read(_RECORD))["files"])
        assert files < paths(everything(machine) ^ before)
        assert machine.unit("FragmentPath") == f"/usr/local/lib/systemd/system/{_UNIT}"
        assert machine.unit("ActiveState") == "inactive"
        assert machine.run("systemd-analyze", "verify", "--man=no", _UNIT).stderr == ""
        start_simulated(machine)
        put_in_keys(machine)
        machine.add_user("alice", "cortex")
        machine.add_user("bob")

        assert "cgroup" in ask(machine)
        assert f"{_VENV}/bin/" in machine.output("cat", f"/proc/{main_pid(machine)}/cmdline")
        status = machine.run(f"{_VENV}/bin/cortexctl", "status", user="alice")
        assert "all is well" in status.stdout
        assert "beside:" not in status.stdout
        refused = call(machine, "Ask", "ss", "user_chat", "Hello", user="bob", check=False)
        assert "Access denied" in refused.stderr
        exposure = machine.output("systemd-analyze", "security", "--no-pager", _UNIT).splitlines()[-1]
        assert float(exposure.split(":")[1].split()[0]) <= _EXPOSURE_AT_MOST
        assert not [line for line in machine.journal("--priority=warning").splitlines() if "ortex" in line]

        usage, pid = booked(machine), main_pid(machine)
        service(machine, "install", "--yes")
        assert main_pid(machine) not in (0, pid)
        assert booked(machine) == usage

        service(machine, "remove", "--yes")
        assert machine.unit("LoadState") == "not-found"
        gone = call(machine, "Ask", "ss", "user_chat", "Hello", check=False)
        assert gone.status != 0
        assert CANARY_KEY in machine.read("/etc/cortexd/credentials/claude")
        service(machine, "install", "--yes")
        assert booked(machine) == usage

        machine.run("systemctl", "enable", _UNIT)
        service(machine, "remove", "--purge", "--yes")
        machine.run("userdel", "--remove", "alice")
        machine.run("userdel", "--remove", "bob")
        changed = paths(everything(machine) ^ before)
        assert changed <= _USERS | {"/etc/subuid", "/etc/subgid", "/etc/subuid-", "/etc/subgid-", "/var/mail", "/home"}
        assert {"cortexd", "cortex"} <= set(machine.output("getent", "group").replace(":", "\n").splitlines())

    def test_changed_by_a_person(self, machine: Machine) -> None:
        """What somebody edited is named, kept by the update and left by the removal."""
        service(machine, "install", "--yes")
        rules = "/etc/polkit-1/rules.d/49-org.cortexlinux.LLMRouter.rules"
        machine.write(rules, "// nobody\n")
        for action in ("install", "remove"):
            assert f"keep             {rules}" in service(machine, action, "--yes").stdout
            assert machine.read(rules) == "// nobody\n"
        assert not machine.exists(_RECORD)


class TestRefusals:
    def test_where_services_cannot_read(self, machine: Machine, wheels: str) -> None:
        """An environment below a home is refused with what to do, and so is one that is closed or not root's."""
        machine.add_user("alice")
        pip_install(machine, wheels, "/root/venv")
        done = service(machine, "install", "--yes", venv="/root/venv", check=False)
        assert (done.status, "/opt/cortexd" in done.stderr) == (1, True)
        module = machine.output("find", f"{_VENV}/lib", "-path", "*/click/core.py")
        for spoil, path, mend in (("chmod 700", _VENV, "chmod 755"), ("chown alice:", module, "chown root:")):
            machine.run(*spoil.split(), path)
            done = service(machine, "install", "--yes", check=False)
            assert (done.status, path in done.stderr) == (1, True)
            machine.run(*mend.split(), path)
        assert not machine.exists(_RECORD)
        assert service(machine, "install", "--yes", user="alice", check=False).status == 3
        service(machine, "install", "--yes")

    def test_beside_the_package(self, machine: Machine, package: Path) -> None:
        """Installed first, the package stops it. Installed later, it is seen, and works when the other is removed."""
        service(machine, "install", "--yes")
        install(machine, package)
        status = machine.run("/usr/bin/cortexctl", "status", check=False).stdout
        assert "sudo cortexctl service remove" in status
        assert service(machine, "install", "--yes", check=False).status == 1
        machine.run("/usr/bin/cortexctl", "service", "remove", "--yes", timeout=110)
        assert machine.output("dpkg", "--verify", "cortexd") == ""
        assert machine.unit("FragmentPath") in (f"/lib/systemd/system/{_UNIT}", f"/usr/lib/systemd/system/{_UNIT}")
        assert version(machine, user="root")
        assert service(machine, "install", "--yes", check=False).status == 1


class TestTable:
    def test_package_has_what_the_table_says(self, package: Path) -> None:
        """The .deb has each file of the one table, with its mode."""
        listed = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True).stdout
        modes = {line.split()[5].removeprefix("."): line.split()[0][1:] for line in listed.splitlines()}
        letters = {0o644: "rw-r--r--", 0o755: "rwxr-xr-x", 0o700: "rwx------"}
        for row in rows(CHECKOUT / "packaging/places"):
            sources = [path.name for path in CHECKOUT.glob(row.source) if path.is_file()]
            within = not row.is_directory and row.package.endswith("/")
            for place in [row.package + name for name in sources] if within else [row.package]:
                found = modes.get(f"/{place}") or modes.get(f"/{place}.gz")
                assert found == letters[row.mode], place

    def test_record(self, machine: Machine) -> None:
        """Root's record has every file of the table and the sums of what is there."""
        service(machine, "install", "--yes")
        files = json.loads(machine.read(_RECORD))["files"]
        lines = [line.split() for line in machine.output("sha256sum", *files).splitlines()]
        sums = {path: digest for digest, path in lines}
        assert {path: [sums[path]] for path in files} == files
        assert machine.output("stat", "--format=%U %a", _RECORD) == "root 644"

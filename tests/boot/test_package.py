"""The package's life: apt install on a fresh system, upgrade, remove, purge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cortexd import __version__
from tests.boot.calls import ask, booked, version
from tests.boot.install import CANARY_KEY, NEWER, apt, copy_into, install, put_in_keys, start_simulated, with_old_unit
from tests.boot.machine import Machine

_OLD = "/etc/systemd/system/cortexd.service"


def ours(machine: Machine) -> str:
    """Files of cortexd's, by name or by owner, that are anywhere on the system."""
    elsewhere = "-xdev -not -path /root/* -not -path /srv/*"
    wanted = "( -user cortexd -o -group cortexd -o -group cortex -o -iname *cortex* )"
    return machine.output("find", "/", *elsewhere.split(), *wanted.split())


class TestInstalling:
    def test_fresh_system(self, fresh: Callable[[], Machine], package: Path) -> None:
        """apt finds all it needs, nothing is left to do before the first call, and bus and polkit take our files."""
        machine = fresh()
        install(machine, package)
        assert machine.output("dpkg", "--audit") == ""
        assert machine.output("dpkg", "--verify", "cortexd") == ""
        assert machine.unit("ActiveState") == "inactive"
        assert version(machine, user="root") == __version__
        actions = machine.output("pkaction", "--verbose", "--action-id", "org.cortexlinux.LLMRouter.complete")
        assert "Ask a language model" in actions
        said = machine.journal("--unit=polkit.service").splitlines()
        assert not [line for line in said if "rror" in line and "No such file or directory" not in line]
        assert not [line for line in machine.journal("--priority=warning").splitlines() if "ortex" in line]


class TestLife:
    @pytest.mark.timeout(300)
    def test_upgrade_remove_purge(self, fresh: Callable[[], Machine], package: Path, newer: Path) -> None:
        """Upgrade keeps settings, keys and ledger, and the service runs on; remove keeps them; purge leaves nothing."""
        machine = fresh()
        install(machine, package)
        start_simulated(machine)
        put_in_keys(machine)
        ask(machine, user="root")
        usage = booked(machine, user="root")
        settings = machine.read("/etc/cortexd/config.toml") + "# of the administrator\n"
        machine.write("/etc/cortexd/config.toml", settings)

        install(machine, newer)
        assert machine.output("dpkg-query", "--show", "--showformat=${Version}", "cortexd").startswith(NEWER)
        assert machine.unit("ActiveState") == "active"
        assert booked(machine, user="root") == usage
        assert machine.read("/etc/cortexd/config.toml") == settings

        apt(machine, "remove", "cortexd")
        assert machine.unit("ActiveState") == "inactive"
        assert machine.read("/etc/cortexd/config.toml") == settings
        assert CANARY_KEY in machine.read("/etc/cortexd/credentials/claude")
        assert machine.exists("/var/lib/cortexd/ledger.sqlite3")
        assert not machine.exists("/usr/lib/cortexd")

        install(machine, newer)
        assert booked(machine, user="root") == usage
        apt(machine, "purge", "cortexd")
        assert ours(machine) == ""

    @pytest.mark.timeout(300)
    def test_from_the_old_unit(self, fresh: Callable[[], Machine], package: Path, tmp_path: Path) -> None:
        """What an administrator made of cortexd.service goes over: running, enabled, with its drop-in."""
        machine = fresh()
        install(machine, with_old_unit(package, tmp_path))
        start_simulated(machine)
        put_in_keys(machine)
        machine.write(f"{_OLD}.d/own.conf", "[Service]\nEnvironment=OF_MY_OWN=1\n")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "enable", "cortexd.service")
        ask(machine, user="root")
        assert machine.unit("ActiveState", "cortexd.service") == "active"
        usage = booked(machine, user="root")

        install(machine, package)
        assert machine.unit("LoadState", "cortexd.service") == "not-found"
        assert machine.unit("ActiveState") == "active"
        assert machine.output("systemctl", "is-enabled", "cortex-llm-router.service") == "enabled"
        assert "OF_MY_OWN=1" in machine.unit("Environment")
        assert booked(machine, user="root") == usage
        assert not machine.output("find", "/etc/systemd", "-name", "cortexd.service*")

    @pytest.mark.timeout(300)
    def test_from_debian_12(
        self, fresh: Callable[[], Machine], package: Path, of_debian_12: Path, tmp_path: Path
    ) -> None:
        """An upgraded machine keeps keys, settings and ledger; Debian 12's libraries and its old unit are gone."""
        machine = fresh()
        install(machine, package)
        start_simulated(machine)
        put_in_keys(machine)
        ask(machine, user="root")
        usage = booked(machine, user="root")
        settings = machine.read("/etc/cortexd/config.toml") + "# of the administrator\n"
        machine.write("/etc/cortexd/config.toml", settings)
        apt(machine, "remove", "cortexd")
        copy_into(machine, with_old_unit(of_debian_12, tmp_path), "/root/of-12.deb")
        machine.run("dpkg", "--force-depends", "--install", "/root/of-12.deb")
        assert machine.unit("LoadState", "cortexd.service") == "loaded"

        machine.run("dpkg", "--install", f"/root/{package.name}")
        assert machine.unit("LoadState", "cortexd.service") == "not-found"
        assert machine.read("/etc/cortexd/config.toml") == settings
        assert machine.read("/etc/cortexd/credentials/claude").startswith(CANARY_KEY)
        ask(machine, user="root")
        [row] = booked(machine, user="root")
        assert row["requests"]["data"] == usage[0]["requests"]["data"] + 1
        compiled = machine.output("find", "/usr/lib/cortexd/vendor", "-name", "*.so").split()
        python = machine.output("/usr/bin/python3", "-c", "import sys; print('cpython-3%d-' % sys.version_info[1])")
        assert [file for file in compiled if python not in file and ".abi3." not in file] == []

    def test_beside_another_program_of_that_name(self, fresh: Callable[[], Machine], package: Path) -> None:
        """Cortex's own daemon has a unit and a command named cortexd: ours answers, and theirs stay."""
        machine = fresh()
        machine.write(f"{_OLD}", "[Service]\nExecStart=/usr/local/bin/cortexd\n")
        machine.write("/usr/local/bin/cortexd", "#!/bin/sh\nexec sleep infinity\n", mode="755")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "start", "cortexd.service")
        install(machine, package)
        start_simulated(machine)
        put_in_keys(machine)
        ask(machine, user="root")
        assert machine.unit("ActiveState", "cortexd.service") == "active"
        assert machine.unit("ActiveState") == "active"
        assert "/usr/local/bin/cortexd is another program's command" in machine.output("cortexctl", "status")
        ours = "/etc/systemd/system/cortex-llm-router.service"
        machine.write(ours, machine.read("/usr/lib/systemd/system/cortex-llm-router.service"))
        assert f"{ours} stands in place of the package's unit" in machine.output("cortexctl", "status")

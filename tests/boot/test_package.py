"""The package's life: apt install on a fresh system, upgrade, remove, purge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cortexd import __version__
from tests.boot.calls import ask, booked, version
from tests.boot.install import CANARY_KEY, NEWER, apt, install, put_in_keys, start_simulated
from tests.boot.machine import Machine


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
        assert "rror" not in machine.journal("--unit=polkit.service")
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
        assert machine.output("dpkg-query", "--show", "--showformat=${Version}", "cortexd") == NEWER
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

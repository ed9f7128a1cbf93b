"""A daemon looks by itself at what the other machines of its fleet have decided."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from cortexd.config import Config, builtin_config, load_config
from cortexd.config.fleet import kept_at
from cortexd.daemon.fleet import Fleet
from cortexd.domain.fleet import Revision
from cortexd.errors import ConfigError, LedgerUnavailable
from cortexd.ledger import Ledger, LimitOverride
from cortexd.ledger.keeping import fleet_settings as fleet
from tests.postgresql import Cluster, shared
from tests.unit.test_ledger_parts import eventually

LOOK_S = 0.05


class Machine:
    """Its `config` is of the revision that was adopted last."""

    def __init__(self, ledger: Ledger, file: Path) -> None:
        self.config = load_config(file)
        self.refreshed: Counter[str] = Counter()
        self.failing = 0
        self._file = file
        self.fleet = Fleet(ledger, self.config, lambda revision: load_config(file, revision))
        self.fleet.refresh = {"limits": self._refresh}

    async def _refresh(self) -> None:
        if self.failing:
            self.failing -= 1
            raise LedgerUnavailable("away")
        self.refreshed["limits"] += 1

    def adopt(self) -> None:
        self.config = load_config(self._file)


@pytest.mark.slow
async def test_a_fleet_is_looked_at(postgresql: Cluster, tmp_path: Path) -> None:
    """New settings and changes of another machine arrive without a call, each once; what failed is done again; a
    revision that cannot be kept is not taken."""
    at, file = shared(postgresql.ledger()), tmp_path / "config.toml"
    file.write_text(f'[ledger]\nurl = "postgresql+psycopg:///x"\npath = "{tmp_path}/state/ledger.sqlite3"\n')
    (tmp_path / "state").mkdir()
    here, other = await Ledger.open(at), await Ledger.open(at)
    machine = Machine(here, file)
    assert (here.fleet.settings_missing, here.free_only) == (0, True)  # nobody has asked yet
    assert await machine.fleet.look() is None
    assert (here.fleet.settings_missing, here.free_only) == (None, False)
    looking = asyncio.create_task(machine.fleet.run(machine.adopt, LOOK_S))
    fleet.add(at, '[privacy]\nsecrets = "redact"\n', "", "ann@desk", 0)
    await eventually(lambda: machine.config.privacy.secrets == "redact")
    machine.failing = 2
    await other.set_budget("machine", "", LimitOverride(5, None), 0)
    await eventually(lambda: machine.refreshed["limits"] == 1)
    machine.failing = 1
    await other.set_budget("machine", "", None, 0)
    fleet.add(at, "", "", "ann@desk", 1)
    await eventually(lambda: machine.config.privacy.secrets == "off" and machine.refreshed["limits"] == 2)
    (tmp_path / "state" / "fleet-settings.toml").unlink()
    (tmp_path / "state").rmdir()
    fleet.add(at, "", "", "ann@desk", 2)
    assert await machine.fleet.look() is None
    assert (machine.fleet.running, machine.refreshed["limits"], looking.done()) == (2, 2, False)
    looking.cancel()
    for ledger in (here, other):
        await ledger.close()


async def test_a_machine_alone_looks_at_nothing(ledger: Ledger) -> None:
    """Its ledger is a file: there is nobody to ask, and nothing runs for it."""

    def read(_revision: Revision) -> Config:
        raise ConfigError("nobody asks for it")

    alone = Fleet(ledger, builtin_config(), read)
    assert kept_at(builtin_config().ledger) is None
    assert await alone.look() is None
    await asyncio.wait_for(alone.run(lambda: None), 10)

"""cortexctl fleet settings, on a database whose roles are as the guide makes them."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy.exc import ProgrammingError

from cortexd.cli.app import main
from cortexd.cli.shown.failures import DENIED, OK, OTHER, USAGE
from cortexd.config import load_config
from cortexd.config.ledger_address import with_role
from cortexd.config.settings import LedgerSettings
from cortexd.daemon import fleet as daemon
from cortexd.errors import AccessDenied
from cortexd.ledger import Ledger, LimitOverride
from cortexd.ledger.engines import place_of
from cortexd.ledger.keeping import fleet_settings
from tests.postgresql import Cluster, shared
from tests.unit.test_ledger_parts import MACHINE

pytestmark = pytest.mark.slow
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "fleet.md"
_numbers = count(1)
TEXT = '[budgets]\nmachine = { day_usd = "5.00" }\n'


@dataclass
class Fleet:
    """A database, its roles, and a machine that is set up for it and has begun the ledger."""

    cluster: Cluster
    database: str
    roles: tuple[str, str]
    config: Path

    @property
    def machines(self) -> LedgerSettings:
        return shared(with_role(self.cluster.url(self.database), self.roles[0]))

    def apply(self, block: str) -> None:
        """What the guide says in its n-th block of SQL, with these names in the place of its own."""
        own = {"cortexd_admin": self.roles[1], "cortexd": self.roles[0]}
        for statement in filter(None, map(str.strip, re.sub("--.*", "", block).split(";"))):
            named = re.sub(r"\bcortexd(_admin)?\b", lambda found: own[found.group()], statement)
            self.cluster.ask(named.replace(f"DATABASE {self.roles[0]}", f"DATABASE {self.database}"), self.database)

    def look(self, *words: str) -> int:
        """The status of `cortexctl fleet …`."""
        return main(["fleet", *words, "--config", str(self.config)])

    def settings(self, *words: str, given: str = "") -> int:
        """The status of `cortexctl fleet settings …`."""
        before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(given.encode()))
        try:
            return main(["fleet", "settings", *words, "--config", str(self.config)])
        finally:
            sys.stdin = before


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
async def fleet(postgresql: Cluster, tmp_path: Path) -> Fleet:
    number = next(_numbers)
    made = Fleet(postgresql, f"fleet{number}", (f"machines{number}", f"admin{number}"), tmp_path / "config.toml")
    postgresql.ask(f"CREATE DATABASE {made.database}")
    set_up, *_ = blocks("sql")
    made.apply(set_up.replace("CREATE DATABASE cortexd;", "").replace("\\c cortexd", ""))
    made.config.write_text(f'[ledger]\nurl = "{made.machines.url}"\npath = "{tmp_path}/ledger.sqlite3"\n')
    await (await Ledger.open(made.machines)).close()
    return made


class TestSettings:
    def test_are_shown_changed_and_set_again(self, fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
        """What show prints is what set takes; each change is shown first, and who will take it; revert goes back."""
        assert fleet.settings("show") == OK
        nothing = capsys.readouterr().out
        assert "no settings in common" in nothing
        assert fleet.settings("set", "-", "--yes", "--comment", "at first", given=nothing + TEXT) == OK
        said = capsys.readouterr()
        assert '+machine = { day_usd = "5.00" }' in said.out
        assert "1 machine will look" in said.err
        assert fleet.settings("show") == OK
        shown = capsys.readouterr().out
        assert shown.splitlines()[0].endswith(": at first")
        assert fleet.settings("set", "-", "--yes", given=shown) == OK
        assert "nothing changes" in capsys.readouterr().out
        assert fleet.settings("set", "-", "--yes", given=shown.replace("5.00", "6.00")) == OK
        assert fleet.settings("revert", "1", "--yes") == OK
        capsys.readouterr()
        assert fleet.settings("history", "--json") == OK
        rows = json.loads(capsys.readouterr().out)
        assert [(row["revision"], row["comment"]) for row in rows] == [(3, "as revision 1"), (2, ""), (1, "at first")]
        assert fleet.settings("show", "3", "--json") == OK
        assert json.loads(capsys.readouterr().out)["text"] == TEXT

    @pytest.mark.parametrize(
        ("text", "place"),
        [('[budgets]\nmachine = { day_usd = "much" }', "budgets.machine.day_usd"), ("[ledger]\nlease_s = 9", "ledger")],
    )
    def test_are_checked_like_a_file(
        self, fleet: Fleet, text: str, place: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What a machine could not take is refused with the file and the place in it, and no revision is made."""
        file = fleet.config.with_name("fleet.toml")
        file.write_text(text)
        assert fleet.settings("set", str(file), "--yes") == OTHER
        assert f"{file}: {place}: " in capsys.readouterr().err
        assert fleet_settings.history(fleet.machines) == []

    def test_are_left_as_they_are(self, fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
        """A trial changes nothing; nor does a script that has not said so; what was never there is no revision."""
        assert fleet.settings("set", "-", "--dry-run", given=TEXT) == OK
        assert fleet.settings("set", "-", given=TEXT) == USAGE
        assert fleet.settings("revert", "7", "--yes") == USAGE
        assert fleet.settings("set", "/nowhere", "--yes") == USAGE
        assert fleet_settings.history(fleet.machines) == []

    def test_are_a_roles(self, fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
        """As the guide leaves them to a role, machines read them, and no machine can change or replace them."""
        assert fleet.settings("show") == OK
        assert "every machine may change" in capsys.readouterr().err
        fleet.apply(blocks("sql")[1])
        assert fleet.settings("show") == OK
        assert capsys.readouterr().err == ""
        assert fleet.settings("set", "-", "--yes", given=TEXT) == DENIED
        assert fleet.settings("set", "-", "--yes", "--role", fleet.roles[1], given=TEXT) == OK
        [made] = fleet_settings.history(fleet.machines)
        assert made.role == fleet.roles[1]
        with place_of(fleet.machines).writer().connect() as connection:
            for attack in (
                "DELETE FROM fleet_settings",
                "DROP TABLE fleet_settings",
                "ALTER TABLE fleet_settings ADD x int",
            ):
                with pytest.raises(ProgrammingError):
                    connection.exec_driver_sql(f"{attack} fleet_settings")
                connection.rollback()

    async def test_that_a_machine_cannot_take(self, fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
        """Which revision it refuses, why, and what to do is told of the machines until it takes one."""
        refused = '[providers.claude]\nbase_url = "https://elsewhere.example"\n'
        fleet_settings.add(fleet.machines, refused, "", "eve@desk", 0)
        ledger = await Ledger.open(fleet.machines, machine=replace(MACHINE, id="0" * 32, name="alpha"))
        machine = daemon.Fleet(ledger, load_config(fleet.config), lambda made: load_config(fleet.config, made))
        assert fleet.look("status") == OK
        await machine.look()
        capsys.readouterr()
        for command, status in (("status", OTHER), ("hosts", OK)):
            assert fleet.look(command) == status
            said = capsys.readouterr().out
            assert "alpha: revision 1: providers.claude.base_url: " in said
            assert "alpha had none, and refuses requests that may cost something" in said
            assert "cortexctl fleet settings set" in said
        fleet.look("hosts", "--json")
        assert [row["refused"]["revision"] for row in json.loads(capsys.readouterr().out) if row["refused"]] == [1]
        fleet_settings.add(fleet.machines, TEXT, "", "ann@desk", 1)
        assert await machine.look() is not None
        assert fleet.look("status") == OK
        await ledger.close()

    async def test_leave_limits_to_a_role_too(self, fleet: Fleet) -> None:
        """Where machines may only read the limits above them, whoever sets one is refused, and others are served."""
        _, to_a_role, limits_too, *_ = blocks("sql")
        fleet.apply(to_a_role)
        fleet.apply(limits_too)
        ledger = await Ledger.open(fleet.machines)
        with pytest.raises(AccessDenied):
            await ledger.set_budget("machine", "", LimitOverride(5, None), 0)
        assert ledger.writable
        await ledger.set_preferences(1000, {"strategy": "cost"})
        await ledger.close()

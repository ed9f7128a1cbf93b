"""What machines that share a ledger decide together, in the database: revisions of settings, and marks of changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cortexd.config.settings import LedgerSettings
from cortexd.domain.fleet import Marks
from cortexd.domain.own_cap import OwnCap
from cortexd.errors import InvalidArgument, LedgerUnavailable
from cortexd.ledger import Ledger, LimitOverride
from cortexd.ledger.keeping import fleet_settings as fleet
from tests.postgresql import Cluster, shared
from tests.unit.test_ledger_parts import at as in_a_file
from tests.unit.test_ledger_parts import several
from tests.unit.test_ledger_shared import change

pytestmark = pytest.mark.slow
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "fleet.md"


@pytest.fixture
def at(postgresql: Cluster) -> LedgerSettings:
    return shared(postgresql.ledger())


@pytest.fixture
async def machines(at: LedgerSettings) -> AsyncIterator[list[Ledger]]:
    async with several(*(Ledger.open(at) for _ in range(2))) as machines:
        yield machines


class TestRevisions:
    async def test_are_read_by_every_machine(self, machines: list[Ledger], at: LedgerSettings) -> None:
        """The newest holds; each says by whom, and when; all of them are kept."""
        assert [await machine.fleet.settings() for machine in machines] == [None, None]
        fleet.add(at, "# one", "at first", "ann@desk", 0)
        second = fleet.add(at, "# two", "", "bob@desk", 1)
        assert [await machine.fleet.settings() for machine in machines] == [second, second]
        assert (await machines[0].fleet.marks()).settings == 2
        assert (second.role, second.author) == ("cortexd", "bob@desk")
        assert [(each.number, each.comment) for each in fleet.history(at)] == [(2, ""), (1, "at first")]
        first = fleet.read(at, 1)
        assert first is not None
        assert first.text == "# one"
        assert fleet.read(at, 3) is None

    async def test_of_two_at_once_one_counts(self, machines: list[Ledger], at: LedgerSettings) -> None:
        """Whoever looked at an older one has not seen what was decided meanwhile."""
        fleet.add(at, "# one", "", "ann@desk", 0)
        with pytest.raises(InvalidArgument, match="fleet settings show"):
            fleet.add(at, "# other", "", "bob@desk", 0)

    async def test_oldest_are_let_go(
        self, machines: list[Ledger], at: LedgerSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As many as are kept, and numbers go on."""
        monkeypatch.setattr(fleet, "MOST_REVISIONS", 3)
        for number in range(5):
            fleet.add(at, "", "", "ann@desk", number)
        assert [each.number for each in fleet.history(at)] == [5, 4, 3]

    def test_are_of_a_fleet(self, tmp_path: Path, at: LedgerSettings) -> None:
        """A machine alone has its files; a database that no cortexd has seen says so."""
        with pytest.raises(InvalidArgument):
            fleet.read(in_a_file(tmp_path / "ledger"))
        with pytest.raises(LedgerUnavailable):
            fleet.history(at)


class TestMarks:
    async def test_tell_the_other_machines(self, machines: list[Ledger]) -> None:
        """Each change counts, of whichever machine, and only where something changed."""
        first, second = machines
        assert await second.fleet.marks() == Marks()
        await first.set_budget("machine", "", LimitOverride(5, None), 0)
        await first.set_budget("machine", "", None, 0)
        await second.set_own_cap(1000, OwnCap(day_nano=5))
        await first.set_preferences(1000, {"strategy": "cost"})
        assert await first.fleet.marks() == await second.fleet.marks() == Marks(0, 2, 1, 1)

    async def test_of_a_newer_cortexd(self, machines: list[Ledger], at: LedgerSettings) -> None:
        """What it counts and this one knows nothing of is no reason to look at nothing."""
        await machines[0].set_own_cap(1000, OwnCap(day_nano=5))
        change(at, "INSERT INTO changes VALUES ('later', 3), ('settings', 9)")
        assert await machines[1].fleet.marks() == Marks(own_caps=1)

    async def test_of_a_machine_alone(self, ledger: Ledger) -> None:
        """There is nobody to tell."""
        await ledger.set_budget("machine", "", LimitOverride(5, None), 0)
        assert await ledger.fleet.marks() == Marks()
        assert await ledger.fleet.settings() is None

"""Whose a uid is: what the ledger gives up when it goes to another user, and what it keeps."""

from __future__ import annotations

import logging
from datetime import date, timedelta
from pathlib import Path

import pytest

from cortexd.accounts.owners import Owners, user_name
from cortexd.ledger import Ledger, Limit, Period, UsageQuery
from cortexd.ledger.keeping.maintenance import check
from tests.unit.ledger_history import NOW, TODAY
from tests.unit.test_ledger_maintenance import first_ledger
from tests.unit.test_ledger_parts import at, audited, complete, rows, settings

pytestmark = pytest.mark.usefixtures("engine")

EVER = (date(2020, 1, 1), date(2100, 1, 1))
NOBODYS_UID = 61_234
LIMITS = [
    Limit("user", "zoe", Period.DAY, 10**9, frozenset({1000})),
    Limit("group", "staff", Period.MONTH, 10**9, frozenset({1000, 1001})),
    Limit("machine", "", Period.DAY, 10**9, None),
]


async def spent(ledger: Ledger) -> list[int]:
    return [state.spent_nano for state in await ledger.budgets(LIMITS)]


@pytest.mark.of_a_file
class TestTakeOver:
    @pytest.mark.parametrize("again", [False, True])
    async def test_begins_a_users_sums_anew(self, tmp_path: Path, again: bool) -> None:
        """His budgets and his groups' count from zero, with sums at hand or read again; the machine's go on."""
        ledger = await Ledger.open(settings(tmp_path))
        await complete(ledger, 5, user="ann", request_id="monday")
        await complete(ledger, 30, uid=1001)
        assert await spent(ledger) == [5, 35, 35]
        await ledger.set_preferences(1000, {"strategy": "cost"})
        await ledger.take_over(1000, "zoe")
        if again:
            await ledger.close()
            ledger = await Ledger.open(settings(tmp_path))
        assert await spent(ledger) == [0, 30, 35]
        assert (await ledger.spent(1000)).day_nano == 0
        assert (await ledger.stats(1000)).total_requests == 0
        assert await ledger.preferences(1000) == {}
        assert await ledger.find(1000, "monday") is None
        await complete(ledger, 7, user="zoe", request_id="monday")
        assert await spent(ledger) == [7, 37, 42]
        assert (await ledger.stats(1000)).total_cost_nano == 7
        [own] = await ledger.usage(UsageQuery(1000, *EVER, user="zoe"))
        assert own.cost_nano == 7
        everybody = await ledger.usage(UsageQuery(None, *EVER, ("uid",)))
        assert {(row.keys["user"], row.cost_nano) for row in everybody} >= {("ann", 5), ("zoe", 7)}
        await ledger.close()
        assert check(at(settings(tmp_path).path)) == []
        assert audited(settings(tmp_path).path).charged_nano == 42

    async def test_outlasts_pruning(self, tmp_path: Path) -> None:
        """Pruned days of the former user stay his; the numbers of entries that are used again hide nothing."""
        ledger = await Ledger.open(settings(tmp_path))
        for _ in range(3):
            await complete(ledger, 5, user="ann", started_at=NOW - timedelta(days=90))
        await ledger.take_over(1000, "zoe")
        await ledger.prune(TODAY)
        await complete(ledger, 7, user="zoe")
        assert (await ledger.spent(1000)).day_nano == 7
        assert (await ledger.stats(1000)).total_requests == 1
        [own] = await ledger.usage(UsageQuery(1000, *EVER, user="zoe"))
        assert own.requests == 1
        await ledger.close()

    async def test_what_was_made_without_a_name_stays(self, tmp_path: Path) -> None:
        """A uid whose name could not be told has its number for one; those requests are the user's own."""
        ledger = await Ledger.open(settings(tmp_path))
        await complete(ledger, 5, user="1000")
        await complete(ledger, 7, user="zoe")
        [own] = await ledger.usage(UsageQuery(1000, *EVER, user="zoe"))
        await ledger.close()
        assert own.cost_nano == 12


class TestOwners:
    @pytest.mark.of_a_file
    async def test_are_remembered(self, tmp_path: Path) -> None:
        """The name at a user's first call is kept over restarts, and so is another one later."""
        ledger = await Ledger.open(settings(tmp_path))
        owners = Owners(ledger, await ledger.owners())
        assert await owners.name(0) == "root"
        assert await ledger.owners() == {0: "root"}
        await ledger.take_over(0, "toor")
        await ledger.close()
        again = await Ledger.open(settings(tmp_path))
        assert await again.owners() == {0: "toor"}
        await again.close()

    @pytest.mark.of_a_file
    async def test_a_change_is_told_once(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Whoever holds something of the uid hears of it, and the journal, once the ledger has given up its own."""
        ledger = await Ledger.open(settings(tmp_path))
        await complete(ledger, 5, uid=0, user="ann")
        heard: list[int] = []
        owners = Owners(ledger, {0: "ann"})
        owners.on_change.append(heard.append)
        with caplog.at_level(logging.WARNING):
            assert [await owners.name(0) for _ in range(3)] == ["root"] * 3
        assert heard == [0]
        assert len(caplog.records) == 1
        assert (await ledger.spent(0)).day_nano == 0
        await ledger.close()

    async def test_no_name_is_no_change(self, tmp_path: Path) -> None:
        """Where the user database does not know the uid, its last name stands; a number that gets a name keeps all."""
        ledger = await Ledger.open(settings(tmp_path))
        await complete(ledger, 5, uid=0, user="0")
        owners = Owners(ledger, {NOBODYS_UID: "ann", 0: "0"})
        assert user_name(NOBODYS_UID) is None
        assert await owners.name(NOBODYS_UID) == "ann"
        assert await owners.name(NOBODYS_UID + 1) == str(NOBODYS_UID + 1)
        assert await owners.name(0) == "root"
        assert (await ledger.spent(0)).day_nano == 5
        await ledger.close()

    @pytest.mark.of_a_file
    async def test_of_an_older_ledger(self, tmp_path: Path) -> None:
        """Migrated, each uid's owner is who made its latest request."""
        for name in ("new", "old"):
            (tmp_path / name).mkdir()
        ledger = await Ledger.open(settings(tmp_path / "new"))
        for uid, user in ((1000, "ann"), (1001, "bob"), (1000, "zoe")):
            await complete(ledger, 5, uid=uid, user=user)
        await ledger.close()
        path = settings(tmp_path / "old").path
        first_ledger(path, settings(tmp_path / "new").path)
        again = await Ledger.open(settings(tmp_path / "old"))
        assert await again.owners() == {1000: "zoe", 1001: "bob"}
        assert [row[0] for row in rows(path, "SELECT seq FROM owners")] == [0, 0]
        await again.close()

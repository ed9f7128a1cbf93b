"""Users' own caps in the ledger: kept whole, given up with the uid, and last among the limits."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cortexd.domain.own_cap import AtLimit, Extra, OwnCap
from cortexd.ledger import OWN, PAUSE, Ledger, Limit, OverBudget, Period
from cortexd.ledger.keeping.revisions import HEAD
from tests.unit.test_ledger_parts import complete, make_older, request, rows, settings

pytestmark = pytest.mark.usefixtures("engine")

UID = 1000
UNTIL = datetime(2026, 11, 29, 22, 30, tzinfo=UTC)
CAPS = [
    OwnCap(day_nano=0),
    OwnCap(month_nano=2**62, at_limit=AtLimit.DOWNGRADE),
    OwnCap(paused_until=UNTIL),
    OwnCap(1, 2, AtLimit.REFUSE, UNTIL, Extra("2026-11-29", 3), Extra("2026-11", 4)),
]


def limit(scope: str, nano: int) -> Limit:
    return Limit(scope, "", Period.DAY, nano, frozenset({UID}))


class TestKeeping:
    @pytest.mark.parametrize("cap", CAPS)
    async def test_whole_over_a_restart(self, tmp_path: Path, cap: OwnCap) -> None:
        """Each part of it; a later one replaces it, none removes it."""
        ledger = await Ledger.open(settings(tmp_path))
        await ledger.set_own_cap(UID, OwnCap(5, 5))
        await ledger.set_own_cap(UID, cap)
        await ledger.set_own_cap(UID + 1, OwnCap(7))
        await ledger.close()
        ledger = await Ledger.open(settings(tmp_path))
        assert await ledger.own_caps() == {UID: cap, UID + 1: OwnCap(7)}
        await ledger.set_own_cap(UID, None)
        assert await ledger.own_caps() == {UID + 1: OwnCap(7)}
        await ledger.close()

    @pytest.mark.of_a_file
    async def test_another_users_uid(self, ledger: Ledger) -> None:
        """The cap goes with the user who set it; others keep theirs."""
        await complete(ledger, 5, uid=UID, user="ann")
        for uid in (UID, UID + 1):
            await ledger.set_own_cap(uid, OwnCap(1))
        await ledger.take_over(UID, "zoe")
        assert await ledger.own_caps() == {UID + 1: OwnCap(1)}

    @pytest.mark.of_a_file
    async def test_of_an_older_ledger(self, tmp_path: Path) -> None:
        """One of schema 0005 has no caps, keeps its sums, and takes caps from then on."""
        ledger = await Ledger.open(settings(tmp_path))
        await complete(ledger, 5, uid=UID)
        await ledger.close()
        path = settings(tmp_path).path
        make_older(path, "0005")
        ledger = await Ledger.open(settings(tmp_path))
        assert await ledger.own_caps() == {}
        assert (await ledger.spent(UID)).day_nano == 5
        await ledger.set_own_cap(UID, CAPS[-1])
        assert await ledger.own_caps() == {UID: CAPS[-1]}
        await ledger.close()
        assert rows(path, "SELECT version_num FROM alembic_version")[0][0] == HEAD


class TestRefusal:
    @pytest.mark.parametrize(
        ("limits", "scope"),
        [
            ([limit(OWN, 1), limit("user", 9)], "user"),
            ([limit(OWN, 1), limit("machine", 9)], "machine"),
            ([limit(PAUSE, 0), limit("user", 9)], "user"),
            ([limit(OWN, 1), limit("user", 10)], OWN),
            ([limit(OWN, 0), limit(PAUSE, 0)], PAUSE),
            ([limit(PAUSE, 0), limit(OWN, 99)], PAUSE),
        ],
    )
    async def test_the_users_own_come_last(self, ledger: Ledger, limits: list[Limit], scope: str) -> None:
        """Nobody is asked about what the operator refuses, nor about the cap in a pause."""
        with pytest.raises(OverBudget) as over:
            await ledger.reserve(request(uid=UID), 10, tuple(limits))
        assert over.value.state.limit.scope == scope

    async def test_a_free_request_fits_into_a_pause(self, ledger: Ledger) -> None:
        """As into any limit."""
        assert await ledger.reserve(request(uid=UID), 0, (limit(PAUSE, 0), limit(OWN, 0)))

"""Requests that cost nothing: stored small, so many of a user's day, and counted to the last all the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from cortexd.ledger import AttemptRecord, Ledger, Totals
from cortexd.ledger.keeping import retention
from cortexd.ledger.keeping.maintenance import check
from cortexd.ledger.writing import free_rows
from tests.unit.test_ledger_parts import KIMI, at, attempt, request, rows, settings
from tests.unit.test_ledger_retention import UIDS, Figures, count, figures, reopened

pytestmark = pytest.mark.usefixtures("engine")

WIDE = {f"{'k' * 60}{number:04}": "v" * 256 for number in range(16)}
SHORT = {"job": "nightly", "team": "search"}
FAILED = attempt(0, KIMI, outcome="overloaded", usage=None)
UNSURE = attempt(0, KIMI, outcome="timeout", cost_known=False)


async def end(
    ledger: Ledger, state: str, attempts: Sequence[AttemptRecord] = (), uid: int = 1000, **given: object
) -> int:
    key = await ledger.reserve(request(uid, **given), 9_000)
    await ledger.settle(key, state, attempts)
    return key


def kept(path: Path, uid: int) -> dict[str, int]:
    found = rows(path, f"SELECT state, count(*) FROM requests WHERE uid = {uid} AND cost_nano = 0 GROUP BY 1")
    return {row[0]: row[1] for row in found}


def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a test reaches."""
    monkeypatch.setattr(free_rows, "MAX_IN_VAIN", 10)
    monkeypatch.setattr(free_rows, "MAX_ANSWERED", 25)
    monkeypatch.setattr(retention, "MAX_CHUNK", 4)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    few_rows(monkeypatch)


class TestLabels:
    @pytest.mark.parametrize(
        ("state", "attempts", "labels", "stay"),
        [
            ("failed", (), WIDE, False),
            ("cancelled", (FAILED,), WIDE, False),
            ("failed", (FAILED,), SHORT, True),
            ("failed", (UNSURE,), WIDE, True),
            ("failed", (FAILED, attempt(1)), WIDE, True),
            ("done", (attempt(0),), WIDE, True),
        ],
        ids=["refused", "cancelled", "short", "cost not known", "paid", "answered"],
    )
    async def test_of_a_request_in_vain_are_kept_while_short(
        self, ledger: Ledger, state: str, attempts: Sequence[AttemptRecord], labels: dict[str, str], stay: bool
    ) -> None:
        """Long ones are not written where it turns out that it cost nothing and gave nothing."""
        await end(ledger, state, attempts, request_id="one", labels=labels)
        found = await ledger.find(1000, "one")
        assert found is not None
        assert found.labels == (labels if stay else {})

    @pytest.mark.of_a_file
    async def test_do_not_fill_the_disk(self, tmp_path: Path) -> None:
        """A refused request takes less than 1 KB of the file, whatever its caller sent along."""
        ledger = await Ledger.open(settings(tmp_path))
        path = settings(tmp_path).path
        for _ in range(20):
            await asyncio.gather(*(end(ledger, "failed", labels=WIDE) for _ in range(20)))
        await ledger.close()
        assert path.stat().st_size < 400 * 1_000 + 50 * 4_096  # and the empty tables


async def play(directory: Path, seed: int) -> tuple[Ledger, Figures]:
    """A day of three users: refused, free and paid requests, a reset, a restart; and what can be seen of it."""
    chance = random.Random(seed)
    ledger = await Ledger.open(settings(directory))
    ends = (
        ("failed", ()),
        ("failed", (FAILED,)),
        ("cancelled", (FAILED, FAILED)),
        ("done", (attempt(0),)),
        ("done", (FAILED, attempt(0))),
        ("done", (attempt(700),)),
        ("failed", (UNSURE,)),
    )
    for round_ in range(12):
        made = [(*chance.choice(ends), chance.choice(UIDS)) for _ in range(30)]
        await asyncio.gather(*(end(ledger, *one, task_type=chance.choice(("user_chat", "other"))) for one in made))
        if round_ == 4:
            await ledger.reset_stats(1001)
        if round_ == 8:
            ledger = await reopened(ledger, directory)
    return ledger, await figures(ledger)


class TestNumber:
    @pytest.mark.parametrize("seed", range(3))
    async def test_is_bounded_and_no_figure_changes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
    ) -> None:
        """Beyond so many of a user's day rows become sums: totals, statistics, reports are as if all were kept."""
        whole, expected = await play(tmp_path / "whole", seed)
        await whole.close()
        few_rows(monkeypatch)
        ledger, found = await play(tmp_path / "few", seed)
        assert found == expected
        await ledger.close()
        path = settings(tmp_path / "few").path
        for uid in UIDS:
            assert 0 < kept(path, uid)["done"] <= 25 + 4
        assert count(path, "requests") < count(settings(tmp_path / "whole").path, "requests") - 20
        assert check(at(path)) == []

    @pytest.mark.usefixtures("few")
    async def test_does_not_grow(self, tmp_path: Path) -> None:
        """Twice as many refusals leave as many rows in every table."""
        ledger = await Ledger.open(settings(tmp_path))
        path = settings(tmp_path).path
        tables = ("requests", "attempts", "entries", "daily", "prunings", "carried")
        sizes = []
        for _ in range(3):
            for _ in range(40):
                await end(ledger, "failed", (FAILED,))
            sizes.append([count(path, table) for table in tables])
        assert sizes[0] == sizes[1] == sizes[2]
        assert ledger.totals == Totals(120, 0)
        await ledger.close()
        assert check(at(path)) == []

    @pytest.mark.usefixtures("few")
    async def test_is_each_users_own(self, tmp_path: Path) -> None:
        """One user's flood takes no row of another's, nor a paid one of his own."""
        ledger = await Ledger.open(settings(tmp_path))
        await end(ledger, "failed", (FAILED,), uid=1001, request_id="other")
        await end(ledger, "done", (attempt(5),), request_id="paid")
        for _ in range(60):
            await end(ledger, "failed")
        assert await ledger.find(1001, "other") is not None
        assert await ledger.find(1000, "paid") is not None
        await ledger.close()
        assert kept(settings(tmp_path).path, 1000)["failed"] <= 10 + 4

    @pytest.mark.usefixtures("few")
    async def test_is_remembered_over_a_restart(self, tmp_path: Path) -> None:
        """Rows that an earlier daemon has left count too."""
        for _ in range(4):
            ledger = await Ledger.open(settings(tmp_path))
            for _ in range(13):
                await end(ledger, "failed")
            await ledger.close()
        # The few that wait to go together stay where the daemon ends first.
        assert kept(settings(tmp_path).path, 1000)["failed"] <= 10 + 4 * 4
        assert check(at(settings(tmp_path).path)) == []

    @pytest.mark.usefixtures("few")
    async def test_of_one_that_does_not_add_up_is_left(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A row that cannot become a sum stays as evidence, and those after it go all the same."""
        real = retention._refuse_wrong
        refused: list[int] = []

        def once(one: retention.Old) -> None:
            if not refused:
                refused.append(one.row.id)
                raise ValueError("odd")
            real(one)

        monkeypatch.setattr(retention, "_refuse_wrong", once)
        ledger = await Ledger.open(settings(tmp_path))
        for _ in range(40):
            await end(ledger, "failed")
        assert ledger.writable
        await ledger.close()
        assert refused
        assert kept(settings(tmp_path).path, 1000)["failed"] <= 10 + 4 + 4

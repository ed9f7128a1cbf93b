"""A shared ledger's transactions in one statement, planned by sums of a while ago: they decide as one ledger alone."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from cortexd.config.settings import LedgerSettings
from cortexd.domain.apps import APP
from cortexd.ledger import Ledger, Limit, OverBudget, Period
from cortexd.ledger.engines import Otherwise, place_of
from cortexd.ledger.engines.postgresql.words import listed, numbers, read_numbers, word
from cortexd.ledger.keeping.maintenance import check
from cortexd.ledger.writing.optimistic import Optimistic
from tests.postgresql import Cluster, shared
from tests.unit.test_ledger_parts import attempt, complete, request, several

pytestmark = pytest.mark.slow
EVERYBODY, GROUP = None, frozenset((1, 2))


def limits_of(uid: int, app: str, most: int) -> list[Limit]:
    """A limit of each kind, some of them rounded and shared out."""
    limits = [
        Limit("machine", "", Period.DAY, most, EVERYBODY, most // 20, Fraction(1, 4)),
        Limit("machine", "", Period.MONTH, 3 * most // 2, EVERYBODY, most // 10, Fraction(1, 2)),
        Limit("user", f"user{uid}", Period.DAY, most // 2, frozenset((uid,))),
    ]
    if uid in GROUP:
        limits.append(Limit("group", "lab", Period.DAY, 2 * most // 3, GROUP, most // 25, Fraction(1, 3)))
    if app:
        limits.append(Limit(APP, app, Period.DAY, most // 4, frozenset((uid,))))
    return limits


async def decided(ledger: Ledger, uid: int, app: str, nano: int, most: int, number: int) -> Any:
    """The key, or how it was refused."""
    made = request(uid, request_id=f"r{number}", labels={APP: app} if app else {})
    try:
        return await ledger.reserve(made, nano, limits_of(uid, app, most))
    except OverBudget as refused:
        return refused.own_share, refused.room_nano, refused.state


class TestDecisions:
    @pytest.mark.parametrize("seed", range(8))
    async def test_are_those_of_one_ledger(self, postgresql: Cluster, tmp_path: Path, seed: int) -> None:
        """Three machines, each of which has seen the sums at another time, take, refuse and settle what one ledger in a
        file does, and say the same of it."""
        chance, at = random.Random(seed), shared(postgresql.ledger())
        alone = LedgerSettings(path=tmp_path / "ledger" / "ledger.sqlite3")
        most = chance.choice((400, 3_000, 50_000))
        open_keys: list[tuple[int, int, int]] = []
        taken = refused = 0
        async with several(Ledger.open(alone), *(Ledger.open(at) for _ in range(3))) as (one, *machines):
            holders: dict[int, Ledger] = {}
            for number in range(150):
                machine = chance.choice(machines)
                if open_keys and chance.random() < 0.45:
                    key, own_key, nano = open_keys.pop(chance.randrange(len(open_keys)))
                    state = chance.choice(("done", "failed"))
                    made = [attempt(chance.randrange(nano + 1), cost_known=chance.random() < 0.8)]
                    there, here = (
                        await holders.pop(key).settle(key, state, made),
                        await one.settle(own_key, state, made),
                    )
                    assert replace(there, totals=here.totals) == here
                    continue
                uid, app = chance.choice((1, 2, 3)), chance.choice(("", "", "vim"))
                nano = chance.randrange(1, most // chance.choice((5, 10, 40)))
                there = await decided(machine, uid, app, nano, most, number)
                here = await decided(one, uid, app, nano, most, number)
                if isinstance(here, int):
                    assert isinstance(there, int), (there, number)
                    holders[there] = machine
                    open_keys.append((there, here, nano))
                    taken += 1
                else:
                    assert there == here
                    refused += 1
        assert taken > 20
        assert refused > 5
        assert check(at) == []

    async def test_are_mostly_made_in_one_statement(self, postgresql: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        """Far from a limit nothing has to be planned again."""
        written = {True: 0, False: 0}
        write = Optimistic.write

        def counted(*given: Any) -> Any:
            try:
                found = write(*given)
            except Otherwise:
                written[False] += 1
                raise
            written[True] += 1
            return found

        monkeypatch.setattr(Optimistic, "write", counted)
        at = shared(postgresql.ledger())
        async with several(*(Ledger.open(at) for _ in range(3))) as machines:
            for number in range(60):
                key = await decided(machines[number % 3], 1 + number % 2, "", 10, 100_000, number)
                await machines[number % 3].settle(key, "done", [attempt(5)])
        assert written[True] >= 110
        assert not written[False]


class TestTogether:
    async def test_no_limit_is_passed_and_each_mark_is_told_once(
        self, postgresql: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Machines that do not wait for each other reserve and settle until a budget is full: at no instant is there
        more than it holds, and of each mark exactly one settlement tells."""
        at, most, marks, chance = shared(postgresql.ledger()), 1_000_000, (200_000, 500_000, 900_000), random.Random(7)
        limits = [Limit("machine", "", Period.DAY, most, EVERYBODY, marks=marks)]
        together = {True: 0, False: 0}
        write = Optimistic.write

        def counted(self: Optimistic, connection: Any, plan: Any) -> Any:
            found = write(self, connection, plan)
            together[all(plan.added.locks.values())] += 1
            return found

        monkeypatch.setattr(Optimistic, "write", counted)
        changes: list[tuple[int, int]] = []

        async def ask(machine: Ledger) -> None:
            for _ in range(300):
                nano = chance.randrange(150, 500)
                try:
                    key = await machine.reserve(request(chance.choice((1, 2, 3))), nano, limits)
                except OverBudget:
                    continue
                settled = await machine.settle(key, "done", [attempt(nano - chance.randrange(20))])
                changes.extend((each.before_nano, each.after_nano) for each in settled.budgets)

        async with several(*(Ledger.open(at) for _ in range(12))) as machines:
            await asyncio.gather(*map(ask, machines))
            [state] = await machines[0].budgets(limits)
        assert most - 500 < state.spent_nano <= most
        assert together[True] > 300
        assert together[False] > 20
        for mark in marks:
            assert sum(before < mark <= after for before, after in changes) == 1
        with place_of(at).reading() as connection:
            running = "sum(CASE kind WHEN 'release' THEN -nano ELSE nano END) OVER (ORDER BY seq)"
            assert connection.scalar(text(f"SELECT max(sum) FROM (SELECT {running} AS sum FROM entries) AS r")) <= most
        assert check(at) == []


async def test_an_older_ledger_gets_what_they_need(postgresql: Cluster) -> None:
    """A database of the revision before has no routine that adds."""
    at = shared(postgresql.ledger())
    await (await Ledger.open(at)).close()
    with place_of(at).writer().begin() as connection:
        connection.execute(text("DROP FUNCTION cortexd_add"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0009'"))
    async with several(Ledger.open(at)) as [ledger]:
        await complete(ledger)
    assert check(at) == []


class TestRefusals:
    async def test_come_of_what_others_have_taken_meanwhile(self, postgresql: Cluster) -> None:
        """A machine that saw a budget empty an hour ago learns under its lock that it is full."""
        at = shared(postgresql.ledger())
        limits = [Limit("machine", "", Period.DAY, 1_000, EVERYBODY)]
        async with several(*(Ledger.open(at) for _ in range(2))) as (first, second):
            await first.settle(await first.reserve(request(), 1, limits), "done", [attempt(1)])
            await second.reserve(request(), 990, limits)
            with pytest.raises(OverBudget) as refused:
                await first.reserve(request(), 10, limits)
            assert refused.value.room_nano == 9
            await first.reserve(request(), 9, limits)

    async def test_of_one_in_a_group_leave_the_others(self, postgresql: Cluster) -> None:
        """Of many that wait together as many are taken as fit."""
        at = shared(postgresql.ledger())
        limits = [Limit("machine", "", Period.DAY, 1_000, EVERYBODY)]
        async with several(Ledger.open(at)) as [ledger]:
            await ledger.reserve(request(), 5, limits)
            asked = (ledger.reserve(request(), 10, limits) for _ in range(150))
            found = await asyncio.gather(*asked, return_exceptions=True)
            assert sum(isinstance(key, int) for key in found) == 99


class TestWords:
    @pytest.mark.parametrize(
        "value", ["", "plain", 'a"b', "a\\b", "{x,y}", "NULL", "null", " edge ", "line\nbreak", "ä€𝄞", "a'b", "$1 %s"]
    )
    async def test_of_any_text_arrive_as_they_are(self, postgresql: Cluster, value: str) -> None:
        """By itself, and in a list."""
        place = place_of(shared(postgresql.ledger()))
        with place.writer().connect() as connection:
            driver: Any = connection.connection.driver_connection
            statement = "SELECT $1::text, ($2::text[])[2], ($3::bytea[])[1]"
            raw = value.encode()
            given = [word(value), listed(["x", value, None]), listed([raw])]
            found = driver.pgconn.exec_params(statement.encode(), [each.encode() for each in given if each is not None])
            there = [found.get_value(0, column) for column in range(3)]
        assert there == [raw, raw, b"\\x" + raw.hex().encode()]

    def test_of_numbers(self) -> None:
        """However large."""
        assert read_numbers(numbers([1, -(2**70), 0])) == [1, -(2**70), 0]
        assert read_numbers(numbers([])) == []

"""What is reserved for one request's attempts, beside and after each other, as the ledger has it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cortexd.ledger import Ledger, Limit, Period
from cortexd.requests.reservation import Reservation
from tests.unit.test_ledger_parts import audited, request


class TestReservation:
    async def test_a_retry_beside_a_hedge(self, ledger: Ledger, path: Path) -> None:
        """An attempt fails and begins again at another endpoint while a second model is about to be asked as well: the
        ledger holds what is spent and the worst cases of both, in whatever order they reserve."""
        for number, turns in enumerate(((20, 10), (10, 20))):
            before = audited(path).reserved_nano
            key = await ledger.reserve(request(request_id=f"r{number}"), 10)
            money = Reservation(ledger, 10)
            assert await money.promise(key, 10) == ""
            assert audited(path).reserved_nano - before == 10
            money.booked(10, 7)
            assert await asyncio.gather(*(money.promise(key, nano) for nano in turns)) == ["", ""]
            assert audited(path).reserved_nano - before == 7 + 20 + 10
            money.booked(10, 0)
            money.take_back(20)
            assert await money.promise(key, 30) == ""
            assert audited(path).reserved_nano - before == 7 + 20 + 10

    async def test_a_budget_without_room(self, ledger: Ledger, path: Path) -> None:
        """Says so, and leaves what was promised as it was."""
        key = await ledger.reserve(request(), 10, (Limit("user", "me", Period.DAY, 25, None),))
        money = Reservation(ledger, 10)
        assert await money.promise(key, 10) == ""
        assert "budget" in await money.promise(key, 20)
        assert (money.promised_nano, money.reserved_nano, audited(path).reserved_nano) == (10, 10, 10)
        assert await money.promise(key, 15) == ""

    async def test_the_callers_bound_is_on_the_sum(self, ledger: Ledger, path: Path) -> None:
        """Of what was spent, of what is under way and of what would come; nothing is reserved beyond it."""
        key = await ledger.reserve(request(), 10)
        money = Reservation(ledger, 10, most_nano=25)
        assert await money.promise(key, 10) == ""
        assert "max_cost_usd" in await money.promise(key, 16)
        assert await money.promise(key, 15) == ""
        money.booked(10, 2)
        money.booked(15, 15)
        assert "max_cost_usd" in await money.promise(key, 9)
        assert await money.promise(key, 8) == ""
        assert audited(path).reserved_nano == 25

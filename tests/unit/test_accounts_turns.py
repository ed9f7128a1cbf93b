"""Reports of the ledger take turns by user."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from random import Random

from cortexd.accounts.accounts import Accounts
from cortexd.authority import Caller
from cortexd.authority.same_user import SameUser
from cortexd.config.settings import BudgetSettings
from tests.unit.ledger_history import live

EVER = {"since": date(2020, 1, 1).isoformat(), "group_by": ("day", "model", "task_type")}


class TestReports:
    async def test_twenty_of_one_user_delay_another_by_one(self, tmp_path: Path) -> None:
        """Whoever comes after them is answered before the second of them, and another of his before the third."""
        ledger, _ = await live(tmp_path, Random(1))
        accounts = Accounts(ledger, SameUser(), BudgetSettings(), {})
        ended: list[str] = []

        async def report(uid: int, name: str) -> None:
            await accounts.usage(Caller(f":1.{uid}", uid, name, False), EVER)
            ended.append(name)

        many = [asyncio.create_task(report(1000, f"ann {number}")) for number in range(20)]
        await asyncio.sleep(0)
        few = [asyncio.create_task(report(1001, f"bob {number}")) for number in range(2)]
        await asyncio.gather(*many, *few)
        assert ended[:5] == ["ann 0", "bob 0", "ann 1", "bob 1", "ann 2"]
        await ledger.close()

"""What a fleet decides reaches its machines: settings of the database, and what was set on another machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cortexd.domain.own_cap import AtLimit, OwnCap
from cortexd.ledger import Ledger, LimitOverride
from cortexd.ledger.keeping import fleet_settings as fleet
from cortexd.ledger.reading.fleet import look
from tests.eventually import assert_eventually
from tests.postgresql import Cluster, postgresql_fixture, shared  # noqa: F401
from tests.system.daemon import RELOADED, Daemon
from tests.system.program import MANAGER, Program, dictionary, program_fixture, refused  # noqa: F401

pytestmark = pytest.mark.slow
MakeDaemon = Callable[..., Daemon]
OWN = '[budgets.machine]\nday_usd = "1.00"\n[ledger]\nurl = "{}"\n'
DOLLAR = 10**9
NOTHING = '[budgets.machine]\nday_usd = "0"\n'


def reload(daemon: Daemon) -> None:
    before = daemon.log().count(RELOADED)
    daemon.reload()
    assert_eventually(lambda: daemon.log().count(RELOADED) > before, message=RELOADED)


class TestFleetSettings:
    async def test_hold_on_a_machine(self, daemon: MakeDaemon, program: Program, postgresql: Cluster) -> None:
        """A revision stands above conf.d, is taken by a reload, and holds from the next start on with the database
        away; what a machine cannot take changes nothing, and is told once."""
        at = shared(postgresql.database())
        running = daemon(OWN.format(at.url))
        await program.complete("user_chat", "hello")
        fleet.add(at, NOTHING, "", "ann@desk", 0)
        reload(running)
        assert "taking revision 1" in running.log()
        with refused("BudgetExceeded"):
            await program.complete("user_chat", "hello")

        fleet.add(at, '[providers.claude]\nbase_url = "https://elsewhere.example"\n', "", "eve@desk", 1)
        reload(running)
        reload(running)
        assert running.log().count("revision 2 of the fleet's settings cannot be taken, 1 stays") == 1
        assert [each.refused and each.refused.revision for each in look(at).hosts] == [2]
        with refused("BudgetExceeded"):
            await program.complete("user_chat", "hello")
        running.restart()
        with refused("BudgetExceeded"):
            await program.complete("user_chat", "hello")

        fleet.add(at, '[budgets.machine]\nday_usd = "1.00"\n', "", "ann@desk", 2)
        running.restart()
        await program.complete("user_chat", "hello")
        assert [each.refused for each in look(at).hosts] == [None]

    async def test_hold_with_the_database_away(self, daemon: MakeDaemon, program: Program, postgresql: Cluster) -> None:
        """A daemon that starts without its database goes by the revision that the machine has taken last."""
        at = shared(postgresql.database())
        running = daemon(OWN.format(at.url))
        fleet.add(at, '[routing.table]\nuser_chat = "kimi_k2"\n', "", "ann@desk", 0)
        reload(running)
        postgresql.stop()
        try:
            running.restart()
            assert (await program.route("user_chat", "hello"))["provider"] == "kimi_k2"
        finally:
            postgresql.start()

    async def test_come_with_what_other_machines_set(
        self, daemon: MakeDaemon, program: Program, postgresql: Cluster
    ) -> None:
        """Limits, caps and wishes of another machine hold here too; an amount that one leaves as it is stays as the
        other has set it."""
        at = shared(postgresql.database())
        running = daemon(OWN.format(at.url))
        other = await Ledger.open(at)
        await program.complete("user_chat", "hello")
        await other.set_budget("machine", "", LimitOverride(0, None), 0)
        reload(running)
        with refused("BudgetExceeded"):
            await program.complete("user_chat", "hello")
        await other.set_budget("machine", "", LimitOverride(DOLLAR, None), 0)
        await program.call(MANAGER, "SetBudget", "a{sv}", dictionary({"scope": "machine", "month_usd": 5.0}))
        assert await other.budget_overrides() == {("machine", ""): LimitOverride(DOLLAR, 5 * DOLLAR)}
        await other.set_own_cap(0, OwnCap(day_nano=0, at_limit=AtLimit.REFUSE))
        reload(running)
        with refused("BudgetExceeded"):
            await program.complete("user_chat", "hello")
        await other.set_own_cap(0, None)
        await other.set_preferences(0, {"providers": {"user_chat": "kimi_k2"}})
        reload(running)
        assert (await program.complete("user_chat", "hello")).metadata["provider"] == "kimi_k2"
        await other.close()

"""What a fleet decides reaches its machines: settings of the database, and what was set on another machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cortexd.domain.own_cap import AtLimit, OwnCap
from cortexd.ledger import Ledger, LimitOverride
from cortexd.ledger.keeping import fleet_settings as fleet
from cortexd.ledger.reading.fleet import look
from simulated import ControlClient
from tests.eventually import assert_eventually, assert_eventually_async
from tests.postgresql import Cluster, postgresql_fixture, shared  # noqa: F401
from tests.system.daemon import RELOADED, Daemon
from tests.system.namespace import PYTHON
from tests.system.people import as_user
from tests.system.program import MANAGER, Program, dictionary, program_fixture, refused  # noqa: F401
from tests.system.test_shared_ledger import house

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

    async def test_are_waited_for_by_who_has_none(
        self, daemon: MakeDaemon, program: Program, postgresql: Cluster, simulated: ControlClient
    ) -> None:
        """A machine that cannot take its first revision pays for nothing, whoever starts it, and says so; local models
        that cost nothing answer, and are booked. With one that it can take it goes on by itself."""
        at = shared(postgresql.database())
        running = daemon(house(simulated) + OWN.format(at.url))
        await program.complete("user_chat", "hello", provider="claude")
        fleet.add(at, NOTHING + '[providers.gpu]\nrate = "free"\n', "", "ann@desk", 0)
        reload(running)
        for _ in range(2):
            with refused("LedgerUnavailable") as told:
                await program.complete("user_chat", "hello", provider="claude")
            assert told[0].endswith("[cause=fleet_settings revision=1]")
            reply = await program.complete("user_chat", "hello")
            assert (reply.metadata["provider"], reply.metadata["settled"]) == ("house", True)
            shown = as_user("root", [PYTHON, "-m", "cortexd.cli", "status"])
            assert (shown.returncode, "revision 1 of the fleet's settings cannot be taken" in shown.stdout) == (1, True)
            limits = as_user("root", [PYTHON, "-m", "cortexd.cli", "budget"])
            assert "revision 1 of the fleet's settings cannot be taken" in limits.stderr
            running.restart()
        assert "there was none before, so only local models that cost nothing are asked" in running.log()

        fleet.add(at, '[budgets.machine]\nday_usd = "2.00"\n', "", "ann@desk", 1)
        await assert_eventually_async(lambda: "requests are paid for" in running.log(), 40, "taking it by itself")
        await program.complete("user_chat", "hello", provider="claude")
        shown = as_user("root", [PYTHON, "-m", "cortexd.cli", "status"])
        assert (shown.returncode, "settings" in shown.stdout) == (0, False)

    async def test_are_asked_for_before_money_is_spent(
        self, daemon: MakeDaemon, program: Program, postgresql: Cluster
    ) -> None:
        """A machine that has none and starts while its database is away pays for nothing until it knows them."""
        at = shared(postgresql.database())
        running = daemon(OWN.format(at.url))
        running.stop()
        fleet.add(at, NOTHING, "", "ann@desk", 0)
        postgresql.stop()
        try:
            running.start()
            with refused("LedgerUnavailable"):
                await program.complete("user_chat", "hello")
        finally:
            postgresql.start()
        await assert_eventually_async(lambda: "requests are paid for again" in running.log(), 40, "catching up")
        with refused("BudgetExceeded"):
            await program.complete("user_chat", "hello")

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

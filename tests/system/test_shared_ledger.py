"""The daemon on a ledger that other machines share: their spending counts, and the database may go and come back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from dbus_next import Variant
from sqlalchemy import make_url

from cortexd.cli.app import main
from cortexd.daemon.run import LEDGER_UNUSABLE
from cortexd.ledger import AttemptRecord, Ledger, Limit, LimitOverride, NewRequest, Period
from cortexd.ledger.keeping.machine import Machine, this_machine
from simulated import Behaviour, ControlClient
from tests.eventually import assert_eventually_async
from tests.postgresql import Cluster, postgresql_fixture, shared  # noqa: F401
from tests.system.books import read_books
from tests.system.daemon import Daemon
from tests.system.namespace import PYTHON
from tests.system.people import as_user
from tests.system.program import USAGE, Program, dictionary, program_fixture, refused  # noqa: F401

pytestmark = pytest.mark.slow
MakeDaemon = Callable[..., Daemon]
DOLLAR = 10**9
BUDGET = '[budgets.machine]\nday_usd = "1.00"\n'


def row(request_id: str) -> NewRequest:
    return NewRequest(0, "root", request_id, False, b"", "user_chat", datetime.now(UTC))


class TestSharedLedger:
    async def test_holds_a_budget_with_other_machines(
        self, daemon: MakeDaemon, program: Program, postgresql: Cluster
    ) -> None:
        """What another machine has reserved is not spent here; a restart forgets nothing."""
        url = postgresql.database()
        running = daemon(f'{BUDGET}[ledger]\nurl = "{url}"\n')
        reply = await program.complete("user_chat", "hello")
        other = await Ledger.open(shared(url))
        key = await other.reserve(row("elsewhere"), DOLLAR - reply.cost_nano, [everybody()])
        with refused("BudgetExceeded") as told:
            await program.complete("user_chat", "hello")
        assert "all machines' $1.00 daily budget" in told[0]
        shown = as_user("root", [PYTHON, "-m", "cortexd.cli", "budget"]).stdout
        assert ("all machines, day" in shown, "this machine" in shown) == (True, False)
        await other.settle(key, "cancelled", [])
        await program.complete("user_chat", "hello")
        running.restart()
        assert (await program.stats())["total_requests"] == 3
        await other.close()

    async def test_outlasts_its_database(self, daemon: MakeDaemon, program: Program, postgresql: Cluster) -> None:
        """While it is away requests are refused with the reason; once it is back they are served, with no restart."""
        running = daemon(f'[ledger]\nurl = "{postgresql.database()}"\n')
        await program.complete("user_chat", "hello")
        postgresql.stop()
        try:
            [stats] = await program.call(USAGE, "GetStats")  # before anybody has tried to write
            assert (set(stats), stats["service"]["ledger_writable"]) == ({"service"}, False)
            for _ in range(3):
                with refused("LedgerUnavailable"):
                    await program.complete("user_chat", "hello")
        finally:
            postgresql.start()
        again = "the ledger can be written again"
        await assert_eventually_async(lambda: again in running.log(), 30, again)
        await program.complete("user_chat", "hello")
        assert (await program.stats())["total_requests"] == 2

    async def test_outlasts_one_that_can_only_be_read(
        self, daemon: MakeDaemon, program: Program, postgresql: Cluster, simulated: ControlClient
    ) -> None:
        """As after a failover to a standby: what is paid for is refused, and local models that cost nothing answer
        without being named. The journal says both."""
        url = postgresql.database()
        name = make_url(url).database
        running = daemon(f"{house(simulated)}[ledger]\nurl = '{url}'\n")
        await program.complete("user_chat", "hello", provider="claude")
        postgresql.ask(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        postgresql.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        with refused("LedgerUnavailable"):
            await program.complete("user_chat", "hello", provider="claude")
        reply = await program.complete("user_chat", "hello")
        assert (reply.metadata["provider"], reply.metadata["settled"]) == ("house", False)
        assert "it is a standby; until it can, only local models that cost nothing are asked" in running.log()
        postgresql.ask(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        postgresql.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        again = "the ledger can be written again"
        await assert_eventually_async(lambda: again in running.log(), 40, again)
        await assert_eventually_async(lambda: len(booked(postgresql, url)) == 2, 20, "booking")

    @pytest.mark.parametrize("users", ["directory", "host"])
    async def test_begins_without_its_database(
        self, daemon: MakeDaemon, program: Program, postgresql: Cluster, simulated: ControlClient, users: str
    ) -> None:
        """Local models that cost nothing answer, the rest is refused; later all of it is booked, once, and paid for
        under the limits that stand in the database."""
        url = postgresql.database()
        most = "[limits]\nmax_free_requests_per_minute_per_user = 1\n"  # and ten at once
        running = daemon(f'{house(simulated)}{BUDGET}{most}[ledger]\nurl = "{url}"\nusers = "{users}"\n', start=False)
        other = await Ledger.open(shared(url))
        await other.set_budget("machine", "", LimitOverride(1, 1), 0)
        await other.close()
        postgresql.stop()
        try:
            running.start()
            with refused("LedgerUnavailable"):
                await program.complete("user_chat", "hello", provider="claude")
            for number in range(10):
                reply = await program.complete("user_chat", "hello", provider="house", request_id=f"free{number}")
                assert (reply.metadata["provider"], reply.cost_nano, reply.metadata["settled"]) == ("house", 0, False)
            with refused("RateLimited"):  # nobody fills the disk for the others
                await program.complete("user_chat", "hello", provider="house")
            shown = json.loads(as_user("root", [PYTHON, "-m", "cortexd.cli", "status", "--json"]).stdout)
            assert (shown["ledger_writable"], shown["ledger_waiting"], shown["ledger_since"] > 0) == (False, 10, True)
            usage = as_user("root", [PYTHON, "-m", "cortexd.cli", "usage"])
            assert (usage.returncode, usage.stdout) == (1, "")  # and not that nothing was used
            running.kill()
            running.start()
        finally:
            postgresql.start()
        await assert_eventually_async(lambda: "requests are paid for again" in running.log(), 40, "catching up")
        with refused("BudgetExceeded"):
            await program.complete("user_chat", "hello", provider="claude")
        await assert_eventually_async(
            lambda: booked(postgresql, url) == [f"free{number}" for number in range(10)], 20, "booking"
        )
        assert (await program.stats())["total_requests"] == 10

    async def test_lets_no_stranger_in_meanwhile(
        self, daemon: MakeDaemon, program: Program, postgresql: Cluster
    ) -> None:
        """A uid that is somebody else's on the other machines gets nothing of theirs, also on a connection from when
        nobody could know that."""
        url = postgresql.database()
        running = daemon(f'[ledger]\nurl = "{url}"\n', start=False)
        other = await Ledger.open(shared(url))
        await other.note_owner(0, "boss")
        await other.close()
        postgresql.stop()
        try:
            running.start()
            await program.call(USAGE, "GetStats")
        finally:
            postgresql.start()
        await assert_eventually_async(lambda: "requests are paid for again" in running.log(), 40, "catching up")
        with refused("org.freedesktop.DBus.Error.AccessDenied"):
            await program.stats()


def booked(cluster: Cluster, url: str) -> list[object]:
    database = make_url(url).database or ""
    return [row[0] for row in cluster.ask("SELECT request_id FROM requests ORDER BY request_id", database)]


def house(simulated: ControlClient) -> str:
    """A local model that costs nothing."""
    simulated.behave("house", Behaviour(keys=("none",)))
    return f'[providers.house]\napi = "openai"\nbase_url = "{simulated.url("house")}"\nmodel = "tiny"\nlocal = true\n'


def everybody() -> Limit:
    return Limit("machine", "", Period.DAY, DOLLAR, None)


class TestTimeZone:
    async def test_is_the_fleets(self, daemon: MakeDaemon, program: Program) -> None:
        """A day is the one that it is in the zone of the settings, and no machine's own."""
        here = "Etc/GMT+12"  # where it is never the same day as there
        running = daemon('[ledger]\ntime_zone = "Pacific/Kiritimati"\n', environment={"TZ": here})
        await program.complete("user_chat", "hello")
        [row] = read_books(running.ledger_file).rows
        assert row["day"] == str(datetime.now(ZoneInfo("Pacific/Kiritimati")).date())
        assert row["day"] != str(datetime.now(ZoneInfo(here)).date())


class TestUsersOfMachines:
    async def test_are_told_apart(self, daemon: MakeDaemon, program: Program, postgresql: Cluster) -> None:
        """With users by machine a namesake's spending elsewhere is not one's own, and reports say which machine."""
        shared_here = replace(shared(postgresql.database()), users="host")
        other = await Ledger.open(shared_here, machine=Machine("f" * 32, "elsewhere"))
        key = await other.reserve(row("elsewhere"), DOLLAR, [])
        await other.settle(key, "done", [AttemptRecord("claude", "m", "ok", DOLLAR, True, None, 5)])
        daemon(f'[budgets.each_user]\nday_usd = "1.00"\n[ledger]\nurl = "{shared_here.url}"\nusers = "host"\n')
        reply = await program.complete("user_chat", "hello")
        query = dictionary({"all_users": True, "group_by": Variant("as", ["uid"])})
        [rows] = await program.call(USAGE, "GetUsage", "a{sv}", query)
        assert {(row["uid"], row["host"]): row["cost_nano_usd"] for row in rows} == {
            (0, "elsewhere"): DOLLAR,
            (0, this_machine(shared_here).name): reply.cost_nano,
        }
        await other.close()


class TestMoving:
    async def test_goes_on_where_it_was(
        self,
        daemon: MakeDaemon,
        program: Program,
        postgresql: Cluster,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """An administrator moves the file into the database, and later out again: counters and budgets go on."""
        running = daemon(BUDGET)
        first = await program.complete("user_chat", "hello")
        running.stop()
        shared_with = f'{BUDGET}[ledger]\nurl = "{postgresql.database()}"\n'
        running.configure(shared_with)
        assert main(["fleet", "import", str(running.ledger_file), "--config", str(running.config_file)]) == 0
        running.start()
        second = await program.complete("user_chat", "hello")
        assert (await program.stats())["total_requests"] == 2
        running.stop()
        back = running.ledger_file.with_name("back.sqlite3")
        assert main(["fleet", "export", str(back), "--config", str(running.config_file)]) == 0
        assert str(first.cost_nano + second.cost_nano) in capsys.readouterr().out
        shutil.chown(back, "cortexd")
        running.configure(f'{BUDGET}[ledger]\npath = "{back}"\n')
        running.start()
        assert (await program.stats())["total_cost_nano_usd"] == first.cost_nano + second.cost_nano
        running.stop()
        running.configure(BUDGET)
        running.start(wait=False)
        assert running.await_end() == LEDGER_UNUSABLE
        assert "cortexctl fleet export" in running.log()

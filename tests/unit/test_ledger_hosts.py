"""The machines of a ledger: known by an id that stays, told apart in sums, forgotten once nothing is left of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from cortexd.cli.app import main
from cortexd.cli.shown.failures import DENIED
from cortexd.ledger import Ledger, UsageQuery
from cortexd.ledger.keeping.machine import Machine, hashed
from cortexd.ledger.keeping.revisions import HEAD
from cortexd.ledger.reading.fleet import look
from tests.unit.test_ledger_maintenance import out_of_reach
from tests.unit.test_ledger_parts import MACHINE, at, complete, request, rows, settings

pytestmark = pytest.mark.usefixtures("engine")
COMMANDS = (
    ("status",),
    ("hosts",),
    ("usage",),
    ("import", "/nowhere"),
    ("export", "/nowhere/ledger"),
    ("settings", "show"),
    ("settings", "history"),
    ("settings", "set", "/dev/null"),
    ("settings", "revert", "1"),
)
ALPHA, BETA = (Machine(hashed(name.encode()), name, "1.9.0", "UTC") for name in ("alpha", "beta"))


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user may enter, as pytest's are not."""
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        directory.chmod(0o755)
        yield directory


async def opened(directory: Path, machine: Machine) -> Ledger:
    return await Ledger.open(settings(directory), machine=machine)


class TestIds:
    def test_is_as_systemd_makes_it(self) -> None:
        """An id says nothing of the machine's own, and systemd's tools can tell it."""
        application = bytes.fromhex("6ba7b8109dad11d180b400c04fd430c8")
        own = Path("/etc/machine-id")
        if not shutil.which("systemd-id128") or not own.exists():
            pytest.skip("needs systemd-id128 and a machine's id")
        asked = ["systemd-id128", "machine-id", f"--app-specific={application.hex()}"]
        said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        assert hashed(bytes.fromhex(own.read_text().strip()), application) == said
        assert MACHINE.id not in (own.read_text().strip(), said)


class TestMachines:
    async def test_keep_their_number(self, tmp_path: Path, path: Path) -> None:
        """A machine that comes back is the same, by its id, also under another name; what it writes says so."""
        for machine in (ALPHA, BETA, replace(ALPHA, name="gamma", version="2.0.0")):
            ledger = await opened(tmp_path, machine)
            await complete(ledger)
            await ledger.close()
        found = {row["id"]: row for row in rows(path, "SELECT * FROM hosts")}
        assert {row["name"] for row in found.values()} == {"gamma", "beta"}
        assert (found[ALPHA.id]["version"], found[ALPHA.id]["schema"]) == ("2.0.0", HEAD)
        assert found[ALPHA.id]["first_seen"] < found[ALPHA.id]["last_seen"]
        wrote = [row["host"] for row in rows(path, "SELECT host FROM requests ORDER BY id")]
        assert wrote == [found[machine.id]["number"] for machine in (ALPHA, BETA, ALPHA)]

    async def test_that_differ_are_told(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A daemon says where it disagrees with machines that wrote lately, and where two have one machine's id."""
        await (await opened(tmp_path, ALPHA)).close()
        await (await opened(tmp_path, replace(BETA, time_zone="Asia/Tokyo"))).close()
        [said] = caplog.messages
        assert ("Asia/Tokyo here" in said, "UTC on alpha" in said) == (True, True)
        await (await opened(tmp_path, replace(ALPHA, name="copy", time_zone="Asia/Tokyo"))).close()
        assert "machine-id" in caplog.messages[-1]

    async def test_stay_told_apart_in_daily_sums(self, tmp_path: Path, path: Path) -> None:
        """What is pruned is still each machine's."""
        old = datetime.now(UTC) - timedelta(days=100)
        for machine in (ALPHA, BETA, ALPHA):
            ledger = await opened(tmp_path, machine)
            await complete(ledger, 7, started_at=old)
            await ledger.prune(date.today())
            await ledger.close()
        numbers = {row["name"]: row["number"] for row in rows(path, "SELECT name, number FROM hosts")}
        found = {row["host"]: row["nano"] for row in rows(path, "SELECT host, cost_nano AS nano FROM daily")}
        assert found == {numbers["alpha"]: 14, numbers["beta"]: 7}

    async def test_are_told_apart_in_reports(self, tmp_path: Path) -> None:
        """By machine is what each has used, whether its requests are there still or are daily sums."""
        old = datetime.now(UTC) - timedelta(days=100)
        for machine, started in ((ALPHA, old), (BETA, old), (ALPHA, datetime.now(UTC))):
            ledger = await opened(tmp_path, machine)
            await complete(ledger, 7, started_at=started)
            await ledger.prune(date.today())
            rows = await ledger.usage(UsageQuery(None, date(2020, 1, 1), date(2100, 1, 1), ("host", "provider")))
            await ledger.close()
        told = [(row.keys["host"], row.keys["host_id"], row.cost_nano) for row in rows]
        assert told == [("alpha", ALPHA.id, 14), ("beta", BETA.id, 7)]

    async def test_are_forgotten_when_nothing_is_left(self, tmp_path: Path, path: Path) -> None:
        """A machine that was seen last long ago goes, unless requests or sums are of it."""
        for machine in (ALPHA, BETA):
            ledger = await opened(tmp_path, machine)
            if machine is BETA:
                await complete(ledger)
            await ledger.close()
        ledger = await opened(tmp_path, MACHINE)
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        await ledger.fleet.forget_hosts(tomorrow)
        await ledger.close()
        left = {row["name"] for row in rows(path, "SELECT name FROM hosts")}
        assert left == {"beta", MACHINE.name}


class TestFleet:
    async def test_says_how_machines_stand(self, tmp_path: Path, path: Path) -> None:
        """What each has under way and spent today, who is older than another, and what they must have in common."""
        ledger = await opened(tmp_path, ALPHA)
        await complete(ledger, 5)
        await ledger.close()
        ledger = await opened(tmp_path, replace(BETA, version="1.10.0", time_zone="Asia/Tokyo"))
        await complete(ledger, 6)
        await ledger.reserve(request(), 1)
        state = look(at(path))
        await ledger.close()
        told = {each.host.name: (each.under_way, each.today_nano, each.behind) for each in state.hosts}
        assert told == {"alpha": (0, 5, ("version",)), "beta": (1, 6, ())}
        [difference] = state.differences
        assert "UTC on alpha" in difference

    @pytest.mark.of_a_file
    async def test_is_told_to_scripts(self, tmp_path: Path, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """cortexctl reads the ledger that the settings name; status 1 where machines disagree."""
        for machine in (ALPHA, replace(BETA, users="host")):
            await (await opened(tmp_path, machine)).close()
        config = tmp_path / "config.toml"
        config.write_text(f"[ledger]\npath = {json.dumps(str(path))}\n")
        assert main(["fleet", "hosts", "--json", "--config", str(config)]) == 0
        assert {row["name"] for row in json.loads(capsys.readouterr().out)} == {"alpha", "beta"}
        assert main(["fleet", "status", "--config", str(config)]) == 1
        assert "users" in capsys.readouterr().out

    @pytest.mark.of_a_file
    @pytest.mark.parametrize("where", ["etc", "var"])
    @pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
    def test_is_not_for_ordinary_users(
        self, public: Path, where: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Who may not read the settings, or what is kept of the fleet's, is told so, by the status too."""
        for name in ("etc", "var"):
            (public / name).mkdir(mode=0o755)
        config = public / "etc" / "config.toml"
        config.write_text(f"[ledger]\nurl = 'postgresql+psycopg://cortexd@/x?host=/x'\npath = '{public}/var/ledger'\n")
        (public / where).chmod(0o700)
        with out_of_reach(public / where):
            status = main(["fleet", *words, "--config", str(config)])
        (public / where).chmod(0o755)
        assert (status, "sudo" in capsys.readouterr().err) == (DENIED, True)

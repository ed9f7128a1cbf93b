"""Whether a shared ledger's database would do: asked before a daemon needs it, and said with the next step."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cortexd.cli.app import main
from cortexd.cli.shown.failures import DENIED
from cortexd.config import load
from cortexd.config.ledger_address import with_role
from cortexd.config.settings import LedgerSettings, Secret
from cortexd.ledger import Ledger
from cortexd.ledger.keeping.fitness import fitness
from cortexd.ledger.keeping.revisions import HEAD, REVISIONS
from tests.postgresql import Cluster, shared

pytestmark = pytest.mark.slow
LEDGER_UNUSABLE = 74
Ask = Callable[..., None]


@pytest.fixture
def ledger(postgresql: Cluster) -> LedgerSettings:
    return shared(postgresql.database())


@pytest.fixture
def ask(postgresql: Cluster, ledger: LedgerSettings) -> Ask:
    """What an administrator does in the ledger's database."""

    def do(*statements: str) -> None:
        for each in statements:
            postgresql.ask(each, name_of(ledger))

    return do


@pytest.fixture
async def begun(ledger: LedgerSettings) -> LedgerSettings:
    await (await Ledger.open(ledger)).close()
    return ledger


def name_of(ledger: LedgerSettings) -> str:
    return urlsplit(ledger.url).path.strip("/")


def checked(directory: Path, ledger: LedgerSettings, password: str = "") -> subprocess.CompletedProcess[str]:
    """cortexd --check-config with that ledger."""
    file, secret = directory / "config.toml", directory / "password"
    secret.touch(0o600)
    secret.write_text(password)
    file.write_text(f'[ledger]\nurl = "{ledger.url}"\npath = "{directory}/ledger"\npassword_file = "{secret}"\n')
    command = [sys.executable, "-m", "cortexd", "--check-config", "--config", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


class TestCheck:
    def test_of_an_empty_database(self, tmp_path: Path, postgresql: Cluster, ledger: LedgerSettings) -> None:
        """It will do, is told what will become of it, and stays empty."""
        done = checked(tmp_path, ledger)
        assert done.returncode == 0
        assert f"{ledger.url}: OK, it holds no ledger yet" in done.stdout
        assert postgresql.ask("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name_of(ledger)) == []

    def test_of_one_that_is_away(self, tmp_path: Path, ledger: LedgerSettings) -> None:
        """cortexd starts without it, so it is a warning."""
        done = checked(tmp_path, replace(ledger, url=ledger.url.replace("host=/tmp", "host=/nowhere")))
        assert done.returncode == 0
        assert "warning: postgresql+psycopg://" in done.stderr

    def test_of_one_that_lets_nobody_in(self, tmp_path: Path, ledger: LedgerSettings, ask: Ask) -> None:
        """That is an error; no password is shown."""
        user = f"closed_{name_of(ledger)}"
        ask(f"CREATE ROLE {user} NOLOGIN")
        done = checked(tmp_path, replace(ledger, url=with_role(ledger.url, user)), "not-to-be-shown")
        assert done.returncode == LEDGER_UNUSABLE
        assert user in done.stderr
        assert "not-to-be-shown" not in done.stdout + done.stderr


class TestPassword:
    def test_is_kept_and_tried(
        self,
        tmp_path: Path,
        ledger: LedgerSettings,
        ask: Ask,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """cortexctl credentials set keeps it where the unit has it from, and says at once whether it opens the
        database."""
        config = tmp_path / "config.toml"
        monkeypatch.setattr(load, "DEFAULT_PATH", config)
        user = f"keyless_{name_of(ledger)}"
        ask(f"CREATE ROLE {user} NOLOGIN", f"GRANT CREATE ON SCHEMA public TO {user}")
        for url, status in (("", 0), (with_role(ledger.url, user), DENIED), (ledger.url, 0)):
            config.write_text(f'[ledger]\nurl = "{url}"\npath = "{tmp_path}/ledger"\n')
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"not-to-be-shown\n")))
            words = ("--directory", str(tmp_path / "keys"), "--drop-ins", str(tmp_path / "none"), "--no-restart")
            assert main(["credentials", "set", "ledger_password", *words]) == status
        said = capsys.readouterr()
        assert "no ledger is shared yet" in said.err
        assert f"{ledger.url}: it holds no ledger yet" in said.out
        assert "not-to-be-shown" not in said.out + said.err
        kept = tmp_path / "keys" / "ledger_password"
        assert (kept.read_text().strip(), kept.stat().st_mode & 0o777) == ("not-to-be-shown", 0o600)


class TestFitness:
    def test_of_a_ledger(self, begun: LedgerSettings) -> None:
        """Its schema is told."""
        found = fitness(replace(begun, password=Secret("unused")))
        assert (HEAD in found.state, found.faults) == (True, ())

    def test_of_another_schema(self, begun: LedgerSettings, ask: Ask) -> None:
        """A newer one is no place for this cortexd; an older one is brought up to date, and that is told before."""
        ask("UPDATE alembic_version SET version_num = '9999'")
        found = fitness(begun)
        assert (found.state, "9999" in found.faults[0]) == ("", True)
        ask(f"UPDATE alembic_version SET version_num = '{REVISIONS[-2]}'")
        found = fitness(begun)
        assert REVISIONS[-2] in found.state
        assert any("upgrade all" in doubt for doubt in found.doubts)

    def test_of_a_user_without_rights(self, begun: LedgerSettings, ask: Ask) -> None:
        """Named are the tables that it lacks; the two that may be an administrator's it needs to read alone."""
        user = f"plain_{name_of(begun)}"
        plain = replace(begun, url=with_role(begun.url, user))
        ask(f"CREATE ROLE {user} LOGIN", f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {user}")
        ask(f"REVOKE INSERT ON fleet_settings, budget_overrides FROM {user}")
        assert fitness(plain).faults == ()
        ask(f"REVOKE INSERT ON sums FROM {user}", f"REVOKE SELECT ON fleet_settings FROM {user}")
        faults = fitness(plain).faults
        assert [("SELECT in fleet_settings." in fault, "INSERT in sums." in fault) for fault in faults] == [
            (True, False),
            (False, True),
        ]

    def test_of_a_user_who_may_not_begin(self, ledger: LedgerSettings, ask: Ask) -> None:
        """The right that it lacks is said."""
        user = f"guest_{name_of(ledger)}"
        ask(f"CREATE ROLE {user} LOGIN")
        [fault] = fitness(replace(ledger, url=with_role(ledger.url, user))).faults
        assert "GRANT CREATE ON SCHEMA" in fault

    def test_of_an_encoding(self, postgresql: Cluster, ledger: LedgerSettings) -> None:
        """Labels and names may be in any script."""
        name = f"latin_{name_of(ledger)}"
        postgresql.ask(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        [fault] = fitness(shared(postgresql.url(name))).faults
        assert "LATIN1" in fault

    def test_of_one_that_does_not_answer(self, ledger: LedgerSettings) -> None:
        """Who takes the connection and says nothing is waited for so long and no longer."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"postgresql+psycopg://cortexd@127.0.0.1:{silent.getsockname()[1]}/x"
            [doubt] = fitness(replace(ledger, url=url), within_s=0.2).doubts
        assert "has not answered" in doubt

"""A database on another host: its certificate is verified before a password or a row leaves this machine.

The name db.example.org is this machine's for libpq alone (PGHOSTADDR); for cortexd it is another host.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.eventually import assert_eventually, assert_eventually_async
from tests.postgresql import Cluster, cluster
from tests.system.daemon import SIMULATED_KEYS, Daemon
from tests.system.namespace import PYTHON
from tests.system.people import as_user
from tests.system.program import Program, program_fixture, refused  # noqa: F401
from tests.system.test_lifecycle import CONFIG_WRONG

pytestmark = [pytest.mark.slow, pytest.mark.postgresql]
MakeDaemon = Callable[..., Daemon]
NAME = "db.example.org"
LOOPBACK = "127.0.0.1"
PASSWORD = "Quiet-Otter-7731"
KEYS = {**SIMULATED_KEYS, "ledger_password": PASSWORD}
THERE = {"PGHOSTADDR": LOOPBACK}
EC = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
ENTRANCE = f"local all all trust\nhostssl all all {LOOPBACK}/32 scram-sha-256\n"
BY_CERTIFICATE = ENTRANCE.replace("scram-sha-256", "cert")


@dataclass(frozen=True)
class Remote:
    """A database with TLS; `place` has the certificates: of its authority, and of a stranger."""

    cluster: Cluster
    place: Path

    def url(self, name: str = NAME, authority: str = "authority") -> str:
        database = make_url(self.cluster.database()).database
        where = f"{name}:{self.cluster.port}/{database}"
        return f"postgresql+psycopg://cortexd@{where}?sslrootcert={self.place}/{authority}.pem"

    def set(self, **settings: str) -> None:
        """Returns once new connections find it so."""
        for name, value in settings.items():
            self.cluster.ask(f"ALTER SYSTEM SET {name} = '{value}'")
        self.cluster.ask("SELECT pg_reload_conf()")
        assert_eventually(lambda: {name: self._shown(name) for name in settings} == settings)

    @contextmanager
    def entered(self, entrance: str) -> Iterator[None]:
        """By other lines of pg_hba.conf meanwhile."""
        self._enter(entrance)
        try:
            yield
        finally:
            self._enter(ENTRANCE)

    def _enter(self, entrance: str) -> None:
        """A session that begins later goes by them: the server tells its processes before it begins others."""
        (self.cluster.directory / "data" / "pg_hba.conf").write_text(entrance)
        self.cluster.ask("SELECT pg_reload_conf()")

    def _shown(self, name: str) -> object:
        return self.cluster.ask(f"SHOW {name}")[0][0]


def certify(place: Path, name: str, more: str = "") -> None:
    words = f"{EC} -subj /CN={name} -keyout {place}/{name}.key -out {place}/{name}.pem {more}"
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True, timeout=30)


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def remote(namespace: Path) -> Iterator[Remote]:
    with cluster(f"listen_addresses = '{LOOPBACK}'\n", free_port()) as running:
        place = running.directory / "tls"
        place.mkdir(mode=0o755)
        certify(place, "authority")
        certify(place, "stranger")
        signed = f"-CA {place}/authority.pem -CAkey {place}/authority.key"
        certify(place, NAME, f"{signed} -addext subjectAltName=DNS:{NAME}")
        certify(place, "cortexd", signed)
        if running.become:
            shutil.chown(place / f"{NAME}.key", "nobody")
        (running.directory / "data" / "pg_hba.conf").write_text(ENTRANCE)
        running.ask(f"ALTER ROLE cortexd PASSWORD '{PASSWORD}'")
        made = Remote(running, place)
        files = {"ssl_cert_file": NAME, "ssl_key_file": NAME, "ssl_ca_file": "authority"}
        made.set(**{name: f"{place}/{of}.{'key' if 'key' in name else 'pem'}" for name, of in files.items()}, ssl="on")
        yield made


def cortexctl(running: Daemon, *words: str) -> tuple[int, str]:
    credentials = {"CREDENTIALS_DIRECTORY": str(running.directory / "credentials")}
    command = [PYTHON, "-m", "cortexd.cli", *words, "--config", str(running.config_file)]
    done = as_user("cortexd", command, environment={**THERE, **credentials})
    return done.returncode, done.stdout + done.stderr


def settings(url: str) -> str:
    return f'[ledger]\nurl = "{url}"\n'


class TestDatabaseElsewhere:
    async def test_is_used_over_tls(self, daemon: MakeDaemon, program: Program, remote: Remote) -> None:
        """With its authority named and the password in a credential; neither journal nor tools nor the process's
        command line show the password."""
        running = daemon(settings(remote.url()), keys=KEYS, environment=THERE)
        await program.complete("user_chat", "hello")
        assert (await program.stats())["total_requests"] == 1
        over_tcp = "client_addr IS NOT NULL AND backend_type = 'client backend'"
        seen = remote.cluster.ask(
            f"SELECT count(*) > 0, bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE {over_tcp}"
        )
        assert seen == [(True, True)]
        status, shown = cortexctl(running, "fleet", "hosts")
        assert (status, os.uname().nodename in shown) == (0, True), shown
        shown += cortexctl(running, "config", "show")[1] + Path(f"/proc/{running.pid}/cmdline").read_text()
        assert PASSWORD not in shown + running.log()

    async def test_is_entered_by_a_certificate(self, daemon: MakeDaemon, program: Program, remote: Remote) -> None:
        """Instead of a password, where the database wants one of its authority for the role's name."""
        place = Path(tempfile.mkdtemp())  # that of pytest is root's alone
        for file in (place, *(shutil.copy(remote.place / f"cortexd.{kind}", place) for kind in ("pem", "key"))):
            shutil.chown(file, "cortexd")
        url = f"{remote.url()}&sslcert={place}/cortexd.pem&sslkey={place}/cortexd.key"
        with remote.entered(BY_CERTIFICATE):
            running = daemon(settings(url), environment=THERE)
            await program.complete("user_chat", "hello")
            assert (await program.stats())["total_requests"] == 1
            running.stop()

    @pytest.mark.parametrize(
        ("told", "step", "url"),
        [
            ("certificate verify failed", "name the file of the authority", {"authority": "stranger"}),
            ("does not match host name", "use the name that is in its certificate", {"name": "other.example.org"}),
        ],
        ids=["unknown authority", "other name"],
    )
    async def test_is_refused_as_a_stranger(
        self, daemon: MakeDaemon, program: Program, remote: Remote, told: str, step: str, url: Mapping[str, str]
    ) -> None:
        """Journal and cortexctl say why and what to do, and callers that it is away."""
        running = daemon(settings(remote.url(**url)), keys=KEYS, environment=THERE)
        await self._away(running, program, told, step)

    async def test_is_refused_without_tls(self, daemon: MakeDaemon, program: Program, remote: Remote) -> None:
        """Also where it would let everybody in without it."""
        remote.set(ssl="off")
        try:
            with remote.entered(ENTRANCE.replace("hostssl", "host").replace("scram-sha-256", "trust")):
                running = daemon(settings(remote.url()), keys=KEYS, environment=THERE)
                await self._away(running, program, "server does not support SSL", "switch TLS on there")
        finally:
            remote.set(ssl="on")

    async def _away(self, running: Daemon, program: Program, told: str, step: str) -> None:
        await assert_eventually_async(lambda: step in running.log(), 20, step)
        with refused("LedgerUnavailable") as text:
            await program.complete("user_chat", "hello")
        status, shown = cortexctl(running, "fleet", "hosts")
        assert (status != 0, told in shown, step in shown) == (True, True, True), shown
        assert told in running.log()
        assert PASSWORD not in text[0] + shown + running.log()


class TestAddress:
    @pytest.mark.parametrize(
        ("address", "step"),
        [
            (f"cortexd:{PASSWORD}@{NAME}/cortexd", "put the password into the file"),
            (f"cortexd@{NAME}/cortexd?password={PASSWORD}", "put the password into the file"),
            (f"cortexd@{NAME}/cortexd?sslmode=require", "sslmode=verify-full"),
            (f"cortexd@{NAME}/cortexd?sslmode=disable", "sslmode=verify-full"),
        ],
        ids=["password", "password as an option", "unverified", "in clear"],
    )
    def test_is_refused(self, daemon: MakeDaemon, address: str, step: str) -> None:
        """No daemon begins with a password in it, or without verified TLS: it says what to do, and no secret."""
        running = daemon(settings(f"postgresql+psycopg://{address}"), start=False)
        running.start(wait=False)
        assert running.await_end() == CONFIG_WRONG
        status, shown = cortexctl(running, "config", "show")
        assert status != 0
        for said in (running.log(), shown):
            assert step in said
            assert PASSWORD not in said

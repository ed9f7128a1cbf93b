"""A real PostgreSQL for tests: a private cluster of an ordinary user below a temporary directory, on a Unix socket."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, text

from cortexd.config.settings import LedgerSettings
from tests.eventually import assert_eventually

_DEADLINE_S = 60
_PORT = 5432
_CONFIGURED = """
listen_addresses = ''
port = {port}
unix_socket_directories = '{sockets}'
fsync = off
full_page_writes = off
shared_buffers = 64MB
max_connections = 60
logging_collector = off
autovacuum_naptime = 1d
"""
_POOLED = """
[databases]
* = host={sockets} user=cortexd
[pgbouncer]
listen_port = 5432
unix_socket_dir = {place}
pidfile = {place}/pid
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 2000
"""
_BOUNCER = os.environ.get("CORTEXD_PGBOUNCER") or "/usr/sbin/pgbouncer"
_numbers = count(1)


def programs() -> Path | None:
    """Where PostgreSQL has its programs: CORTEXD_POSTGRESQL, or this machine's newest; None where there is none."""
    if chosen := os.environ.get("CORTEXD_POSTGRESQL"):
        return Path(chosen).absolute()
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda each: int(each.parts[-3]))
    return found[-1].parent if found else None


@dataclass(frozen=True)
class Cluster:
    """`become`: what runs a program as the cluster's user, who is never root."""

    directory: Path
    bin: Path
    become: tuple[str, ...]
    port: int = _PORT

    @property
    def _sockets(self) -> Path:
        return self.directory / "run"

    def make(self, more: str = "") -> None:
        """`more`: lines of its configuration."""
        self._run("initdb", "--pgdata", str(self._data), "--username", "cortexd", "--auth", "trust", "--no-sync")
        settings = _CONFIGURED.format(sockets=self._sockets, port=self.port) + more
        self._shell(f"cat >> {self._data}/postgresql.conf", settings)
        self.start()

    def start(self) -> None:
        self._run("pg_ctl", "start", "--wait", "--pgdata", str(self._data), "--log", str(self.directory / "log"))

    def stop(self, mode: str = "immediate") -> None:
        """`immediate` is what a crash does: connections break, the next start recovers."""
        self._run("pg_ctl", "stop", "--wait", "--mode", mode, "--pgdata", str(self._data))

    def database(self) -> str:
        """A new, empty database's address."""
        name = f"ledger{next(_numbers)}"
        self.ask(f"CREATE DATABASE {name}")
        return self.url(name)

    def ledger(self) -> str:
        """The address of a place for a ledger of its own; a schema is made sooner than a database, of fewer files."""
        name = f"ledger{next(_numbers)}"
        self.ask(f"CREATE SCHEMA {name}")
        return f"{self.url('postgres')}&options=-csearch_path%3D{name}"

    def url(self, database: str) -> str:
        port = f":{self.port}" if self.port != _PORT else ""
        return f"postgresql+psycopg://cortexd@{port}/{database}?host={self._sockets}"

    @contextmanager
    def pooled(self, url: str, connections: int = 2) -> Iterator[str]:
        """The same database through PgBouncer in transaction mode, with fewer connections than there are clients."""
        place = self.directory / "pool"
        given = _POOLED.format(sockets=self._sockets, place=place, connections=connections)
        self._shell(f"mkdir -p {place} && cat > {place}/pgbouncer.ini", given)
        command = [*self.become, _BOUNCER, "--quiet", f"{place}/pgbouncer.ini"]
        with (self.directory / "said").open("a") as said:
            process = subprocess.Popen(command, stdout=said, stderr=said, cwd="/")
        try:
            assert_eventually((place / ".s.PGSQL.5432").exists, message="PgBouncer to listen")
            yield url.replace(str(self._sockets), str(place))
        finally:
            process.kill()  # from 1.23 on it waits for its clients to leave, when it is told to end
            process.wait(_DEADLINE_S)
            (place / ".s.PGSQL.5432").unlink()

    def ask(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """What an administrator sees."""
        engine = create_engine(self.url(database), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            found = connection.execute(text(statement))
            return [tuple(row) for row in found] if found.returns_rows else []

    def hammer(self, statement: str, database: str, clients: int, seconds: float) -> None:
        """Commit `statement` again and again, prepared, by so many connections at a time."""
        script = self.directory / "hammer.sql"
        self._shell(f"cat > {script}", statement)
        how = ("--no-vacuum", "--protocol=prepared", "--jobs=2", f"--client={clients}", f"--time={round(seconds)}")
        where = (f"--host={self._sockets}", f"--port={self.port}", "--username=cortexd", database)
        self._run("pgbench", *how, f"--file={script}", *where)

    def cpu_seconds(self) -> float:
        """What its processes have taken, those that have ended too."""
        return _cpu_seconds(int(self._pid_file()))

    def pool_cpu_seconds(self) -> float:
        """The same of the PgBouncer that runs."""
        return _cpu_seconds(int((self.directory / "pool" / "pid").read_text()))

    def _pid_file(self) -> str:
        return (self._data / "postmaster.pid").read_text().split()[0]

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self.become, str(self.bin / program), *arguments]
        with (self.directory / "said").open("a+") as said:  # no pipe: the server would keep it open
            done = subprocess.run(command, stdout=said, stderr=said, cwd="/", timeout=_DEADLINE_S, check=False)
            said.seek(0)
            assert not done.returncode, said.read()

    def _shell(self, command: str, given: str) -> None:
        command_line = [*self.become, "sh", "-c", command]
        subprocess.run(command_line, input=given, text=True, cwd="/", timeout=_DEADLINE_S, check=True)


@contextmanager
def cluster(more: str = "", port: int = _PORT) -> Iterator[Cluster]:
    """Running meanwhile, with `more` lines of configuration. A short path: a socket's has 107 bytes at most."""
    found = programs()
    assert found is not None
    directory = Path(tempfile.mkdtemp(prefix="cortexd-pg-"))
    try:
        made = Cluster(directory, found, become(directory), port)
        directory.chmod(0o711)  # a daemon under test is another user
        (directory / "run").mkdir(mode=0o755)
        if made.become:
            shutil.chown(directory, "nobody")
            shutil.chown(directory / "run", "nobody")
        made.make(more)
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session", name="postgresql")
def postgresql_fixture() -> Iterator[Cluster]:
    if programs() is None or not os.path.exists(_BOUNCER):
        missing = "PostgreSQL or PgBouncer is not installed: apt-get install postgresql pgbouncer"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    with cluster() as running:
        yield running


def shared(url: str) -> LedgerSettings:
    """What is kept on this machine while the database is away has a place of its own."""
    return LedgerSettings(url=url, path=Path(tempfile.gettempdir()) / f"cortexd-{secrets.token_hex(8)}" / "ledger")


def become(directory: Path) -> tuple[str, ...]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return ()
    nobody = pwd.getpwnam("nobody")
    return ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")


def _cpu_seconds(server: int) -> float:
    """Of a process and its children, those that have ended too."""
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    stats = []
    for pid in (*children, server):  # who ends meanwhile is counted by the server, which comes last
        with suppress(FileNotFoundError, ProcessLookupError):
            stats.append(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split())
    own = sum(int(stat[11]) + int(stat[12]) for stat in stats)
    ended = int(stats[-1][13]) + int(stats[-1][14])
    return (own + ended) / os.sysconf("SC_CLK_TCK")

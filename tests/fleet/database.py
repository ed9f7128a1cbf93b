"""The fleet's PostgreSQL on a disk that can be full, behind PgBouncer, which the hosts reach over TLS."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.eventually import assert_eventually
from tests.fleet.host import HUB, run
from tests.postgresql import Cluster, become, programs

PORT = 6432
_DISK_MB = 3000  # of memory, while it is full; half an hour writes 1,000
_POOL = """
[databases]
ledger = host={sockets} user=cortexd dbname=ledger1
[pgbouncer]
listen_addr = {hub}
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 20
max_client_conn = 200
client_tls_sslmode = require
client_tls_key_file = {place}/key
client_tls_cert_file = {place}/certificate
"""


class Database:
    def __init__(self, directory: Path) -> None:
        found = programs()
        assert found is not None, "PostgreSQL is not installed: apt-get install postgresql pgbouncer"
        self._directory = directory
        self._filling = directory / "full"
        self._pool: subprocess.Popen[bytes] | None = None
        self.cluster = Cluster(directory, found, become(directory))

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://cortexd@{HUB}:{PORT}/ledger?sslrootcert={self._directory}/certificate"

    def begin(self) -> None:
        self._directory.mkdir()
        run("mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m,mode=0711", "none", str(self._directory))
        (self._directory / "run").mkdir(mode=0o755)
        for place in ("", "run"):
            shutil.chown(self._directory / place, "nobody")
        self.cluster.make()
        assert "/ledger1?" in self.cluster.database()
        self._certify()
        self.start_pool()

    def kill(self) -> None:
        """kill -9 of the server, whose processes find out."""
        pid = int((self._directory / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)

    def start(self) -> None:
        """What the killed one has left may still be there for a while."""
        for _ in range(20):
            with suppress(AssertionError):
                self.cluster.start()
                return
            time.sleep(1)
        raise AssertionError("PostgreSQL does not start again")

    def start_pool(self) -> None:
        command = [*self.cluster.become, "/usr/sbin/pgbouncer", "--quiet", f"{self._directory}/pgbouncer.ini"]
        with (self._directory / "pool.log").open("a") as log:
            self._pool = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")

    def kill_pool(self) -> None:
        assert self._pool is not None
        self._pool.kill()
        self._pool.wait(10)

    @contextmanager
    def full(self) -> Iterator[None]:
        """Not a byte is left meanwhile."""
        with self._filling.open("wb") as file, suppress(OSError):
            while True:
                file.write(b"\0" * 1_000_000)
        try:
            yield
        finally:
            self._filling.unlink(missing_ok=True)

    def serves(self) -> bool:
        with suppress(Exception):
            return bool(self.cluster.ask("SELECT 1"))
        return False

    def heal(self) -> None:
        """Whatever was done to it."""
        self._filling.unlink(missing_ok=True)
        if not self.serves():
            self.start()
        if self._pool is None or self._pool.poll() is not None:
            self.start_pool()
        assert_eventually(self.serves, 60, "PostgreSQL")

    def end(self) -> None:
        if self._pool is not None:
            self.kill_pool()
        self.cluster.stop()
        run("umount", "--lazy", str(self._directory))

    def _certify(self) -> None:
        place = self._directory
        made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        names = ["-subj", "/CN=database", "-addext", f"subjectAltName=IP:{HUB}", "-days", "2"]
        subprocess.run(
            [*made, *names, "-keyout", f"{place}/key", "-out", f"{place}/certificate"],
            check=True,
            timeout=30,
            stderr=subprocess.DEVNULL,
        )
        (place / "key").chmod(0o600)
        shutil.chown(place / "key", "nobody")
        ini = _POOL.format(sockets=place / "run", hub=HUB, port=PORT, place=place)
        (place / "pgbouncer.ini").write_text(ini)

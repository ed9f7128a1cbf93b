"""One machine of the fleet: a network namespace with a link to the database's, a name, a bus, a vendor and a daemon."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.eventually import assert_eventually
from tests.fleet.vendor import PORT

HUB = "10.77.0.1"
_CONFIG = """
[daemon]
preload_sdks = true
log_requests = false
[limits]
max_active_requests = 1000
max_active_requests_per_user = 1000
max_free_requests_per_minute_per_user = 100000
[routing]
fallback = false
[budgets]
own_share = 1.0
[budgets.machine]
month_usd = "{budget}"
[providers.paid]
api = "openai"
base_url = "http://127.0.0.1:{port}/v1"
model = "paid"
local = true
max_tokens = 200
rate = {{ input_usd_per_million = "1", output_usd_per_million = "10" }}
[providers.free]
api = "openai"
base_url = "http://127.0.0.1:{port}/v1"
model = "free"
local = true
max_tokens = 200
[ledger]
path = "{state}/ledger.sqlite3"
url = "{url}"
lease_s = 10
"""
_ENTER = """
hostname {name}
for id in /etc/machine-id /var/lib/dbus/machine-id; do [ ! -f $id ] || mount --bind {directory}/machine-id $id; done
exec "$@"
"""


def run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=30)


def make_hub() -> None:
    """The namespace of this process is the database's; the hosts' links meet on its bridge."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "name", "hub", "type", "bridge")
    run("ip", "address", "add", f"{HUB}/24", "dev", "hub")
    run("ip", "link", "set", "hub", "up")


class Host:
    """`address`: of its bus, which any namespace reaches."""

    def __init__(self, directory: Path, number: int, url: str) -> None:
        self.name = f"host{number}"
        self.bills = directory / "bills"
        self.log = directory / "log"
        self.address = f"unix:path={directory}/bus"
        self._directory = directory
        self._spool = directory / "state" / "ledger.spool"
        self._url = url
        self._daemon: subprocess.Popen[bytes] | None = None
        self._beside: list[subprocess.Popen[bytes]] = []
        (directory / "state").mkdir(parents=True, mode=0o700)
        self.bills.touch()
        (directory / "machine-id").write_text(secrets.token_hex(16) + "\n")
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", f"link{number}", "type", "veth", "peer", "name", "eth0", "netns", self.name)
        run("ip", "link", "set", f"link{number}", "master", "hub", "up")
        for words in (("link", "set", "lo", "up"), ("link", "set", "eth0", "up")):
            run("ip", "-n", self.name, *words)
        run("ip", "-n", self.name, "address", "add", f"10.77.0.{10 + number}/24", "dev", "eth0")
        self._link = f"link{number}"

    def begin(self, budget: str) -> None:
        self.configure(budget)
        bus = ["dbus-daemon", "--session", f"--address={self.address}", "--nofork", "--nopidfile"]
        self._beside = [self._run(bus), self._run([sys.executable, "-m", "tests.fleet.vendor", str(self.bills)])]
        assert_eventually((self._directory / "bus").exists, message=f"the bus of {self.name}")
        self.start()

    def configure(self, budget: str) -> None:
        config = _CONFIG.format(budget=budget, port=PORT, state=self._directory / "state", url=self._url)
        (self._directory / "config.toml").write_text(config)

    def reload(self) -> None:
        self._signal(signal.SIGHUP)

    def start(self) -> None:
        config = str(self._directory / "config.toml")
        self._daemon = self._run([sys.executable, "-m", "cortexd", "--bus", self.address, "--config", config])
        assert_eventually(lambda: "serving" in self.log.read_text().rpartition("#")[2], 60, f"{self.name} to serve")

    def kill(self) -> None:
        """kill -9, in the middle of whatever it does."""
        self._signal(signal.SIGKILL)
        assert self._daemon is not None
        self._daemon.wait(10)
        with self.log.open("a") as log:
            log.write("# killed\n")

    @property
    def spools(self) -> list[Path]:
        """What it keeps to book it later, if there is any."""
        return [self._spool] if self._spool.exists() else []

    def cut(self) -> None:
        run("ip", "link", "set", self._link, "down")

    def join(self) -> None:
        run("ip", "link", "set", self._link, "up")

    def end(self) -> None:
        for process in (*([self._daemon] if self._daemon else []), *self._beside):
            process.send_signal(signal.SIGTERM)
        for process in (*([self._daemon] if self._daemon else []), *self._beside):
            process.wait(60)

    def _signal(self, number: signal.Signals) -> None:
        assert self._daemon is not None
        self._daemon.send_signal(number)

    def _run(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        enter = _ENTER.format(name=self.name, directory=self._directory)
        inside = ["ip", "netns", "exec", self.name, "unshare", "--uts", "--mount", "sh", "-ec", enter, "sh", *command]
        environment = {**os.environ, "DBUS_SESSION_BUS_ADDRESS": self.address}
        with self.log.open("ab") as log:
            return subprocess.Popen(inside, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)

"""cortexd as a process of its own, as user cortexd on the namespace's system bus."""

from __future__ import annotations

import os
import pwd
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cortexd.connection import wire
from simulated import ControlClient
from tests.eventually import assert_eventually
from tests.system.namespace import PYTHON
from tests.system.terminal import switch_user, user_environment

SIMULATED_KEYS = {"claude": "sk-sim-claude-of-the-tests", "kimi_k2": "sk-sim-kimi-of-the-tests"}
UNIT = Path(__file__).resolve().parents[2] / "systemd" / "cortex-llm-router.service"
RELOADED = "configuration reloaded"


def base_urls(simulated: ControlClient) -> str:
    """The TOML that leads a daemon to the simulated providers."""
    return "".join(f'[providers.{name}]\nbase_url = "{simulated.url(name)}"\n' for name in SIMULATED_KEYS)


class Daemon:
    """One cortexd with its own directory: configuration, credentials, ledger and log outlive a restart.

    `config` is TOML over `base_config`; `keys` become systemd-style credentials; `environment` is added to what a
    service would have.
    """

    def __init__(
        self,
        directory: Path,
        base_config: str,
        config: str = "",
        keys: Mapping[str, str] = SIMULATED_KEYS,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.config_file = directory / "config.toml"
        self.ledger_file = directory / "state" / "ledger.sqlite3"
        self.log_file = directory / "log"
        self.exit_status: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._keys = keys
        credentials = {"CREDENTIALS_DIRECTORY": str(directory / "credentials")}
        self._environment = {**unit_environment(), **credentials, **(environment or {})}
        self._make_directories()
        self._write("config.toml", f'{base_config}\n[ledger]\npath = "{self.ledger_file}"\n')
        for provider, key in keys.items():
            self._write(f"credentials/keys_{provider}", key, mode=0o400)
        self.configure(config)

    def configure(self, config: str, name: str = "50-test.toml") -> None:
        """Replace the test's own settings, or another file of them; a running daemon sees them after `reload`."""
        self._write(f"conf.d/{name}", config)

    def start(self, wait: bool = True, timeout: float = 20.0) -> None:
        """Returns once the daemon owns its name; without `wait`, at once."""
        assert self._process is None, "already running"
        argv = [PYTHON, "-m", "cortexd", "--bus", "system", "--config", str(self.config_file)]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                switch_user("cortexd", argv),
                env=user_environment("cortexd", self._environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if wait:
            assert_eventually(self._owns_name_or_left, timeout, f"cortexd to own {wire.BUS_NAME}")
            assert self._process.poll() is None, f"cortexd left with status {self.await_end()}:\n{self.log()}"

    def stop(self, timeout: float = 15.0) -> int:
        """SIGTERM, and the exit status; an AssertionError where it does not leave in time."""
        self.signal(signal.SIGTERM)
        return self.await_end(timeout)

    def kill(self) -> None:
        """kill -9. The bus has noticed when this returns."""
        pid = self.pid
        self.signal(signal.SIGKILL)
        self.await_end()
        assert_eventually(lambda: name_owner() != pid, message="the bus to notice")

    def restart(self) -> None:
        self.stop()
        self.start()

    def reload(self) -> None:
        self.signal(signal.SIGHUP)

    def reconfigure(self, config: str, outcome: str = RELOADED) -> None:
        """Returns once the daemon has dealt with these settings of the test's, which is when it logs `outcome`."""
        before = self.log().count(outcome)
        self.configure(config)
        self.reload()
        assert_eventually(lambda: self.log().count(outcome) > before, message=outcome)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "not running"
        self._process.send_signal(number)

    def await_end(self, timeout: float = 15.0) -> int:
        """The exit status of a daemon that leaves by itself, negative for a signal."""
        assert self._process is not None, "not running"
        try:
            self.exit_status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"cortexd did not leave within {timeout:g} s:\n{self.log()}") from None
        finally:
            self._process = None
        return self.exit_status

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not running"
        return self._process.pid

    def log(self) -> str:
        return self.log_file.read_text("utf-8", "replace") if self.log_file.exists() else ""

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Started, and at the end it has to leave with status 0 and a clean log."""
        self.start()
        try:
            yield
            assert self.stop() == 0
        finally:
            if self.running:
                self.kill()
        self.assert_clean_log()

    def assert_clean_log(self) -> None:
        """No traceback was logged, no task left behind, and no key."""
        log = self.log()
        assert "Traceback (most recent call last)" not in log
        assert "was destroyed but it is pending" not in log
        assert not [provider for provider, key in self._keys.items() if key and key in log], "a key is in the log"

    def _owns_name_or_left(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None or name_owner() == self._process.pid

    def _make_directories(self) -> None:
        owner = pwd.getpwnam("cortexd")
        for part in ("", "conf.d", "credentials", "state"):
            path = self.directory / part
            path.mkdir(mode=0o700)
            os.chown(path, owner.pw_uid, owner.pw_gid)

    def _write(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self.directory / name
        path.write_text(text)
        path.chmod(mode)
        owner = pwd.getpwnam("cortexd")
        os.chown(path, owner.pw_uid, owner.pw_gid)


def unit_environment() -> dict[str, str]:
    """What the unit gives the daemon."""
    found = re.findall(r"^Environment=(.*)$", UNIT.read_text("utf-8"), re.MULTILINE)
    return dict(pair.split("=", 1) for line in found for pair in line.split())


def name_owner() -> int | None:
    """The process that owns the service's name."""
    bus = ["--dest=org.freedesktop.DBus", "--object-path=/", "--method=org.freedesktop.DBus.GetConnectionUnixProcessID"]
    argv = ["gdbus", "call", "--system", *bus, wire.BUS_NAME]
    answer = subprocess.run(argv, capture_output=True, text=True, timeout=10)
    found = re.fullmatch(r"\(uint32 (\d+),\)", answer.stdout.strip())
    return int(found[1]) if found else None

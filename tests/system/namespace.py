"""The namespace of script/private-bus as the tests see it, and control over the bus and the polkitd in it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.eventually import assert_eventually

CHECKOUT = Path(__file__).parents[2]
PYTHON = ".venv/bin/python"  # relative: the checkout is the working directory in there
_DIRECTORY = os.environ.get("CORTEXD_NAMESPACE_DIR")
NAMESPACE = Path(_DIRECTORY) if _DIRECTORY else None

needs_setuid = pytest.mark.skipif(
    os.environ.get("CORTEXD_USERNS") == "1",
    reason="setuid programs (polkit's password helper, the bus's launch helper) do nothing in a user namespace; "
    "runs as root: sudo script/test",
)


class Service:
    """The bus or polkitd of the namespace, which a test may pause, kill and restart; `restore` makes it whole again."""

    def __init__(self, directory: Path, name: str, ready: list[str]) -> None:
        self._pid_file = directory / f"{name}.pid"
        self._log_file = directory / f"{name}.log"
        self._ready = ready
        self._argv = Path(f"/proc/{self.pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")

    @property
    def pid(self) -> int:
        return int(self._pid_file.read_text())

    @property
    def alive(self) -> bool:
        return process_state(self.pid) not in ("", "Z")

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        assert_eventually(lambda: not self.alive, message=f"end of process {self.pid}")

    def start(self) -> None:
        """Returns once it serves."""
        self._pid_file.unlink()
        run_and_tell_pid = ["setsid", "--fork", "sh", "-c", 'echo $$ >"$0.new" && mv "$0.new" "$0" && exec "$@"']
        with self._log_file.open("ab") as log:
            subprocess.run([*run_and_tell_pid, self._pid_file, *self._argv], stdout=log, stderr=log, check=True)
        assert_eventually(self._serves, message="start")

    def restart(self) -> None:
        self.kill()
        self.start()

    def restore(self) -> None:
        """Alive is not enough: polkitd leaves a little after its bus has."""
        if self.alive:
            self.resume()
            assert_eventually(lambda: not self.alive or self._serves(), message="whole again, or its end")
        if not self.alive:
            self.start()

    def _serves(self) -> bool:
        return subprocess.run(self._ready, capture_output=True).returncode == 0


def process_state(pid: int) -> str:
    """The letter of proc(5), "" for no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def uid_of(pid: int) -> int | None:
    """Whom a process runs as since its exec, None for no such process."""
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except FileNotFoundError:
        return None


def bus_service(directory: Path) -> Service:
    return Service(directory, "bus", ["busctl", "--system", "--timeout=5", "status"])


def polkit_service(directory: Path) -> Service:
    return Service(directory, "polkitd", ["gdbus", "wait", "--system", "--timeout=1", "org.freedesktop.PolicyKit1"])

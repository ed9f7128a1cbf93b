"""The namespace of script/private-bus as the tests see it, and control over the bus and the polkitd in it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
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


_OWNER = (
    *("busctl", "--system", "--timeout=5", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus"),
    *("org.freedesktop.DBus", "GetConnectionUnixProcessID", "s", "org.freedesktop.PolicyKit1"),
)
_CHECK = (
    *("setpriv", "--reuid=bob", "--regid=bob", "--init-groups", "sh", "-c"),
    'exec pkcheck --action-id org.freedesktop.policykit.exec --process "$$"',
)
_DECIDED = (0, 1, 2, 3)  # pkcheck: yes, no, after a password, dismissed; 127 where there was no answer
_SILENT = -1
_ANSWER_S, _WHOLE_S = 5.0, 60.0


class Service:
    """The bus or polkitd of the namespace, which a test may pause, kill and restart; `restore` makes it whole again."""

    def __init__(self, directory: Path, name: str, answers: Callable[[int], bool]) -> None:
        """`answers`: whether the process of that id does."""
        self._pid_file = directory / f"{name}.pid"
        self._log_file = directory / f"{name}.log"
        self._answers = answers
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
        """Returns once it serves; what ended before that, as where its bus still knew the former one, begins anew."""
        self._launch()
        try:
            assert_eventually(self._up, _WHOLE_S)
        except AssertionError as error:
            told = self._log_file.read_text(errors="replace")[-2000:]
            raise AssertionError(f"{self._argv[0]!r} did not start, alive: {self.alive}: {told}") from error

    def _up(self) -> bool:
        if self._pid_file.exists() and not self.alive:
            self._launch()
        return self.serves()

    def _launch(self) -> None:
        self._pid_file.unlink()
        run_and_tell_pid = ["setsid", "--fork", "sh", "-c", 'echo $$ >"$0.new" && mv "$0.new" "$0" && exec "$@"']
        with self._log_file.open("ab") as log:
            subprocess.run([*run_and_tell_pid, self._pid_file, *self._argv], stdout=log, stderr=log, check=True)

    def restart(self) -> None:
        self.kill()
        self.start()

    def restore(self) -> None:
        """Alive is not enough: polkitd leaves a little after its bus has."""
        if self.alive:
            self.resume()
            assert_eventually(lambda: not self.alive or self.serves(), _WHOLE_S, "whole again, or its end")
        if not self.alive:
            self.start()

    def serves(self) -> bool:
        return self._pid_file.exists() and self._answers(self.pid)


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
    return Service(directory, "bus", lambda _pid: _run("busctl", "--system", "--timeout=5", "status").returncode == 0)


def polkit_service(directory: Path) -> Service:
    return Service(directory, "polkitd", _polkit_answers)


def _polkit_answers(pid: int) -> bool:
    """Whether that very process has the name, which its predecessor's connection may keep for a moment, and decides by
    its rules about an ordinary user. A name alone is not enough: it is kept by one that hears nothing, too."""
    owner = _run(*_OWNER)
    if owner.stdout.split() != ["u", str(pid)]:
        return False
    return _run(*_CHECK).returncode in _DECIDED


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=_ANSWER_S)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, _SILENT, "", "")

"""A Debian that is booted with systemd-nspawn, without a network, from a tree that stays as it is.

Everything written in there is in memory. The checkout is at /srv/cortexd, read-only, for the simulated providers, and
its libraries for the tree's own Python at /srv/libraries.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.eventually import assert_eventually

CHECKOUT = Path(__file__).parents[2]
PYTHON = ("/usr/bin/python3", "-B")  # with PYTHONPATH it runs what is in the checkout
PYTHONPATH = "/srv/cortexd:/srv/libraries"
_NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_STATES = ("running", "degraded")
_POWER_OFF = signal.SIGRTMIN + 4  # to systemd itself: systemctl waits for a bus that may hang, as on a full disk
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Completed:
    status: int
    stdout: str
    stderr: str


class Machine:
    """`run` is root's unless a user is named; users who are not of the tree are made with `add_user`."""

    def __init__(self, tree: Path, directory: Path) -> None:
        self.name = f"cortexd-{os.getpid()}-{next(_numbers)}"
        self._console = directory / f"{self.name}.console"
        script: list[str | Path] = [CHECKOUT / "script/lib/machine", tree, self.name, CHECKOUT]
        alone = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"]
        with self._console.open("wb") as console:
            self._process = subprocess.Popen(
                [*alone, *script], stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
            )
        try:
            self._leader = assert_eventually(self._find_leader, 30, "the booted system's first process")
            assert_eventually(self._is_up, 60, "the end of the boot")
        except AssertionError:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def enter(self, argv: Sequence[str], user: str = "root", environment: Mapping[str, str] | None = None) -> list[str]:
        """The command of this machine that runs `argv` in there."""
        home = "/root" if user == "root" else f"/home/{user}"
        given = {"PATH": _PATH, "HOME": home, "USER": user, "LANG": "C.UTF-8", "TERM": "dumb", **(environment or {})}
        inside = ["env", "--ignore-environment", "--chdir=/", *(f"{name}={value}" for name, value in given.items())]
        switch = [] if user == "root" else ["runuser", "--user", user, "--"]
        return ["nsenter", f"--target={self._leader}", *_NAMESPACES, "--", *inside, *switch, *argv]

    def run(
        self,
        *argv: str,
        user: str = "root",
        check: bool = True,
        text: str = "",
        timeout: float = 60.0,
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a command to its end, with `text` as its input; with `check` an AssertionError where it fails."""
        done = subprocess.run(
            self.enter(argv, user, environment), input=text, capture_output=True, text=True, timeout=timeout
        )
        completed = Completed(done.returncode, done.stdout, done.stderr)
        if check:
            assert completed.status == 0, f"{' '.join(argv)}: {completed}"
        return completed

    def output(self, *argv: str, **options: str) -> str:
        return self.run(*argv, **options).stdout.strip()  # type: ignore[arg-type]

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """A file of root's; missing directories are made."""
        self.run("install", "-D", f"--mode={mode}", "/dev/stdin", path, text=text)

    def read(self, path: str) -> str:
        return self.run("cat", path).stdout

    def exists(self, path: str) -> bool:
        return self.run("test", "-e", path, check=False).status == 0

    def add_user(self, name: str, *groups: str) -> None:
        self.run("useradd", "--create-home", "--shell=/bin/bash", f"--groups={','.join(groups)}", name)

    def unit(self, property_name: str, unit: str = "cortex-llm-router.service") -> str:
        return self.output("systemctl", "show", f"--property={property_name}", "--value", unit)

    def journal(self, *options: str) -> str:
        self.run("journalctl", "--sync")
        return self.output("journalctl", "--boot", "--no-pager", "--output=short-precise", *options)

    def stop(self) -> None:
        leader = getattr(self, "_leader", None)
        if self._process.poll() is None and leader:
            os.kill(leader, _POWER_OFF)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _find_leader(self) -> int | None:
        """nspawn's child that has become systemd."""
        assert self._process.poll() is None, f"the system did not boot:\n{self._console.read_text('utf-8', 'replace')}"
        pids = [self._process.pid]
        while pids:
            pid = pids.pop()
            if _command(pid) == "systemd":
                return pid
            pids += _children(pid)
        return None

    def _is_up(self) -> bool:
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in _STATES


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""

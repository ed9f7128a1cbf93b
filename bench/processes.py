"""Children that never outlive the benchmark, and what the kernel says of a process: CPU, memory."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_KIB_PER_MB = 1024.0


class CannotMeasure(Exception):
    """A benchmark could not be carried out; the text says why, with the end of the log of what failed."""


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far: user and system, all threads, also those that ended; nanosecond resolution."""
    process_clock = ((~pid) << 3) | 2  # the kernel's clock id of another process, as clock_getcpuclockid() makes it
    return time.clock_gettime(process_clock)


def rss_mb(pid: int) -> float:
    """Resident memory, in MiB."""
    return status_mb(Path(f"/proc/{pid}/status").read_text(), "VmRSS:")


def pss_mb(pid: int) -> float:
    """Resident memory with shared pages counted by share, in MiB."""
    return status_mb(Path(f"/proc/{pid}/smaps_rollup").read_text(), "Pss:")


def wakes(pid: int) -> int:
    """How often the threads of a process have waited and been woken so far."""
    said = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(_number(text, "voluntary_ctxt_switches:") for text in said)


def status_mb(text: str, key: str) -> float:
    """The line `key` of what /proc says of a process, in MiB."""
    return _number(text, key) / _KIB_PER_MB


def _number(text: str, key: str) -> int:
    for line in text.splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    raise CannotMeasure(f"/proc has no {key}")


class Child:
    """A process of ours: its log in a file, its end bounded."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        talks: bool = False,
        stdin: int = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """`talks`: over pipes, and not by the descriptor `stdin`."""
        self.log = log
        with log.open("ab") as stderr:
            self.started_ns = time.monotonic_ns()
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE if talks else stdin,
                pass_fds=pass_fds,
                stdout=subprocess.PIPE if talks else stderr,
                stderr=stderr,
                env=dict(environ) if environ is not None else None,
                cwd=cwd,
                text=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stdin(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def alive(self) -> bool:
        return self._process.poll() is None

    def log_end(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, timeout_s: float) -> int:
        return self._process.wait(timeout_s)

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)

    def settle(self, timeout_s: float = 20.0) -> None:
        """Wait until the process is at rest: under 5 ms of CPU in half a second (background work is done)."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self.alive():
            before = self.cpu_seconds()
            time.sleep(0.5)
            if self.cpu_seconds() - before < 0.005:
                return
        raise CannotMeasure(f"process {self.pid} does not come to rest:\n{self.log_end()}")

    def stop(self, timeout_s: float = 10.0) -> None:
        """End it: SIGTERM, then SIGKILL when that is ignored."""
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout_s)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

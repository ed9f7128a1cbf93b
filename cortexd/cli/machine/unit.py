"""cortexd's unit in the hands of systemctl."""

from __future__ import annotations

import os
import subprocess

UNIT = "cortex-llm-router.service"
_RESTART_S = 300.0  # requests under way are let finish
_NOT_RUNNING_HERE = ("not been booted with systemd", "in chroot, ignoring", "Failed to connect to bus")


class NotRestarted(Exception):
    """Why not. `systemd_runs`: False where there is no service manager, as in a container or a chroot."""

    def __init__(self, reason: str, *, systemd_runs: bool) -> None:
        super().__init__(reason)
        self.systemd_runs = systemd_runs


def restart() -> None:
    """Read the unit's files again and restart it where it runs; requests under way finish. Raises NotRestarted."""
    for words in (["daemon-reload"], ["try-restart", UNIT]):
        _systemctl(words)


def _systemctl(words: list[str]) -> None:
    argv = ["systemctl", "--no-ask-password", *words]
    environ = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            argv, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=_RESTART_S, check=False
        )
    except FileNotFoundError:
        raise NotRestarted("there is no systemctl", systemd_runs=False) from None
    except subprocess.TimeoutExpired:
        raise NotRestarted(f"{' '.join(argv)} took more than {_RESTART_S:g} s", systemd_runs=True) from None
    said = done.stderr.decode("utf-8", "replace").strip()
    if any(words in said for words in _NOT_RUNNING_HERE):
        raise NotRestarted("systemd does not run here", systemd_runs=False)
    if done.returncode:
        reason = " ".join(said.split()) or f"{' '.join(argv)} failed with status {done.returncode}"
        raise NotRestarted(reason, systemd_runs=True)

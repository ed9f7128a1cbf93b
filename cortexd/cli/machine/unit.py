"""cortexd's unit in the hands of systemctl."""

from __future__ import annotations

import os
import subprocess

UNIT = "cortex-llm-router.service"
_SHOW_S = 5.0
_RESTART_S = 300.0  # requests under way are let finish
_NOT_RUNNING_HERE = ("not been booted with systemd", "in chroot, ignoring", "Failed to connect to bus")


class NotRestarted(Exception):
    """Why not. `systemd_runs`: False where there is no service manager, as in a container or a chroot."""

    def __init__(self, reason: str, *, systemd_runs: bool) -> None:
        super().__init__(reason)
        self.systemd_runs = systemd_runs


def why_away() -> str:
    """Why the bus could not start it, and what to do, by the unit's own state; "" where that says nothing.

    The buses' own words differ: dbus-broker has one error for every cause.
    """
    argv = ["systemctl", "show", "--property=LoadState,ActiveState,SubState,Result,ExecMainStatus,NRestarts", UNIT]
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SHOW_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    state = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    if state.get("LoadState") == "masked":
        return f"An administrator has masked {UNIT}: sudo systemctl unmask {UNIT}"
    if state.get("LoadState") == "not-found":
        return f"There is no {UNIT}: install the package cortexd, or run: sudo cortexctl service install"
    if state.get("ActiveState") == "failed":
        why = f"{state.get('Result', '')}, status {state.get('ExecMainStatus', '')}"
        return f"{UNIT} failed ({why}): journalctl -u {UNIT} -b says why"
    if state.get("SubState") == "auto-restart" or _is_restarted(state):
        return f"{UNIT} fails and is started again and again: journalctl -u {UNIT} -b says why"
    return ""


def _is_restarted(state: dict[str, str]) -> bool:
    return state.get("ActiveState") == "activating" and state.get("NRestarts", "0") != "0"


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

"""The user's own systemd, by systemctl --user."""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cortexd.bridge.places import runtime_path
from cortexd.cli.bridge.obstacles import Obstacle, Problem, problem, raised, refusal

_SYSTEMD_RUNS = Path("/run/systemd/system")
_ANSWER_S = 10.0
_CHANGE_S = 120.0  # a stop lets requests under way finish
_ABSENT, _OFF = "not-found", ("inactive", "deactivating")


@dataclass(frozen=True, slots=True)
class Unit:
    """In systemd's own words."""

    name: str
    load: str
    active: str
    result: str = ""
    pid: int = 0

    @property
    def problem(self) -> Problem | None:
        """Of a socket that is to listen."""
        if self.load == "masked":
            return problem(Obstacle.MASKED, unit=self.name)
        if self.load == _ABSENT:
            return problem(Obstacle.NO_UNIT, unit=self.name)
        if self.active == "failed":
            return problem(Obstacle.FAILED, unit=self.name, result=self.result)
        return problem(Obstacle.STOPPED, unit=self.name) if self.active in _OFF else None


def unit(name: str) -> Unit | None:
    """None where systemd runs nothing for this user."""
    try:
        done = _systemctl(["show", "--property=LoadState,ActiveState,Result,MainPID", "--", name], _ANSWER_S)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    said = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    active, result = said.get("ActiveState", ""), said.get("Result", "")
    return Unit(name, said.get("LoadState", _ABSENT), active, result, int(said.get("MainPID") or 0))


def without_manager() -> Problem:
    if not _SYSTEMD_RUNS.is_dir():
        return problem(Obstacle.NO_SYSTEMD)
    return problem(Obstacle.NO_USER_MANAGER, user=getpass.getuser())


def known(name: str) -> Unit:
    """Raises CortexError where there is no such unit, or nobody to run it."""
    found = unit(name)
    if found is None:
        raise raised(without_manager())
    if found.load == "masked":
        raise refusal(Obstacle.MASKED, unit=name)
    if found.load == _ABSENT:
        raise refusal(Obstacle.NO_UNIT, unit=name)
    return found


def change(*words: str) -> None:
    """systemctl --user WORDS. Raises CortexError with its own words."""
    program = f"systemctl --user {' '.join(words)}"
    try:
        done = _systemctl([*words], _CHANGE_S)
    except FileNotFoundError:
        raise raised(without_manager()) from None
    except subprocess.TimeoutExpired:
        raise refusal(Obstacle.PROGRAM_FAILED, program=program, reason=f"more than {_CHANGE_S:g} s") from None
    if done.returncode:
        reason = " ".join(done.stderr.split()).rstrip(".") or f"status {done.returncode}"
        raise refusal(Obstacle.PROGRAM_FAILED, program=program, reason=reason)


def _systemctl(words: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - fixed words
        ["systemctl", "--user", "--no-ask-password", *words],  # noqa: S607 - wherever this system has it
        env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip


def _environment() -> Mapping[str, str]:
    runtime = runtime_path()
    return {**os.environ, "LC_ALL": "C", **({"XDG_RUNTIME_DIR": str(runtime)} if runtime else {})}

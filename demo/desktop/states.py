"""How each state of a panel comes about with the real daemon."""

from __future__ import annotations

import json
import pwd
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from cortexd.cli.panels.spending import State
from demo.stage import Stage

_LONG = "Tell me more about it. " * 400  # a prompt that costs some cents


def _quietly(stage: Stage, user: str, *argv: str, check: bool = True) -> str:
    done = subprocess.run(
        stage.as_user(user, ["cortexctl", *argv]), env=stage.environment(user), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if check and done.returncode:
        raise SystemExit(f"cortexctl {' '.join(argv)[:80]}: {done.stderr}")
    return done.stdout


@contextmanager
def _loading(stage: Stage) -> Iterator[None]:
    stage.hold_daemon(held=True)
    try:
        yield
    finally:
        stage.hold_daemon(held=False)


@contextmanager
def _ok(stage: Stage) -> Iterator[None]:
    _quietly(stage, "alice", "ask", _LONG)
    yield


def _used(share: float) -> Callable[[Stage], AbstractContextManager[None]]:
    """So much of a budget."""

    @contextmanager
    def used(stage: Stage) -> Iterator[None]:
        day_usd = _day_usd(stage)
        _quietly(stage, "root", "budget", "set", "--user", "alice", "--day", f"{day_usd / share:.6f}")
        try:
            yield
        finally:
            _quietly(stage, "root", "budget", "remove", "--user", "alice")

    return used


def _day_usd(stage: Stage) -> float:
    [today] = json.loads(_quietly(stage, "alice", "usage", "--days", "1", "--by", "day", "--json"))
    return float(today["cost_usd"])


@contextmanager
def _stale(stage: Stage) -> Iterator[None]:
    stage.stop_daemon()
    try:
        yield
    finally:
        stage.start_daemon()


@contextmanager
def _unconfigured(stage: Stage) -> Iterator[None]:
    stage.stop_daemon()
    stage.start_daemon(keys=False)
    try:
        yield
    finally:
        stage.stop_daemon()
        stage.start_daemon()


@contextmanager
def _error(stage: Stage) -> Iterator[None]:
    """Its ledger's disk is full."""
    place, owner = stage.ledger.parent, pwd.getpwnam("cortexd")
    stage.stop_daemon()
    size = f"size=2m,mode=700,uid={owner.pw_uid},gid={owner.pw_gid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "ledger", place], check=True)
    try:
        stage.start_daemon()
        with (place / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while filler.write(bytes(4096)):
                pass
        _quietly(stage, "alice", "ask", "hello", check=False)  # and it finds out
        yield
    finally:
        stage.stop_daemon()
        subprocess.run(["umount", place], check=True)
        stage.start_daemon()


RECIPES: dict[State, Callable[[Stage], AbstractContextManager[None]]] = {
    State.LOADING: _loading,
    State.OK: _ok,
    State.WARN: _used(0.85),
    State.OVER: _used(1.1),
    State.STALE: _stale,
    State.UNCONFIGURED: _unconfigured,
    State.ERROR: _error,
}


def bring_about(stage: Stage, state: State) -> AbstractContextManager[None]:
    return RECIPES[state](stage)

"""What is to be done, step by step, before any of it is: an installation, an update, a removal."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cortexd.bridge.places import SOCKET
from cortexd.cli.machine.unit import UNIT
from cortexd.cli.service import record
from cortexd.cli.service.obstacles import Obstacle, refusal
from cortexd.cli.service.places import KEPT, Directory, File, below, digest, is_of_package, is_setting
from cortexd.cli.service.record import Record

_DROP_INS = Path("/etc/systemd/system", f"{UNIT}.d")
_KEYS = "key-*.conf"  # the encrypted ones of `cortexctl credentials`


class Change(StrEnum):
    MAKE = "make"
    WRITE = "write"
    UPDATE = "update"
    SAME = "same"
    KEEP = "keep"  # as a person left it
    IN_THE_WAY = "in the way"
    REMOVE = "remove"
    REMOVE_EMPTY = "remove if empty"
    PURGE = "purge"  # with all that is below it


@dataclass(frozen=True, slots=True)
class Step:
    """`wanted`: what is to be there afterwards; None where nothing is."""

    change: Change
    path: Path
    wanted: File | Directory | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A program. `may_fail`: it may find nothing to do, and say so with its status."""

    argv: tuple[str, ...]
    may_fail: bool = False


Plan = Sequence[Step | Run]

_BUS = "org.freedesktop.DBus"
_DAEMON_RELOAD = Run(("systemctl", "daemon-reload"))
_RELOAD_BUS = Run(("busctl", "call", _BUS, "/org/freedesktop/DBus", _BUS, "ReloadConfig"))
_OF_USERS = ("systemctl", "--global")  # which users' managers see when they log in
_AFTER_INSTALLING = (
    _DAEMON_RELOAD,
    _RELOAD_BUS,
    Run(("systemctl", "try-restart", UNIT)),
    Run((*_OF_USERS, "enable", SOCKET)),
)
_STOP, _DISABLE = Run(("systemctl", "stop", UNIT)), Run(("systemctl", "disable", UNIT), may_fail=True)
_AFTER_REMOVING = (_DAEMON_RELOAD, _RELOAD_BUS, Run(("systemctl", "reset-failed", UNIT), may_fail=True))
# What reads a file once it is there. The user must exist before the bus' policy names it.
_READERS: Mapping[str, tuple[str, ...]] = {
    "sysusers.d": ("systemd-sysusers",),
    "tmpfiles.d": ("systemd-tmpfiles", "--create"),
}


def installation(root: Path, wanted: Sequence[File | Directory], before: Record) -> Plan:
    """`before`: what an earlier installation wrote. Raises CortexError where something is in the way."""
    files = [Step(_compared(root, file, before), file.path, file) for file in wanted if isinstance(file, File)]
    if foreign := [str(step.path) for step in files if step.change is Change.IN_THE_WAY]:
        raise refusal(Obstacle.IN_THE_WAY, paths=", ".join(foreign))
    plan: list[Step | Run] = [*_directories(root, wanted)]
    for step in files:
        plan.append(step)
        if reader := _READERS.get(step.path.parent.name):
            plan.append(Run((*reader, str(step.path))))
    current = {item.path for item in wanted}
    obsolete = {path: ours for path, ours in before.files.items() if path not in current}
    return _within(root, [*plan, *_gone(root, obsolete), *_AFTER_INSTALLING])


def removal(root: Path, before: Record, *, purge: bool, packaged: bool) -> Plan:
    """`packaged`: a package was installed since. Its files are not ours even where they are the same."""
    plan: list[Step | Run] = (
        [_STOP, *([] if packaged else [_DISABLE])] if any(path.name == UNIT for path in before.files) else []
    )
    if before.files and not packaged:
        plan.append(Run((*_OF_USERS, "disable", SOCKET), may_fail=True))
    plan += _gone(root, {path: ours for path, ours in before.files.items() if not is_setting(path)}, packaged=packaged)
    if purge:
        plan += _purged(root)
    if before.files:
        plan.append(Step(Change.REMOVE, record.PATH))
    plan += [Step(Change.REMOVE_EMPTY, path) for path in reversed(before.directories)]
    return _within(root, [*plan, *_AFTER_REMOVING])


def _compared(root: Path, file: File, before: Record) -> Change:
    ours, there = before.files.get(file.path), _digest(below(root, file.path))
    if there is None:
        deleted = ours is not None and is_setting(file.path)
        return Change.KEEP if deleted else Change.WRITE
    if ours is not None and there in ours:
        return Change.SAME if there == file.digest else Change.UPDATE
    if is_setting(file.path):
        return Change.SAME if there == file.digest else Change.KEEP
    return Change.KEEP if ours is not None else Change.IN_THE_WAY


def _digest(path: Path) -> str | None:
    """None where there is nothing; "" for what is no plain file."""
    if not os.path.lexists(path):
        return None
    return digest(path.read_bytes()) if path.is_file() and not path.is_symlink() else ""


def _directories(root: Path, wanted: Sequence[File | Directory]) -> Iterator[Step]:
    """Those that are missing, from the top down."""
    modes = {item.path: item.mode for item in wanted if isinstance(item, Directory)}
    above = [parent for path in (*(item.path for item in wanted), record.PATH) for parent in reversed(path.parents)]
    for path in dict.fromkeys([*above, *modes]):
        if not below(root, path).is_dir():
            yield Step(Change.MAKE, path, Directory(path, modes.get(path, 0o755)))


def _gone(root: Path, files: Mapping[Path, frozenset[str]], *, packaged: bool = False) -> Iterator[Step]:
    """What of `files` is still there: ours goes, and what somebody changed or brought along stays."""
    for path, ours in files.items():
        there = _digest(below(root, path))
        if there is not None:
            is_ours = there in ours and not (packaged and is_of_package(path))
            yield Step(Change.REMOVE if is_ours else Change.KEEP, path)


def _purged(root: Path) -> Iterator[Step]:
    for directory in KEPT:
        if os.path.lexists(below(root, directory)):
            yield Step(Change.PURGE, directory)
    drop_ins = below(root, _DROP_INS)
    if drop_ins.is_dir():
        yield from (Step(Change.REMOVE, _DROP_INS / file.name) for file in sorted(drop_ins.glob(_KEYS)))
        yield Step(Change.REMOVE_EMPTY, _DROP_INS)


def _within(root: Path, plan: Plan) -> Plan:
    """The plan. Links of a root that is not this machine's may lead anywhere in this one: raises CortexError."""
    real = root.resolve()
    for item in plan:
        if isinstance(item, Step) and not below(root, item.path.parent).resolve().is_relative_to(real):
            raise refusal(Obstacle.OUTSIDE, path=item.path, root=root)
    return plan

"""A plan, done. Whatever stops it half way, a second time goes on from there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace as changed
from pathlib import Path

from cortexd import __version__
from cortexd.cli.service import record
from cortexd.cli.service.obstacles import Obstacle, refusal
from cortexd.cli.service.places import Directory, File, below, is_kept
from cortexd.cli.service.plan import Change, Plan, Run, Step
from cortexd.cli.service.record import Record
from cortexd.config.whole_file import replace

_PROGRAM_S = 300.0  # a restart lets requests under way finish
_OURS = (Change.WRITE, Change.UPDATE, Change.SAME)


def install(root: Path, plan: Plan, before: Record) -> None:
    """Raises CortexError. The record is written first: what is written after it can be taken away again."""
    after = _recorded(plan, before)
    first = [item for item in plan if isinstance(item, Step) and item.path in record.PATH.parents]
    carry_out(root, first)
    both = {path: before.files.get(path, frozenset()) | after.files.get(path, frozenset())
            for path in {**before.files, **after.files}}  # fmt: skip
    _write_record(root, changed(after, files=both))
    carry_out(root, [item for item in plan if item not in first])
    _write_record(root, after)


def carry_out(root: Path, plan: Plan) -> None:
    """Raises CortexError."""
    for item in plan:
        if isinstance(item, Run):
            _run(item)
        else:
            _do(root, item)


def _recorded(plan: Plan, before: Record) -> Record:
    files, directories = {}, list(before.directories)
    for step in plan:
        if not isinstance(step, Step) or step.wanted is None:
            continue
        if isinstance(step.wanted, File) and step.change in _OURS:
            files[step.path] = frozenset({step.wanted.digest})
        elif isinstance(step.wanted, File) and step.path in before.files:
            files[step.path] = before.files[step.path]
        elif step.change is Change.MAKE and not is_kept(step.path):
            directories.append(step.path)
    return Record(__version__, files, tuple(directories))


def _write_record(root: Path, written: Record) -> None:
    _do(root, Step(Change.UPDATE, record.PATH, File(record.PATH, 0o644, written.to_json())))


def _do(root: Path, step: Step) -> None:
    path = below(root, step.path)
    try:
        _ACTIONS[step.change](path, step)
    except OSError as error:
        raise refusal(Obstacle.NOT_WRITTEN, path=path, reason=error.strerror or error) from None


def _make(path: Path, step: Step) -> None:
    assert isinstance(step.wanted, Directory)
    path.mkdir(step.wanted.mode, exist_ok=True)
    path.chmod(step.wanted.mode)  # whatever the umask


def _write(path: Path, step: Step) -> None:
    assert isinstance(step.wanted, File)
    replace(path, step.wanted.data, step.wanted.mode, beside=path.parent)


def _remove(path: Path, _step: Step) -> None:
    path.unlink(missing_ok=True)


def _remove_empty(path: Path, _step: Step) -> None:
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()


def _purge(path: Path, _step: Step) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _leave(_path: Path, _step: Step) -> None:
    pass


_ACTIONS: dict[Change, Callable[[Path, Step], None]] = {
    Change.MAKE: _make,
    Change.WRITE: _write,
    Change.UPDATE: _write,
    Change.SAME: _leave,
    Change.KEEP: _leave,
    Change.REMOVE: _remove,
    Change.REMOVE_EMPTY: _remove_empty,
    Change.PURGE: _purge,
}


def _run(program: Run) -> None:
    environ, words = {**os.environ, "LC_ALL": "C"}, " ".join(program.argv)
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            program.argv, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROGRAM_S, check=False
        )
    except FileNotFoundError:
        raise refusal(Obstacle.PROGRAM_FAILED, program=words, reason="it is not installed") from None
    except subprocess.TimeoutExpired:
        raise refusal(Obstacle.PROGRAM_FAILED, program=words, reason=f"more than {_PROGRAM_S:g} s") from None
    if done.returncode and not program.may_fail:
        said = " ".join(done.stderr.decode("utf-8", "replace").split()) or f"status {done.returncode}"
        raise refusal(Obstacle.PROGRAM_FAILED, program=words, reason=said)

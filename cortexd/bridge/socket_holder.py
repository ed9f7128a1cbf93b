"""Which process holds a socket, by its inode: what /proc/PID/fd says of the processes of one user."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

_MOST_PROCESSES = 4096
_MOST_DESCRIPTORS = 100_000  # of all of them together


def holder_of(inode: int, uid: int, proc: Path, likely: Iterable[int] = ()) -> int | None:
    """The pid of a process of `uid` that holds the socket; first are asked the `likely` ones, then the youngest.

    None where there is none among so many.
    """
    processes = islice(_each_once(likely, proc, uid), _MOST_PROCESSES)
    held = ((pid, link) for pid in processes for link in _links(proc / str(pid) / "fd"))
    return next((pid for pid, link in islice(held, _MOST_DESCRIPTORS) if link == _name(inode)), None)


def holds(pid: int, inode: int, proc: Path) -> bool:
    """Whether that process still does."""
    return _name(inode) in _links(proc / str(pid) / "fd")


def _name(inode: int) -> str:
    return f"socket:[{inode}]"


def _each_once(likely: Iterable[int], proc: Path, uid: int) -> Iterator[int]:
    first = tuple(dict.fromkeys(likely))
    yield from first
    yield from (pid for pid in _own(proc, uid) if pid not in first)


def _own(proc: Path, uid: int) -> list[int]:
    found = []
    with suppress(OSError), os.scandir(proc) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.name.isdecimal() and entry.stat().st_uid == uid:
                    found.append(int(entry.name))
    return sorted(found, reverse=True)


def _links(directory: Path) -> Iterator[str]:
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            with suppress(OSError):
                yield os.readlink(entry.path)

"""What a running process holds, from proc(5): memory, file descriptors, connections."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files(pid: int) -> list[str]:
    """What each file descriptor of a process points to."""
    targets = []
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            targets.append(os.readlink(entry.path))
    return targets


def tcp_sockets(pid: int) -> set[str]:
    """Those of `open_files` that are connections to providers, which are kept open for a while."""
    lines = [line for name in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]]
    return {f"socket:[{line.split()[9]}]" for line in lines}


def own_files(pid: int) -> int:
    """How many descriptors a process holds beside its connections to providers."""
    connections = tcp_sockets(pid)
    return sum(target not in connections for target in open_files(pid))

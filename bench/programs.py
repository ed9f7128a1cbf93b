"""The C programs that measure and are measured against: compiled when their source is newer than they are."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent
NAMES = ("upstream", "load", "caller", "streamer", "echo", "replicas", "arrivals")
FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra", "-Wshadow", "-Werror")


class CannotBuild(Exception):
    """There is no compiler, or it refused a source; the text says which."""


def directory() -> Path:
    """Where the programs go: .cache/bench in the checkout, or a fresh temporary directory when that is read-only."""
    cache = SOURCES.parent / ".cache" / "bench"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="cortexd-bench-"))
    return cache if os.access(cache, os.W_OK) else Path(tempfile.mkdtemp(prefix="cortexd-bench-"))


def build(into: Path) -> Path:
    """Compile what is missing or stale into `into`, and return it. Raises CannotBuild."""
    for name in NAMES:
        if _is_stale(name, into / name):
            _compile(SOURCES / f"{name}.c", into / name)
    return into


def _is_stale(name: str, program: Path) -> bool:
    sources = [SOURCES / f"{name}.c", *SOURCES.glob("*.h")]
    return not program.exists() or program.stat().st_mtime <= max(source.stat().st_mtime for source in sources)


def _compile(source: Path, program: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise CannotBuild("no C compiler: apt-get install gcc libc6-dev (script/bench does it where it may)")
    fresh = program.with_suffix(".new")
    done = subprocess.run([compiler, *FLAGS, "-o", fresh, source], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise CannotBuild(f"{source.name} does not compile:\n{done.stderr}")
    fresh.replace(program)  # a program that runs meanwhile keeps its old file

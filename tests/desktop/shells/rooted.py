"""Programs of another Debian, that of the tree which script/try-shells made, on this machine's /tmp and buses."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

TREE = "CORTEXD_SHELLS_TREE"
# $1 is the tree; the rest runs in it, alone in its process namespace, so that nothing of it is left
_ENTER = """
mount -t proc proc "$1/proc"
for place in dev sys tmp; do mount --rbind "/$place" "$1/$place"; done
for place in run dev/shm; do mount -t tmpfs tmpfs "$1/$place"; done
exec chroot "$@"
"""


def tree() -> Path:
    if TREE not in os.environ:
        pytest.skip("needs a Debian with the shell: script/try-shells makes it and runs these")
    return Path(os.environ[TREE])


def holds(program: str) -> None:
    """Skip where the tree has no such program."""
    if not (tree() / f"usr/bin/{program}").exists():
        pytest.skip(f"no {program} in {tree()}")


def output_of(*argv: str) -> str:
    """What a program of the tree prints, whatever its status."""
    return subprocess.run(_inside(argv), stdout=subprocess.PIPE, text=True, check=False, timeout=60).stdout


@contextmanager
def rooted(argv: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`argv` in the tree until the block ends."""
    with log.open("wb") as output, subprocess.Popen(
        _inside(argv),
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **environment},
        stdin=subprocess.DEVNULL, stdout=output, stderr=output,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()  # and with unshare everything inside


def _inside(argv: Sequence[str]) -> list[str]:
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    return [*namespaces, "sh", "-ec", _ENTER, "sh", str(tree()), *argv]

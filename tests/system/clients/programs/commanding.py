"""Programs that are commands: run once for each thing to do, seen by what they print and how they end."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.system.clients.programs.asking import RESULTS, Seen

Argv = Sequence[str]
PICTURE, CLOCK = Path.home() / "picture.png", Path.home() / "clock.txt"  # what tools find


def put_files(image: str) -> None:
    PICTURE.write_bytes(base64.b64decode(image))
    CLOCK.write_text(f"{RESULTS['clock']}\n")


def run(argv: Argv, environment: Mapping[str, str], interrupted: bool = False) -> Seen:
    """`interrupted`: by Ctrl-C, when a line comes that says so. `pieces`: how often it printed something."""
    with subprocess.Popen(
        argv,
        env={**os.environ, **environment},
        cwd=Path.home(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        if interrupted:
            sys.stdin.readline()
            os.killpg(process.pid, signal.SIGINT)
        assert process.stdout is not None
        output = process.stdout.fileno()
        pieces = list(iter(lambda: os.read(output, 65_536), b""))
    told = b"".join(pieces).decode(errors="replace").strip()
    ended = {"error": f"exit {process.returncode}"} if process.returncode else {}
    return {"text": told, "pieces": len(pieces), "said": told, **ended}


def calls(argv_of: Callable[[str, str], Argv], environment: Mapping[str, str]) -> dict[str, Callable[[str], Seen]]:
    """For asking.serve: `argv_of` what to do and the model."""

    def of(what: str) -> Callable[[str], Seen]:
        return lambda model: run(argv_of(what, model), environment, interrupted=what == "cancel")

    return {what: of(what) for what in ("chat", "stream", "tools", "image", "cancel")}

"""A real client as user alice, under `cortexctl run`: what it is asked goes to its stdin, what it saw comes back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from tests.system.namespace import PYTHON
from tests.system.terminal import switch_user, user_environment

USER = "alice"


class Client:
    """From `with` to the end of the block."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._argv = switch_user(USER, [PYTHON, "-m", "cortexd.cli", "run", "--", *argv])
        self._environment = user_environment(USER, environment)

    def __enter__(self) -> Client:
        self._process = subprocess.Popen(
            self._argv, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._read("ready")
        return self

    def __exit__(self, *_error: object) -> None:
        self.leave()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait(20)

    def leave(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def begin(self, what: str, model: str) -> None:
        self._write(json.dumps({"what": what, "model": model}))

    def interrupt(self) -> None:
        """A command that waits for it."""
        self._write("")

    def seen(self) -> dict[str, Any]:
        seen: dict[str, Any] = json.loads(self._read("{"))
        return seen

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _read(self, beginning: str) -> str:
        """The next line that begins so: programs of others print what they like before that."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(beginning):
                return line
        raise AssertionError(f"the client left with status {self._process.wait(20)}")

"""A user of the booted system who watches what the own requests cost."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.boot.machine import Machine
from tests.eventually import assert_eventually

Watched = Callable[[str], list[dict[str, Any]]]


@contextmanager
def watching(machine: Machine, user: str, into: Path) -> Iterator[Watched]:
    """`cortexctl watch` of `user`'s: a function that gives the events of one kind it has shown so far."""
    argv = machine.enter(["cortexctl", "watch", "--json"], user=user)

    def seen(kind: str) -> list[dict[str, Any]]:
        whole = [line for line in into.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [event for event in map(json.loads, whole) if event["event"] == kind]

    with into.open("wb") as output, subprocess.Popen(argv, stdout=output):
        try:
            assert_eventually(lambda: seen("watching"), 20, "a subscription")
            yield seen
        finally:
            machine.run("pkill", "--uid", user, "--full", "cortexctl watch")

"""The benchmark's own D-Bus client and echo service, on a real dbus-daemon; and its import meter."""

import contextlib
import json
import mmap
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench import programs
from bench.imports import Costs, by_package
from bench.processes import Child

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="the programs are compiled with gcc")
NAME = "org.example.Echo"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return programs.build(tmp_path_factory.mktemp("programs"))


@contextlib.contextmanager
def _running(command: Sequence[str | Path], log: Path, *, talks: bool = False) -> Iterator[Child]:
    child = Child(command, log, talks=talks)
    try:
        yield child
    finally:
        child.stop()


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[str]:
    command = ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address"]
    with _running(command, tmp_path / "bus.log", talks=True) as daemon:
        yield daemon.stdout.readline().strip()


def _caller(built: Path, bus: str, mode: str, *options: object) -> dict[str, Any]:
    command = [built / "caller", mode, "--address", bus, "--name", NAME, "--timeout", 10, *options]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=30, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@needs_gcc
class TestCaller:
    def test_many_calls_in_flight_are_all_answered(self, built: Path, bus: str, tmp_path: Path) -> None:
        """256 in flight over several connections: every call has an answer, a latency and no failure."""
        with _running([built / "echo", "--address", bus, "--name", NAME], tmp_path / "echo.log"):
            _caller(built, bus, "wait")
            done = _caller(built, bus, "run", "--in-flight", 256, "--calls", 1000)
        assert (done["calls"], done["failures"], done["error"]) == (1000, 0, "")
        assert len(done["latency_ns"]) == 1000
        assert 0 < min(done["latency_ns"]) <= max(done["latency_ns"]) < done["seconds"] * 1e9
        assert done["content"] == "The echo answers this with one short and friendly sentence."

    def test_an_error_reply_is_a_failure_with_its_name_and_text(self, built: Path, bus: str) -> None:
        """Without a service every call fails, and the first error is told."""
        done = _caller(built, bus, "run", "--calls", 5)
        assert (done["calls"], done["failures"], done["latency_ns"]) == (5, 5, [])
        assert done["error"].startswith("org.freedesktop.DBus.Error.")
        assert NAME in done["error"]

    def test_a_service_that_is_not_there_yet_is_waited_for(self, built: Path, bus: str, tmp_path: Path) -> None:
        """The name is seen after the service was spawned, the answer after the name."""
        command: list[str | Path] = [built / "caller", "start", "--address", bus, "--name", NAME, "--timeout", "10"]
        with _running(command, tmp_path / "caller.log", talks=True) as waiting:
            before = time.monotonic_ns()
            with _running([built / "echo", "--address", bus, "--name", NAME], tmp_path / "echo.log"):
                seen = json.loads(waiting.stdout.readline())
        assert before < seen["name_ns"] < seen["answer_ns"] < time.monotonic_ns()
        assert seen["failures"] == 0

    def test_a_service_that_never_comes_ends_the_wait(self, built: Path, bus: str) -> None:
        """After its timeout the caller says who is missing, with status 1."""
        command: list[str | Path] = [built / "caller", "wait", "--address", bus, "--name", NAME, "--timeout", "0.2"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.returncode == 1
        assert f"nobody owns {NAME}" in done.stderr


class TestImports:
    def test_a_module_is_charged_without_what_it_imports(self) -> None:
        """What an inner import took is its own, not the outer module's."""
        costs = Costs()
        size = 32 << 20

        def inner() -> None:
            spent.write(b"x" * size)

        # A mapping of its own: the heap of a long run has pages that were counted long ago.
        with mmap.mmap(-1, size) as spent:
            costs.of("outer", lambda: costs.of("inner.module", inner))
        package, modules, _, megabytes = by_package(costs)[0]
        assert (package, modules) == ("inner", 1)
        assert megabytes > 30
        assert costs.own["outer"][1] < 1

    def test_the_meter_prints_a_row_per_package(self) -> None:
        """`python -m bench.imports json` names json and what it took."""
        command = [sys.executable, "-m", "bench.imports", "json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        assert done.stdout.startswith("importing json: ")
        assert any(line.split()[-1] == "json" for line in done.stdout.splitlines()[2:])

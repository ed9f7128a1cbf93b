"""A call's flame graph: labels without this machine's paths, widths by processor time; and what a soak is judged by."""

import json
import subprocess
import sys
from pathlib import Path
from types import CodeType
from xml.etree import ElementTree

import pytest

from bench import flame, soak
from bench.flamed import label

SVG = "{http://www.w3.org/2000/svg}"
LOOP = "asyncio/base_events.py BaseEventLoop._run_once"


def _code(file: str) -> CodeType:
    return compile("0", file, "exec")


class TestLabels:
    @pytest.mark.parametrize(
        ("file", "told"),
        [
            ("/somewhere/of/mine/cortexd/requests/service.py", "cortexd/requests/service.py <module>"),
            ("/cortexd/.cache/bench/x/cortexd/bus/pipe.py", "cortexd/bus/pipe.py <module>"),
            ("/v/lib/python3.11/site-packages/aiohttp/client.py", "aiohttp/client.py <module>"),
            ("/usr/lib/python3.11/asyncio/events.py", "asyncio/events.py <module>"),
            ("<frozen runpy>", "<frozen runpy> <module>"),
        ],
    )
    def test_name_no_place_of_this_machine(self, file: str, told: str) -> None:
        """A package's own part of a path is enough to know the function by."""
        assert label(_code(file)) == told


class TestPicture:
    def test_widths_are_processor_time(self) -> None:
        """A frame is as wide as what was spent in it and below it; what is too narrow is left out."""
        stacks = {f"main;{LOOP};a.py f;b.py <g>": 600, f"main;{LOOP};a.py f": 300, f"{LOOP};c.py h": 99, "d.py i": 1}
        picture = ElementTree.fromstring(flame.svg(stacks, "one & two"))
        boxes = {
            box.findtext(f"{SVG}title"): float(box.find(f"{SVG}rect").attrib["width"])  # type: ignore[union-attr]
            for box in picture.findall(f"{SVG}g")
        }
        assert list(boxes) == ["all: 100.0%", f"{LOOP}: 99.9%", "a.py f: 90.0%", "b.py <g>: 60.0%", "c.py h: 9.9%"]
        assert boxes["b.py <g>: 60.0%"] == pytest.approx(0.6 * flame.WIDTH, abs=1)

    def test_nothing_seen_is_an_empty_picture(self) -> None:
        """And no division by it."""
        assert not ElementTree.fromstring(flame.svg({}, "nothing")).findall(f"{SVG}g")

    def test_a_busy_thread_is_seen_and_a_waiting_one_is_not(self, tmp_path: Path) -> None:
        """By each thread's own processor time, between two signals, in the module of the working directory."""
        (tmp_path / "busy.py").write_text(
            "import os, signal, threading, time\n"
            "held = threading.Event()\n"
            "def waits(): held.wait()\n"
            "def works():\n"
            "    end = time.thread_time() + 0.3\n"
            "    while time.thread_time() < end: pass\n"
            "thread = threading.Thread(target=waits)\n"
            "thread.start()\n"
            "os.kill(os.getpid(), signal.SIGUSR1)\n"
            "works()\n"
            "os.kill(os.getpid(), signal.SIGUSR1)\n"
            "held.set()\n"
        )
        flamed = Path("bench/flamed.py").resolve()
        subprocess.run([sys.executable, flamed, tmp_path / "out", "busy"], cwd=tmp_path, timeout=60, check=True)
        spent = json.loads((tmp_path / "out").read_text())
        assert sum(us for stack, us in spent.items() if " works" in stack) > 100_000
        assert not [stack for stack, us in spent.items() if " waits" in stack and us > 10_000]


class TestSoak:
    def test_is_judged_by_what_grew_and_what_is_left(self) -> None:
        """Memory from the fifth minute on, descriptors and threads from the first, latency from the second."""

        def minute(p99_ms: float, pss_mb: float, fds: int = 20) -> soak.Minute:
            return soak.Minute({"calls": 6000, "failures": 1, "p99_ms": p99_ms}, pss_mb, fds, 4)

        minutes = [minute(9, 50), minute(10, 60), minute(10, 60), minute(10, 60), minute(10, 70), minute(15, 71.5, 22)]
        found = soak.figures(minutes * 3, left_requests=0, cpu_s=108)
        assert found == {
            "soak.calls": 108_000,
            "soak.failures": 18,
            "soak.growth_mb": 1.5,
            "soak.left_fds": 2,
            "soak.left_threads": 0,
            "soak.left_requests": 0,
            "soak.p99_ratio": 1.5,
            "soak.cpu_ms": 1,
        }
        assert set(found) == {figure.name for figure in soak.FIGURES}

    @pytest.mark.parametrize("arguments", [["--minutes", "2"], ["--per-second", "0"]])
    def test_one_that_shows_nothing_is_refused(self, arguments: list[str]) -> None:
        """Too short, or without a call."""
        with pytest.raises(SystemExit):
            soak.read_arguments(arguments)

"""cortexctl watch --format: a panel's line for each change, from the real daemon."""

from __future__ import annotations

import json
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cortexd.client import Client, Completion
from simulated import Behaviour
from tests.bus.served import (  # noqa: F401
    START_S,
    Cortexctl,
    Served,
    cortexctl_argv,
    cortexctl_fixture,
    environment,
    served_fixture,
    served_of_module_fixture,
)


class Panel:
    """Reads the lines, as Waybar and its like do."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    def next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], START_S)[0], f"no line in time; so far {self.lines}"
        line = self.process.stdout.readline()
        assert line, f"it has ended: {self.process.stderr and self.process.stderr.read()}"
        self.lines.append(json.loads(line))
        return self.lines[-1]

    def until(self, **wanted: Any) -> dict[str, Any]:
        """The next line that has all of `wanted`."""
        while True:
            line = self.next()
            if all(line[key] == value for key, value in wanted.items()):
                return line


@contextmanager
def panel(served: Served, form: str = "json") -> Iterator[Panel]:
    argv = cortexctl_argv(served.address, "watch", "--format", form)
    with subprocess.Popen(
        argv,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        try:
            yield Panel(process)
        finally:
            process.kill()


class TestChanges:
    def test_loading_first_then_the_figures(self, served: Served) -> None:
        """What is not known yet is a dash, and never 0."""
        with panel(served) as lines:
            first = lines.next()
            assert (first["state"], first["day_usd"], first["text"]) == ("loading", None, "… —")
            assert lines.until(state="ok")["day_usd"] >= 0

    def test_each_cost_is_a_line(self, served: Served) -> None:
        """As it arises, without being asked for."""
        served.simulated.behave("claude", Behaviour(input_tokens=1000, output_tokens=100))
        with panel(served) as lines, Client(served.address) as client:
            before = lines.until(state="ok")["day_usd"]
            client.ask("hello")
            after = lines.next()
        assert after["day_usd"] == pytest.approx(before + 0.003)

    def test_a_burst_is_few_lines_and_the_last_is_right(self, served: Served) -> None:
        """At most four a second; nothing of a burst is missing at its end."""
        with panel(served) as lines, Client(served.address) as client:
            before = lines.until(state="ok")["day_usd"]
            answers = client.batch([("user_chat", "hi")] * 100)
            paid = sum(answer.cost_usd for answer in answers if isinstance(answer, Completion))
            while lines.next()["day_usd"] < before + paid - 1e-9:
                pass
            assert lines.lines[-1]["day_usd"] == pytest.approx(before + paid)
        assert len(lines.lines) < 50


class TestThresholds:
    def test_the_figure_stays(self, served: Served) -> None:
        """A threshold that is passed changes the state and keeps the sum, which went back to what it was at first."""
        served.simulated.behave("claude", Behaviour(input_tokens=1000, output_tokens=100))
        with panel(served) as lines, Client(served.address) as client:
            before = lines.until(state="ok")["day_usd"]
            client.set_budget("each_user", day_usd=(before + 0.003) / 0.9)
            try:
                client.complete("user_chat", "hello", max_tokens=100)
                assert lines.until(state="warn")["day_usd"] == pytest.approx(before + 0.003)
                served.stop()
                assert lines.until(state="stale")["day_usd"] == pytest.approx(before + 0.003)
            finally:
                if not served.running:
                    served.start()
                client.set_budget("each_user", remove=True)


class TestComingAndGoing:
    def test_a_service_that_left_is_stale_and_not_started(self, served: Served) -> None:
        """The last figures stay; when the service is back they are right again."""
        with panel(served) as lines, Client(served.address) as client:
            lines.until(state="ok")
            served.stop()
            stale = lines.until(state="stale")
            assert "not running" in stale["next_step"]
            served.start()
            known = lines.until(state="ok")["day_usd"]
            client.ask("hello")
            assert lines.next()["day_usd"] > known

    def test_without_a_service_it_waits(self, served: Served) -> None:
        """It begins stale, with no figure."""
        served.stop()
        with panel(served) as lines:
            stale = lines.until(state="stale")
            assert stale["day_usd"] is None
            assert "figures" not in stale["next_step"]
            served.start()
            assert lines.until(state="ok")["day_usd"] is not None

    def test_it_ends_with_its_pipe(self, served: Served) -> None:
        """Also where nothing happens any more."""
        with panel(served) as lines:
            lines.until(state="ok")
            assert lines.process.stdout is not None
            lines.process.stdout.close()
            assert lines.process.wait(START_S) == 0

    def test_terminated(self, served: Served) -> None:
        """A panel that restarts its modules ends it at once."""
        with panel(served) as lines:
            lines.until(state="ok")
            lines.process.send_signal(signal.SIGTERM)
            assert lines.process.wait(START_S) != 0


class TestForms:
    def test_waybar(self, served: Served) -> None:
        """Waybar's keys: class and alt are the state."""
        with panel(served, "waybar") as lines:
            line = lines.until(**{"class": "ok"})
        assert set(line) == {"text", "tooltip", "class", "alt"}
        assert line["text"].startswith("● $")

    def test_alone(self, cortexctl: Cortexctl) -> None:
        """Options that choose requests do not go with it."""
        done = cortexctl("watch", "--format", "plain", "--count", "1")
        assert done.returncode == 2
        assert "--format" in done.stderr

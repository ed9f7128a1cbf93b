"""One group's mutants against its tests, in a pytest that collects once and forks for each."""

from __future__ import annotations

import json
import os
import pickle
import resource
import select
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tools.mutants.exchange import Unfit, exchange, forget
from tools.mutants.operators import Mutant, Source
from tools.mutants.table import Group

KILLED, SURVIVED, TIMEOUT, UNFIT = "killed", "survived", "timeout", "unfit"
_OUTCOMES = {0: SURVIVED, 1: KILLED, 2: UNFIT}
_LEAST_CPU_S, _CPU_FACTOR, _WALL_S = 4.0, 12, 180.0  # of all of a mutant's tests
_LEAST_TEST_S, _TEST_FACTOR = 20.0, 30  # of one test: the wall's seconds, and the CPU seconds that it takes as it is
_MEMORY = 3 << 30


@dataclass(frozen=True, slots=True)
class Task:
    key: str
    source: Source
    mutant: Mutant
    diff: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Mutants at once, and the moment (time.monotonic) after which none is begun."""

    at_once: int
    until: float


@dataclass(slots=True)
class Reach:
    """Which tests (by their place in the collection) reach which lines, and the CPU seconds of each test."""

    tests: dict[str, dict[int, set[int]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))
    seconds: dict[int, float] = field(default_factory=dict)

    def of(self, mutant: Mutant) -> list[int]:
        """Those that reach the changed lines, the quickest first, then the function's others."""
        lines = self.tests[mutant.module]
        near = {test for line in range(mutant.first, mutant.last + 1) for test in lines[line]}
        all_ = {test for line in range(mutant.body[0], mutant.body[1] + 1) for test in lines[line]}
        return sorted(all_, key=lambda test: (test not in near, self.seconds[test]))


class Failures:
    """What pytest says of the tests that run in this process."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.reasons: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)
            self.reasons.append(report.longreprtext)


class Runner:
    """The pytest plugin. `tell` gets every result as soon as it is there."""

    def __init__(self, group: Group, tasks: Iterable[Task], limits: Limits, tell: Callable[..., None]) -> None:
        self._group = group
        self._tasks = tasks
        self._limits = limits
        self._tell = tell
        self._failures = Failures()
        self.broken: list[str] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        config.pluginmanager.register(self._failures)
        _settle_hypothesis()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        reach = self._measured(session.items)
        if not self.broken:
            with closing(self._outcomes(session.items, reach)) as outcomes:
                for outcome in outcomes:
                    self._tell(*outcome)
        return True

    def _measured(self, items: Sequence[pytest.Item]) -> Reach:
        """All tests once, on the code as it is, in a fork: Hypothesis takes a test's second run here for a fault."""
        with tempfile.NamedTemporaryFile() as file:
            pid = os.fork()
            if not pid:
                reach = _measure(items, self._group.modules)
                tests = {module: dict(lines) for module, lines in reach.tests.items()}
                Path(file.name).write_bytes(pickle.dumps((self._failures.reasons, tests, reach.seconds)))
                os._exit(0)
            os.waitpid(pid, 0)
            self.broken, tests, seconds = pickle.loads(Path(file.name).read_bytes())  # noqa: S301 - our own child's
        reach = Reach(seconds=seconds)
        for module, lines in tests.items():
            reach.tests[module].update(lines)
        return reach

    def _outcomes(self, items: Sequence[pytest.Item], reach: Reach) -> Generator[tuple[Task, str, str]]:
        running: dict[int, _Child] = {}
        try:
            yield from self._each(items, reach, running)
        finally:
            for child in running.values():
                child.end()

    def _each(
        self, items: Sequence[pytest.Item], reach: Reach, running: dict[int, _Child]
    ) -> Iterator[tuple[Task, str, str]]:
        for task in self._tasks:
            if time.monotonic() > self._limits.until:
                break
            tests = reach.of(task.mutant)
            if not tests:
                yield task, SURVIVED, "no test reaches it"
                continue
            while len(running) >= self._limits.at_once:
                yield from _ended(running)
            seconds = [reach.seconds[test] for test in tests]
            body = partial(self._try, task, [items[test] for test in tests], seconds)
            child = _Child(task, sum(seconds))
            child.start(body)
            running[child.fd] = child
        while running:
            yield from _ended(running)

    def _try(self, task: Task, items: Sequence[pytest.Item], seconds: Sequence[float]) -> tuple[int, str]:
        mutant = task.mutant
        try:
            exchange(mutant.module, mutant.function, task.source.mutated(mutant), defaults=mutant.in_signature)
        except Unfit as unfit:
            return 2, str(unfit)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        runs = _run(items)
        for test_s in seconds:
            signal.setitimer(signal.ITIMER_REAL, max(_LEAST_TEST_S, _TEST_FACTOR * test_s))
            next(runs)
            if self._failures.failed:
                return 1, self._failures.failed[0]
        return 0, ""


class _Child:
    """One mutant's process, in a session of its own; it writes its note and ends with what it found."""

    def __init__(self, task: Task, seconds: float) -> None:
        self.task = task
        self._cpu_s = int(max(_LEAST_CPU_S, _CPU_FACTOR * seconds)) + 1
        self.deadline = time.monotonic() + _WALL_S + 4 * self._cpu_s
        self.pid = self.fd = -1

    def start(self, body: Callable[[], tuple[int, str]]) -> None:
        self.fd, mine = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(mine)
        else:
            self._be(mine, body)

    def _be(self, fd: int, body: Callable[[], tuple[int, str]]) -> NoReturn:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (self._cpu_s, self._cpu_s + 1))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)
        status, note = 1, "the run itself"
        try:
            status, note = body()
        finally:
            os.write(fd, note.encode()[:2000])
            os._exit(status)

    def result(self) -> tuple[Task, str, str]:
        note = os.read(self.fd, 4096).decode("utf-8", "replace")
        os.close(self.fd)
        _, status = os.waitpid(self.pid, 0)
        self.end()
        return self.task, _OUTCOMES.get(os.waitstatus_to_exitcode(status), TIMEOUT), note

    def end(self) -> None:
        """What it may have started goes with it."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return


def _ended(running: dict[int, _Child]) -> Iterator[tuple[Task, str, str]]:
    """Those that have ended, after a wait for the next one."""
    ready, _, _ = select.select(list(running), [], [], 1.0)
    for child in [running[fd] for fd in ready]:
        del running[child.fd]
        yield child.result()
    for child in running.values():
        if time.monotonic() > child.deadline:
            child.end()


def _run(items: Sequence[pytest.Item]) -> Iterator[pytest.Item]:
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        yield item


def _measure(items: Sequence[pytest.Item], modules: Sequence[str]) -> Reach:
    import coverage

    files = [str(Path(module).resolve()) for module in modules]
    meter = coverage.Coverage(data_file=None, include=files, config_file=False)
    reach, began = Reach(), time.process_time()
    meter.start()
    runs = _run(items)
    for number in range(len(items)):
        meter.switch_context(str(number))
        forget()
        next(runs)
        reach.seconds[number] = time.process_time() - began
        began = time.process_time()
    meter.stop()
    data = meter.get_data()
    for module, file in zip(modules, files, strict=True):
        for line, contexts in data.contexts_by_lineno(file).items():
            reach.tests[module][line].update(int(context) for context in contexts if context)
    return reach


def run(group: Group, tasks: Iterable[Task], limits: Limits, tell: Callable[..., None]) -> list[str]:
    """Try the mutants; what fails without any is returned, and then none was tried."""
    runner = Runner(group, tasks, limits, tell)
    deselected = " and ".join(f"not {word}" for word in group.without)
    selection = ["-k", deselected] if deselected else []
    arguments = ["-q", "--no-header", "--no-summary", "-p", "no:cacheprovider", "--capture=sys", "-m", "not slow"]
    status = pytest.main([*arguments, *selection, *group.tests], plugins=[runner])
    if status == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    return runner.broken or ([] if status in (0, 5) else [f"pytest ended with {status}"])


def _settle_hypothesis() -> None:
    """The same examples each time; one that fails is enough, also where a shorter one would."""
    from hypothesis import HealthCheck, Phase, settings

    settings.register_profile(
        "mutants",
        derandomize=True,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutants")


def as_row(task: Task, outcome: str, note: str) -> dict[str, Any]:
    mutant = task.mutant
    row = {"key": task.key, "module": mutant.module, "function": mutant.function, "line": mutant.first}
    return {**row, "outcome": outcome, "note": note, "diff": task.diff}


def store(file: Path, checkout: str) -> Callable[..., None]:
    """Each result as a line of JSON, at once: an interrupted run goes on from there."""

    def tell(task: Task, outcome: str, note: str) -> None:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({**as_row(task, outcome, note), "checkout": checkout}) + "\n")
        sys.stderr.write({KILLED: ".", SURVIVED: "S", TIMEOUT: "T", UNFIT: "-"}[outcome])
        sys.stderr.flush()

    return tell

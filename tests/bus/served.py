"""The real daemon on a dbus-daemon of the tests' own, before simulated providers in a process of theirs.

`served`     all three, one set for a test module; behaviours are reset for each test, the daemon is up again
`cortexctl`  runs the command line tool on `served`'s bus
"""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import pytest

from simulated import ControlClient
from tests.bus.private_dbus import PrivateBus
from tests.eventually import assert_eventually

KEYS = {"claude": "sk-sim-claude", "kimi_k2": "sk-sim-kimi"}
MAX_PROMPT_BYTES = 200_000
START_S = 30.0

# The pending replies that the system bus grants to one connection, which a session bus does not limit.
BUS_LIMITS = {"max_replies_per_connection": 128}
CONFIG = """
[providers.claude]
base_url = "{claude}"
[providers.kimi_k2]
base_url = "{kimi_k2}"
[ledger]
path = "{directory}/state/ledger.sqlite3"
[limits]
max_prompt_bytes = {max_prompt_bytes}
"""


class Served:
    """A bus, simulated providers and a daemon; each may be ended and started again."""

    def __init__(self, directory: Path, simulated: ControlClient) -> None:
        self.simulated = simulated
        self._bus = PrivateBus(directory, BUS_LIMITS)
        self.address = self._bus.address
        self._directory = directory
        self._daemon: subprocess.Popen[bytes] | None = None
        self._starts = 0
        (directory / "config.toml").write_text(
            CONFIG.format(
                directory=directory,
                max_prompt_bytes=MAX_PROMPT_BYTES,
                **{name: simulated.url(name) for name in KEYS},
            )
        )
        self.start_bus()

    @property
    def log(self) -> str:
        file = self._directory / "log"
        return file.read_text("utf-8", "replace") if file.exists() else ""

    @property
    def ledger(self) -> Path:
        return self._directory / "state/ledger.sqlite3"

    @property
    def running(self) -> bool:
        return self._daemon is not None

    def start_bus(self) -> None:
        """At the same address as before."""
        self._bus.start()

    def end_bus(self) -> None:
        self._bus.kill()
        if self._daemon is not None:  # it leaves with the bus
            self._daemon.wait(START_S)
            self._daemon = None

    def start(self, *, keys: bool = True) -> None:
        """Returns once the daemon owns its name; without `keys` no provider can be asked."""
        argv = [sys.executable, "-m", "cortexd", "--bus", self.address, "--config", f"{self._directory}/config.toml"]
        variables = {"ANTHROPIC_API_KEY": KEYS["claude"], "MOONSHOT_API_KEY": KEYS["kimi_k2"]} if keys else {}
        with (self._directory / "log").open("ab") as log:
            self._daemon = subprocess.Popen(argv, env={**os.environ, **variables}, stdout=log, stderr=log)
        self._starts += 1
        assert_eventually(
            lambda: self.log.count("serving org.cortexlinux.LLMRouter") == self._starts or self._left(),
            START_S,
            "the daemon to serve",
        )
        assert not self._left(), self.log

    @contextmanager
    def written(self, text: str) -> Iterator[None]:
        """With more settings meanwhile in the files, which the daemon reads when it starts or reloads."""
        file = self._directory / "conf.d" / "more.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        try:
            yield
        finally:
            file.unlink()

    @contextmanager
    def configured(self, text: str) -> Iterator[None]:
        """With more settings meanwhile."""
        try:
            with self.written(text):
                self.stop()
                self.start()
                yield
        finally:
            self.stop()
            self.start()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._daemon is not None:
            self._daemon.send_signal(number)
            self._daemon.wait(START_S)
            self._daemon = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile the daemon has its name on the bus and answers nobody."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._daemon.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.stop()
        self._bus.kill()

    def _left(self) -> bool:
        return self._daemon is None or self._daemon.poll() is not None


@contextmanager
def simulated_providers(directory: Path) -> Iterator[ControlClient]:
    port_file = directory / "port"
    argv = [sys.executable, "-m", "simulated", "--port-file", str(port_file)]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as process:
        try:
            assert_eventually(lambda: port_file.exists() or process.poll() is not None, START_S, "the providers")
            yield ControlClient(f"http://127.0.0.1:{port_file.read_text().strip()}")
        finally:
            process.terminate()


@contextmanager
def service() -> Iterator[Served]:
    """Everything but the daemon, which start() starts."""
    with TemporaryDirectory(prefix="served-") as name, simulated_providers(Path(name)) as simulated:
        served = Served(Path(name), simulated)
        try:
            yield served
        finally:
            served.close()


@pytest.fixture(name="served_of_module", scope="module")
def served_of_module_fixture() -> Iterator[Served]:
    with service() as served:
        yield served


@pytest.fixture(name="served")
def served_fixture(served_of_module: Served) -> Served:
    for name in KEYS:
        served_of_module.simulated.reset(name)
    if not served_of_module.running:
        served_of_module.start()
    return served_of_module


Cortexctl = Callable[..., subprocess.CompletedProcess[str]]


def cortexctl_argv(address: str, *words: str) -> list[str]:
    return [sys.executable, "-m", "cortexd.cli", "--bus", address, *words]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The tests' own, without what makes programs draw differently."""
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM", "COLUMNS")}
    return {**kept, "TERM": "xterm", **(more or {})}


@pytest.fixture(name="cortexctl")
def cortexctl_fixture(served: Served) -> Cortexctl:
    def run(
        *words: str, input: str | None = None, bus: str | None = None, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return run_cortexctl(bus or served.address, words, input, more)

    return run


def run_cortexctl(
    address: str, words: Sequence[str], input: str | None = None, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Not at a terminal; `input` is piped in, without it stdin is /dev/null."""
    return subprocess.run(
        cortexctl_argv(address, *words),
        env=environment(more),
        stdin=subprocess.DEVNULL if input is None else None,
        input=input,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )


def read_and_leave(address: str, words: Sequence[str], size: int) -> tuple[int, bytes]:
    """As before `| head`, which takes so many bytes: status and errors."""
    with subprocess.Popen(
        cortexctl_argv(address, *words),
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(size)
        process.stdout.close()
        errors = process.stderr.read()
        return process.wait(START_S), errors


def at_terminal(
    address: str,
    words: Sequence[str],
    more: Mapping[str, str] | None = None,
    stdout: int | None = None,
    stdin: int | None = None,
    shows: Callable[[str], None] = lambda _screen: None,
) -> tuple[int, str]:
    """Run at a pseudo-terminal, 200 columns wide: status and screen; `stdout` and `stdin` may be something else.
    `shows` hears of each change on the screen."""
    screen, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (50, 200))
    with open(screen, "rb", buffering=0) as shown:
        try:
            process = subprocess.Popen(
                cortexctl_argv(address, *words),
                env=environment(more),
                stdin=terminal if stdin is None else stdin,
                stdout=terminal if stdout is None else stdout,
                stderr=terminal,
                start_new_session=True,
            )
        finally:
            os.close(terminal)
        with process:
            text = _read_screen(shown, shows)
            return process.wait(START_S), text


def _read_screen(screen: IO[bytes], shows: Callable[[str], None]) -> str:
    """All that is shown until the last process has left the terminal."""
    shown = b""
    while select.select([screen], [], [], START_S)[0]:
        try:
            shown += screen.read(65536) or b""
            shows(shown.decode("utf-8", "replace"))
        except OSError:
            return shown.decode("utf-8", "replace").replace("\r\n", "\n")
    raise AssertionError(f"no end in time; on the screen: {shown!r}")

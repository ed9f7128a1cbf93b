"""What a case measures with: the upstream, the daemon, the echo service, the caller and the bare SDKs.

Everything is a context manager, and everything ends with the lab. The lab lives inside `script/private-bus`: the
daemon runs as the service's own user, the caller as an ordinary one of group `cortex`, so polkit is asked for real.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import CannotMeasure, Child
from bench.samples import Round, StreamRound

CHECKOUT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Build:
    """A checkout whose cortexd is measured, and the interpreter with its libraries."""

    checkout: Path
    python: Path


TODAY = Build(CHECKOUT, Path(sys.executable))
SERVICE_USER = "cortexd"
CALLER_USER = "alice"
_AS_SERVICE = ("setpriv", f"--reuid={SERVICE_USER}", f"--regid={SERVICE_USER}", "--init-groups")
_DISK = "/var/tmp"  # the ledger belongs on a disk; TMPDIR is memory in the namespace


@dataclass(frozen=True, slots=True)
class Upstream:
    """The fake provider. `set` takes its settings (delay_us, chunks, chunk_us, burst, status)."""

    child: Child
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def set(self, **settings: int) -> None:
        fetched(self.port, "/__set?" + "&".join(f"{key}={value}" for key, value in settings.items()))

    def stats(self) -> dict[str, int]:
        return dict(json.loads(fetched(self.port, "/__stats")))


def fetched(port: int, path: str) -> bytes:
    """What one of the benchmark's own servers answers. Raises CannotMeasure for anything but a 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise CannotMeasure(f"127.0.0.1:{port}{path}: status {answer.status}: {body.decode(errors='replace')}")
    return body


@dataclass(frozen=True, slots=True)
class SdkWorker:
    """The bare SDKs, or a peer, in a process of their own."""

    child: Child

    def calls(self, vendor: str, in_flight: int, calls: int) -> Round:
        """One round; its CPU is the worker's own."""
        return Round(**self._order(vendor=vendor, in_flight=in_flight, calls=calls))

    def streams(self, reader: str, streams: int) -> StreamRound:
        """One round of bench.stream_worker; its CPU is the worker's own."""
        return StreamRound(**self._order(reader=reader, streams=streams))

    def _order(self, **wish: object) -> dict[str, Any]:
        self.child.stdin.write(json.dumps(wish) + "\n")
        self.child.stdin.flush()
        return self.read()

    def read(self) -> dict[str, Any]:
        line = self.child.stdout.readline()
        if not line:
            raise CannotMeasure(f"the SDK worker ended:\n{self.child.log_end()}")
        return dict(json.loads(line))


class Lab:
    """Starts what a case asks for. `quick` asks the cases for a rough figure in a fraction of the time.

    `peers` is the interpreter of the peers' environment (bench.peers), None where they are not measured. `build` is
    whose daemon and bridge are started; all else is today's. `started_daemon`: whether anybody has asked for one.
    """

    def __init__(
        self, programs: Path, directory: Path, *, quick: bool, peers: Path | None = None, build: Build = TODAY
    ) -> None:
        self.programs = programs
        self.directory = directory
        self.quick = quick
        self.peers = peers
        self.build = build
        self.started_daemon = False
        self._numbers = itertools.count(1)

    def log_file(self, name: str) -> Path:
        return self.directory / f"{name}-{next(self._numbers)}.log"

    @contextlib.contextmanager
    def upstream(self) -> Iterator[Upstream]:
        with self.running([self.programs / "upstream", "0"], "upstream", talks=True) as child:
            yield Upstream(child, int(child.stdout.readline().split()[1]))

    @contextlib.contextmanager
    def sdk(self, upstream: Upstream) -> Iterator[SdkWorker]:
        with self.python_worker("bench.sdk_worker", upstream.url) as worker:
            yield worker

    @contextlib.contextmanager
    def python_worker(self, module: str, *arguments: str) -> Iterator[SdkWorker]:
        """A worker of ours, in the interpreter that runs the benchmark."""
        command = [sys.executable, "-m", module, *arguments]
        with self.worker(command, module.rpartition(".")[2], environ=own_environment()) as worker:
            yield worker

    @contextlib.contextmanager
    def worker(self, command: Sequence[str | Path], name: str, environ: Mapping[str, str]) -> Iterator[SdkWorker]:
        """A process that takes orders as bench.sdk_worker does, as soon as it says that it is ready."""
        with self.running(command, name, talks=True, environ=environ) as child:
            worker = SdkWorker(child)
            worker.read()
            yield worker

    @contextlib.contextmanager
    def echo(self) -> Iterator[Child]:
        """The echo service, owning the daemon's name."""
        with self.running([self.programs / "echo"], "echo") as child:
            self.caller("wait")
            yield child

    @contextlib.contextmanager
    def bus_rooms(self) -> Iterator[Child]:
        """The daemon's rooms beside the bus alone (bench.bus_rooms), owning the daemon's name."""
        command = [*_AS_SERVICE, sys.executable, "-m", "bench.bus_rooms"]
        with self.running(command, "bus_rooms", environ=own_environment()) as child:
            self.wait_for(child)
            yield child

    @contextlib.contextmanager
    def ledger_directory(self) -> Iterator[Path]:
        """An empty directory on a disk that belongs to the service's user."""
        with tempfile.TemporaryDirectory(prefix="cortexd-bench-", dir=_DISK) as name:
            user = self._user(SERVICE_USER)
            os.chown(name, user.pw_uid, user.pw_gid)
            yield Path(name)

    @contextlib.contextmanager
    def daemon(
        self, upstream: Upstream, ledger: Path, *, settings: str = "", before_module: Sequence[str] = ("-m",)
    ) -> Iterator[Child]:
        """The real daemon, as soon as it is spawned (see `ready_daemon`).

        `settings` is more TOML for its configuration; `before_module` the interpreter's arguments before `cortexd`.
        """
        config = self.directory / f"config-{next(self._numbers)}.toml"
        config.write_text(_config(upstream, ledger) + settings)
        python = str(self.build.python)
        command = [*_AS_SERVICE, python, *before_module, "cortexd", "--bus", "system", "--config", str(config)]
        environ = own_environment() | {"ANTHROPIC_API_KEY": "bench", "MOONSHOT_API_KEY": "bench"}
        self.started_daemon = True
        with self.running(command, "cortexd", cwd=self.build.checkout, environ=environ) as child:
            yield child

    @contextlib.contextmanager
    def ready_daemon(self, upstream: Upstream, ledger: Path, *, settings: str = "") -> Iterator[Child]:
        """The real daemon with its name on the bus and at rest."""
        with self.daemon(upstream, ledger, settings=settings) as daemon:
            self.wait_for(daemon)
            daemon.settle()
            yield daemon

    @contextlib.contextmanager
    def made_ledger(self, upstream: Upstream) -> Iterator[Path]:
        """A directory whose ledger is there already, as on any day but the first: making it imports the migrations."""
        with self.ledger_directory() as ledger:
            with self.daemon(upstream, ledger) as daemon:
                self.wait_for(daemon)
            yield ledger

    def wait_for(self, daemon: Child) -> dict[str, Any]:
        """Wait until the daemon owns its name; its log tells why where it does not."""
        return self._with_log(daemon, "wait", ())

    def first_answer(self, daemon: Child) -> dict[str, Any]:
        """Wait for the name and make one call: name_ns and answer_ns on the clock of `Child.started_ns`."""
        answer = self._with_log(daemon, "start", ())
        if answer["failures"]:
            raise CannotMeasure(f"the first call failed: {answer['error']}\n{daemon.log_end()}")
        return answer

    def calls(
        self,
        service: Child,
        *,
        in_flight: int,
        calls: int,
        task: str = "user_chat",
        batch: bool = False,
        prompt: Path | None = None,
    ) -> Round:
        """One round of `Complete` from the C caller; its CPU is the service's. A failed call is counted.

        `batch`: all of them in one CompleteBatch, `in_flight` at a time. `prompt`: a file that holds the prompt.
        """
        cpu = service.cpu_seconds()
        options: tuple[object, ...] = ("--in-flight", in_flight, "--calls", calls, "--task", task)
        if prompt is not None:
            options += ("--prompt-file", prompt)
        answer = self._with_log(service, "batch" if batch else "run", options)
        spent = service.cpu_seconds() - cpu
        fields = ("calls", "failures", "seconds", "latency_ns", "error")
        return Round(cpu_s=spent, **{field: answer[field] for field in fields})

    def streams(self, service: Child, *, streams: int, chunks: int) -> StreamRound:
        """Streams of `chunks` chunks, one after the other, read by the C reader; the CPU is the service's."""
        cpu = service.cpu_seconds()
        answer = self._with_log(service, "read", ("--streams", streams, "--chunks", chunks), program="streamer")
        return StreamRound(cpu_s=service.cpu_seconds() - cpu, **answer)

    def leave_stream(self, service: Child, *, after: int) -> dict[str, Any]:
        """Close one stream's read end once `after` chunks have come: left_ns on CLOCK_MONOTONIC, failures, error."""
        return self._with_log(service, "leave", ("--after", after), program="streamer")

    def caller(self, mode: str, options: Sequence[object] = (), *, program: str = "caller") -> dict[str, Any]:
        """Run a C client as an ordinary user and return the object that it prints."""
        command = [str(self.programs / program), mode, "--uid", self.caller_uid(), "--timeout", 60, *options]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=90)
        if done.returncode:
            raise CannotMeasure(f"{program} {mode}: {done.stderr.strip()}")
        return dict(json.loads(done.stdout))

    def caller_uid(self) -> int:
        """The ordinary user as whom clients call."""
        return self._user(CALLER_USER).pw_uid

    def bus_pid(self) -> int:
        """The dbus-daemon of the private bus."""
        return int((self._namespace() / "bus.pid").read_text())

    def polkit_pid(self) -> int:
        """The polkitd of the private bus."""
        return int((self._namespace() / "polkitd.pid").read_text())

    def _with_log(
        self, service: Child, mode: str, options: Sequence[object], *, program: str = "caller"
    ) -> dict[str, Any]:
        limit = ("--timeout", 20) if mode in ("start", "wait") else ()
        try:
            return self.caller(mode, (*limit, *options), program=program)
        except CannotMeasure as error:
            raise CannotMeasure(f"{error}\n{service.log_end()}") from None

    def _user(self, name: str) -> pwd.struct_passwd:
        self._namespace()
        return pwd.getpwnam(name)

    def _namespace(self) -> Path:
        directory = os.environ.get("CORTEXD_NAMESPACE_DIR")
        if directory is None:
            raise CannotMeasure("needs the private bus: start it as script/bench")
        return Path(directory)

    @contextlib.contextmanager
    def running(self, command: Sequence[str | Path], name: str, **how: Any) -> Iterator[Child]:
        child = Child(command, self.log_file(name), **{"cwd": CHECKOUT, **how})
        try:
            yield child
        finally:
            child.stop()


def own_environment() -> dict[str, str]:
    """No proxy, no key and no Python setting of the person who runs the benchmark."""
    kept = ("PATH", "HOME", "LC_ALL", "TMPDIR", "DBUS_SYSTEM_BUS_ADDRESS")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _config(upstream: Upstream, ledger: Path) -> str:
    values: Mapping[str, Mapping[str, str]] = {
        "providers.claude": {"base_url": upstream.url},
        "providers.kimi_k2": {"base_url": f"{upstream.url}/v1"},
        "ledger": {"path": str(ledger / "ledger" / "ledger.sqlite3")},
    }
    tables = ("\n".join([f"[{table}]", *(f'{k} = "{v}"' for k, v in rows.items())]) for table, rows in values.items())
    return "\n".join(tables) + "\n"

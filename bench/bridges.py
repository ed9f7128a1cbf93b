"""The bridge as its user's programs meet it: on a port with a key, or on a socket that was there before it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pwd
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.lab import CALLER_USER, Lab, SdkWorker, own_environment
from bench.processes import CannotMeasure, Child
from bench.samples import Round, StreamRound
from bench.sdk_worker import KEY

_QUESTION = {"model": "auto", "messages": [{"role": "user", "content": "Say hello."}]}
_ANSWER_S = 20.0
# what systemd does for a service of one socket
_ACTIVATED = 'exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'


@dataclass(frozen=True, slots=True)
class Running:
    """A bridge, the daemon behind it, and a program that asks it."""

    bridge: Child
    daemon: Child
    url: str

    def cpu_seconds(self) -> float:
        """Of both processes."""
        return self.bridge.cpu_seconds() + self.daemon.cpu_seconds()

    def calls(self, program: SdkWorker, vendor: str, in_flight: int, calls: int) -> Round:
        """One round through the bridge; its CPU is both processes'."""
        cpu = self.cpu_seconds()
        done = program.calls(vendor, in_flight, calls)
        return replace(done, cpu_s=self.cpu_seconds() - cpu)

    def streams(self, program: SdkWorker, reader: str, streams: int) -> StreamRound:
        """The same of streams."""
        cpu = self.cpu_seconds()
        done = program.streams(reader, streams)
        return replace(done, cpu_s=self.cpu_seconds() - cpu)


@contextlib.contextmanager
def bridge(lab: Lab, daemon: Child) -> Iterator[Running]:
    """An ordinary user's bridge on a port of its own, at rest."""
    read, write = os.pipe()
    command = [*_as_caller(), str(lab.build.python), "-m", "cortexd.bridge", "--port", "0", "--port-fd", str(write)]
    environ = own_environment() | {"CORTEX_LLM_TOKEN": KEY}
    how = {"cwd": lab.build.checkout, "environ": environ, "pass_fds": (write,)}
    running = lab.running([*command, "--model", "auto"], "bridge", **how)
    with os.fdopen(read) as told, running as child:
        os.close(write)
        port = told.readline().strip()
        if not port:
            raise CannotMeasure(f"the bridge does not start:\n{child.log_end()}")
        child.settle()
        yield Running(child, daemon, f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def program(lab: Lab, module: str, *arguments: str) -> Iterator[SdkWorker]:
    """One of the bench's workers as the bridge's user: the bridge answers nobody else."""
    command = [*_as_caller(), sys.executable, "-m", module, *arguments]
    with lab.worker(command, module.rpartition(".")[2], environ=own_environment()) as worker:
        yield worker


def first_answer_s(lab: Lab, path: Path) -> tuple[float, float]:
    """A request that starts a bridge on the socket `path`, and the next one: seconds from asking to its answer each."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        user = pwd.getpwnam(CALLER_USER)
        os.chown(path, user.pw_uid, user.pw_gid)
        listener.listen()
        asked = time.monotonic()
        with _connected(path) as first:
            command = [*_as_caller(), "sh", "-c", _ACTIVATED, "sh", str(lab.build.python), "-m", "cortexd.bridge"]
            how = {"cwd": lab.build.checkout, "environ": own_environment(), "stdin": listener.fileno()}
            with lab.running(command, "bridge", **how) as child:
                answered = _answer(first, child)
                with _connected(path) as second:
                    again = time.monotonic()
                    return answered - asked, _answer(second, child) - again


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[socket.socket]:
    """As the bridge's user, by whom the kernel goes when it connects."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_S)
        own = os.geteuid()
        os.seteuid(pwd.getpwnam(CALLER_USER).pw_uid)
        try:
            connection.connect(str(path))
        finally:
            os.seteuid(own)
        yield connection


def _answer(connection: socket.socket, child: Child) -> float:
    """When the answer was whole, on time.monotonic(). Raises CannotMeasure for anything but a 200."""
    asking = http.client.HTTPConnection("localhost")
    asking.sock = connection
    try:
        body = json.dumps(_QUESTION)
        asking.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        answer = asking.getresponse()
        said = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise CannotMeasure(f"the bridge does not answer: {error!r}\n{child.log_end()}") from None
    if answer.status != 200:
        raise CannotMeasure(f"the bridge answers {answer.status}: {said.decode(errors='replace')}\n{child.log_end()}")
    return time.monotonic()


def _as_caller() -> Sequence[str]:
    return ("setpriv", f"--reuid={CALLER_USER}", f"--regid={CALLER_USER}", "--init-groups")

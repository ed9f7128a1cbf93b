"""Commands as the namespace's users: alice (group cortex), bob (nothing special), carol (administrator), root."""

from __future__ import annotations

import pwd
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.eventually import assert_eventually
from tests.system.namespace import process_state, uid_of
from tests.system.polkit_agent import Answer, Asked, PolkitAgent
from tests.system.terminal import switch_user, user_environment

# A command that waits, stopped, until its agent is registered: polkit binds an agent to one process.
_STOPPED = ("bash", "-c", 'kill -STOP $$; exec "$@"', "stopped")


class Completed(subprocess.CompletedProcess[str]):
    """Also `asked`: what the agent beside the command was asked."""

    def __init__(self, process: subprocess.Popen[str], stdout: str, stderr: str, asked: Sequence[Asked] = ()) -> None:
        super().__init__(process.args, process.returncode, stdout, stderr)
        self.asked = list(asked)


def as_user(
    name: str,
    argv: Sequence[str],
    input: str | None = None,
    timeout: float = 30.0,
    environment: Mapping[str, str] | None = None,
    agent: Answer | None = None,
) -> Completed:
    """Run `argv` as user `name` in the checkout; with `agent`, beside an authentication agent that answers so.

    Raises subprocess.TimeoutExpired after `timeout` seconds; the command is killed then.
    """
    argv = switch_user(name, (*_STOPPED, *argv) if agent else argv)
    with subprocess.Popen(
        argv,
        env=user_environment(name, environment),
        stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            if agent is None:
                return Completed(process, *process.communicate(input, timeout))
            assert_eventually(lambda: process_state(process.pid) == "T", message=f"{argv} to stop")
            with PolkitAgent(process.pid, agent) as registered:
                process.send_signal(signal.SIGCONT)
                output = process.communicate(input, timeout)
            return Completed(process, *output, registered.asked)
        finally:
            process.kill()


class Background:
    """A command that a user leaves running, such as `gdbus monitor`, with all it has printed so far."""

    def __init__(
        self, name: str, argv: Sequence[str], output: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._output = output
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                switch_user(name, argv),
                env=user_environment(name, environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        assert_eventually(lambda: self._is(name) or self.process.poll() is not None, message=f"{argv} to run as {name}")

    def _is(self, name: str) -> bool:
        """Until setpriv has done its work the process is still root, and polkit would let it do anything."""
        return uid_of(self.process.pid) == pwd.getpwnam(name).pw_uid

    def output(self) -> str:
        return self._output.read_text("utf-8", "replace")

    def await_output(self, text: str, timeout: float = 10.0) -> None:
        assert_eventually(lambda: text in self.output(), timeout, f"{text!r} in the output")

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = 10.0) -> int:
        """The exit status, negative for a signal."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout)

"""A person at a terminal, where a password is asked for. Needs nothing but the standard library: tests of booted
systems run it in there."""

from __future__ import annotations

import os
import pty
import pwd
import select
import signal
import termios
import time
from collections.abc import Mapping, Sequence
from typing import IO

PASSWORD = "secret"
_INHERITED = ("PATH", "LC_ALL", "TERM", "TMPDIR", "DBUS_SYSTEM_BUS_ADDRESS", "CORTEXD_NAMESPACE_DIR", "CORTEXD_USERNS")


def switch_user(name: str, argv: Sequence[str]) -> list[str]:
    """`argv` as user `name`, in the same process."""
    if name == "root":
        return list(argv)
    return ["setpriv", f"--reuid={name}", f"--regid={name}", "--init-groups", "--", *argv]


def user_environment(name: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a fresh login would have: nothing of the tests' own environment but the way to the bus."""
    inherited = {variable: os.environ[variable] for variable in _INHERITED if variable in os.environ}
    home = os.environ["HOME"] if name == "root" else pwd.getpwnam(name).pw_dir
    return {**inherited, "HOME": home, "USER": name, "LOGNAME": name, **(more or {})}


def at_terminal(name: str, argv: Sequence[str], password: str = PASSWORD, timeout: float = 30.0) -> tuple[int, str]:
    """Run `argv` as `name` at a terminal of its own, typing `password` at each prompt for one: status and screen."""
    pid, terminal = pty.fork()
    if pid == 0:
        command = switch_user(name, argv)
        os.execvpe(command[0], command, user_environment(name))
    with open(terminal, "r+b", buffering=0) as screen:
        try:
            shown = _converse(screen, password, time.monotonic() + timeout)
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            raise
        finally:
            _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), shown


def _converse(screen: IO[bytes], password: str, deadline: float) -> str:
    shown = b""
    answered = 0
    while time.monotonic() < deadline:
        if select.select([screen], [], [], 0.05)[0]:
            try:
                shown += screen.read(4096) or b""
            except OSError:  # the last process has left the terminal
                return shown.decode("utf-8", "replace")
        if shown.count(b"Password: ") > answered and not _echoes(screen):
            screen.write(password.encode() + b"\n")
            answered += 1
    raise AssertionError(f"no end in time; on the screen: {shown.decode('utf-8', 'replace')}")


def _echoes(screen: IO[bytes]) -> bool:
    """A prompt appears before its program turns the echo off; what is typed in between would be lost."""
    return bool(termios.tcgetattr(screen)[3] & termios.ECHO)

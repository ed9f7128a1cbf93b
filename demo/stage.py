"""The demo's stage inside script/private-bus: users, simulated providers, the real daemon as user cortexd."""

from __future__ import annotations

import os
import pwd
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from demo.screen import Screen

SIMULATED_KEYS = {"claude": "sk-sim-demo-claude", "kimi_k2": "sk-sim-demo-kimi"}
_REAL_VARIABLES = {"claude": "ANTHROPIC_API_KEY", "kimi_k2": "MOONSHOT_API_KEY"}
_WIRES = {"claude": "claude", "kimi_k2": "kimi_k2/v1"}
_COMMANDS = {"cortexctl": "cortexd.cli.app", "cortex-llm-bridge": "cortexd.bridge.__main__"}
_DEAD_END = "http://127.0.0.1:9"  # the discard port, where nobody listens
_READY_S = 30.0


class Stage:
    """Starts everything, runs commands as users, and ends everything it started."""

    def __init__(self, screen: Screen, *, real: bool) -> None:
        self.screen = screen
        self.real = real
        self._open = ExitStack()
        self._directory = Path(tempfile.mkdtemp(prefix="demo-"))
        self._directory.chmod(0o755)
        self._daemon: subprocess.Popen[bytes] | None = None
        self._base_urls: dict[str, str] = {}

    @property
    def ledger(self) -> Path:
        return self._directory / "state" / "ledger.sqlite3"

    @property
    def log(self) -> Path:
        return self._directory / "cortexd.log"

    def __enter__(self) -> Self:
        self._make_directories()
        self._write_commands()
        if not self.real:
            self._start_simulated()
        self._write_keys()
        self.configure("")
        self._open.callback(self._end_daemon)
        self.start_daemon()
        return self

    def __exit__(self, *_error: object) -> None:
        self._open.close()

    def configure(self, dead: str) -> None:
        """Write the configuration; `dead` names a provider whose address is a dead end."""
        urls = {**self._base_urls, **({dead: _DEAD_END} if dead else {})}
        tables = "".join(f'[providers.{name}]\nbase_url = "{url}"\n' for name, url in urls.items())
        (self._directory / "config.toml").write_text(f'[ledger]\npath = "{self.ledger}"\n{tables}')
        if self._daemon is not None:
            before = self.log.read_text().count("configuration reloaded")
            self._daemon.send_signal(signal.SIGHUP)
            _wait(lambda: self.log.read_text().count("configuration reloaded") > before, "the reload")

    def stop_daemon(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._daemon is not None:
            self._daemon.send_signal(number)
            self._daemon.wait(_READY_S)
            self._daemon = None

    def start_daemon(self, *, keys: bool = True) -> None:
        """Returns once it serves; without `keys` no provider can be asked."""
        argv = [sys.executable, "-m", "cortexd", "--config", str(self._directory / "config.toml")]
        credentials = {"CREDENTIALS_DIRECTORY": str(self._directory / "credentials")} if keys else {}
        with self.log.open("wb") as log:
            self._daemon = subprocess.Popen(
                self.as_user("cortexd", argv), env={**self.environment("cortexd"), **credentials},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        _wait(lambda: b"serving" in self.log.read_bytes() or self._daemon_left(), "cortexd")
        if self._daemon_left():
            raise SystemExit(f"cortexd did not start:\n{self.log.read_text()}")

    def hold_daemon(self, *, held: bool) -> None:
        """Held, it has its name on the bus and answers nobody."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGSTOP if held else signal.SIGCONT)

    def run(self, user: str, line: str) -> str:
        """Show and run a shell command as `user`; what it printed, errors included."""
        self.screen.command(user, line)
        done = subprocess.run(
            self.as_user(user, ["bash", "-c", line]),
            env=self.environment(user),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
            check=False,
        )
        self.screen.output(done.stdout or f"(exit status {done.returncode})")
        return done.stdout

    def leave_running(self, user: str, line: str) -> subprocess.Popen[str]:
        """Show and start a command whose output comes while other things go on."""
        self.screen.command(user, f"{line} &")
        process = subprocess.Popen(
            self.as_user(user, shlex.split(line)),
            env=self.environment(user),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._open.callback(_end, process)
        return process

    def shell(self, user: str) -> int:
        """An interactive shell as `user`."""
        prompt = {"PS1": f"{user}:cortexd-demo$ ", "TERM": os.environ.get("TERM", "xterm")}
        argv = self.as_user(user, ["bash", "--norc", "--noprofile", "-i"])
        return subprocess.run(argv, env={**self.environment(user), **prompt}, check=False).returncode

    def as_user(self, user: str, argv: Sequence[str]) -> list[str]:
        if user == "root":
            return list(argv)
        return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--", *argv]

    def environment(self, user: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("LC_ALL", "DBUS_SYSTEM_BUS_ADDRESS") if name in os.environ}
        path = f"{self._directory / 'bin'}:{os.environ['PATH']}"
        return {**kept, "PATH": path, "HOME": pwd.getpwnam(user).pw_dir, "USER": user, "COLUMNS": "110"}

    def _make_directories(self) -> None:
        owner = pwd.getpwnam("cortexd")
        for part, mode in (("state", 0o700), ("credentials", 0o700), ("bin", 0o755)):
            path = self._directory / part
            path.mkdir(mode=mode)
            if part != "bin":
                os.chown(path, owner.pw_uid, owner.pw_gid)

    def _write_commands(self) -> None:
        """What the package has in /usr/bin. The working directory stays: files are named from there."""
        for name, module in _COMMANDS.items():
            file = self._directory / "bin" / name
            file.write_text(
                f"#!{sys.executable} -P\nimport sys\n\nsys.path.insert(0, {str(Path.cwd())!r})\n"
                f"from {module} import main\n\nsys.exit(main())\n"
            )
            file.chmod(0o755)

    def _write_keys(self) -> None:
        owner = pwd.getpwnam("cortexd")
        for provider, variable in _REAL_VARIABLES.items():
            key = os.environ.get(variable) if self.real else SIMULATED_KEYS[provider]
            if key:
                file = self._directory / "credentials" / f"keys_{provider}"
                file.touch(mode=0o400)
                os.chown(file, owner.pw_uid, owner.pw_gid)
                file.write_text(key)

    def _start_simulated(self) -> None:
        port_file = self._directory / "port"
        argv = [sys.executable, "-m", "simulated", "--port-file", str(port_file)]
        self._open.callback(_end, subprocess.Popen(argv, stdin=subprocess.DEVNULL))
        _wait(port_file.exists, "the simulated providers")
        base = f"http://127.0.0.1:{port_file.read_text().strip()}"
        self._base_urls = {name: f"{base}/{path}" for name, path in _WIRES.items()}

    def _end_daemon(self) -> None:
        if self._daemon is not None:
            _end(self._daemon)

    def _daemon_left(self) -> bool:
        return self._daemon is not None and self._daemon.poll() is not None


def real_keys(environ: Mapping[str, str]) -> list[str]:
    """The variables with real keys that are set."""
    return [variable for variable in _REAL_VARIABLES.values() if environ.get(variable)]


def _wait(ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _READY_S
    while not ready():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not come within {_READY_S:g} s")
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

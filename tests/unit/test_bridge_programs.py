"""Which program is behind a connection: real processes over real sockets, and what a system's /proc says of others."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cortexd.bridge.peer import of_process
from cortexd.bridge.program import program_of
from cortexd.bridge.programs import Programs
from cortexd.bridge.sock_diag import end_behind
from cortexd.bridge.socket_holder import holder_of, holds
from cortexd.domain.apps import MAX_APP, Program, Source, program_of_command

PID, INODE = 4242, 77
USER_SLICE = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/"
Proc = Callable[..., Path]
_ASKS = """
import socket, sys
place = sys.argv[1]
family = socket.AF_UNIX if place.startswith("/") else socket.AF_INET
with socket.socket(family) as asking:
    asking.connect(place if family == socket.AF_UNIX else ("127.0.0.1", int(place)))
    sys.stdin.read()
"""


@pytest.fixture(name="proc")
def proc_fixture(tmp_path: Path) -> Proc:
    """A /proc of one process, of which so much is to be seen."""

    def make(
        cgroup: str = USER_SLICE + "vte-spawn-1.scope",
        exe: str = "/usr/bin/tool",
        words: tuple[str, ...] = ("tool",),
        apparmor: str = "unconfined\n",
        flatpak: str = "",
        tty: int = 0,
        comm: str = "tool",
    ) -> Path:
        process = tmp_path / "proc" / str(PID)
        for name in ("attr", "root", "fd"):
            (process / name).mkdir(parents=True)
        fields = ["S", "1", "1", "1", str(tty), *["0"] * 14, "12345", "0"]
        (process / "stat").write_text(f"{PID} (a) b ({comm}) {' '.join(fields)}\n")
        (process / "cgroup").write_text(f"1:name=systemd:/\n{cgroup}\n")
        (process / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))
        (process / "comm").write_text(f"{comm}\n")
        (process / "attr/current").write_text(apparmor)
        (process / "fd/3").symlink_to(f"socket:[{INODE}]")
        if exe:
            (process / "exe").symlink_to(exe)
        if flatpak:
            (process / "root/.flatpak-info").write_text(flatpak)
        return process.parent

    return make


class TestCommand:
    @pytest.mark.parametrize(
        ("words", "name", "source"),
        [
            ("/usr/bin/llm", "llm", Source.EXECUTABLE),
            ("/usr/bin/python3.11 foo.py", "foo.py", Source.SCRIPT),
            ("/usr/bin/python3.11 -W error -I /opt/aider/bin/aider --model x", "aider", Source.SCRIPT),
            ("/usr/bin/python3 -P -m cortexd.cli usage", "cortexd.cli", Source.SCRIPT),
            ("/usr/bin/python3 -c print(1)", "python3", Source.EXECUTABLE),
            ("/usr/bin/python3", "python3", Source.EXECUTABLE),
            ("/usr/bin/node --require ./x.js /usr/bin/claude -p", "claude", Source.SCRIPT),
            ("/usr/bin/node /n/node_modules/@anthropic-ai/claude-code/dist/cli.js", "claude-code", Source.SCRIPT),
            ("/usr/bin/bun run chat.ts", "chat.ts", Source.SCRIPT),
            ("/usr/bin/java -cp x.jar -jar tool.jar", "tool.jar", Source.SCRIPT),
            ("/home/a/.local/share/claude/versions/2.1.197", "claude", Source.EXECUTABLE),
            ("/n/node_modules/@anthropic-ai/claude-code/bin/claude.exe -p", "claude", Source.EXECUTABLE),
            ("/bin/sh /etc/script", "script", Source.SCRIPT),
        ],
    )
    def test_is_called(self, words: str, name: str, source: Source) -> None:
        """By its executable, or where that is an interpreter by what it runs."""
        executable, *rest = words.split()
        assert program_of_command(executable, [executable, *rest]) == Program(name, source)

    def test_a_title_of_its_own_is_its_own_word(self) -> None:
        """Node lets a program write over its command line."""
        program = program_of_command("/usr/bin/node", ["claude"])
        assert program == Program("claude", Source.TITLE)
        assert program.labels == {"app": "claude"}

    def test_labels_are_one_short_line(self) -> None:
        """Whatever a file is called."""
        labels = Program("a\nb\udc80" + "c" * 500, Source.EXECUTABLE).labels
        assert labels["app_verified"] == "executable"
        assert (labels["app"][:4], len(labels["app"])) == ("a?b?", MAX_APP)


class TestProcess:
    @pytest.mark.parametrize(
        ("unit", "name", "source"),
        [
            ("app-gnome-org.gnome.Builder-811.scope", "org.gnome.Builder", Source.SYSTEMD),
            ("app-org.kde.kate-9f3a.scope", "org.kde.kate", Source.SYSTEMD),
            (r"app-gnome-visual\x2dstudio-811.scope", "visual-studio", Source.SYSTEMD),
            (r"app-org.example.Notes@6b1f.service", "org.example.Notes", Source.SYSTEMD),
            (r"app-gnome-org.example.Notes@autostart.service", "org.example.Notes", Source.SYSTEMD),
            ("app-org.example.Notes.service", "org.example.Notes", Source.SYSTEMD),
            ("app-flatpak-org.example.Notes-811.scope", "org.example.Notes", Source.FLATPAK),
            ("app-gnome-code-811.scope/inner", "code", Source.SYSTEMD),
            ("snap.aider.aider-8d2a.scope", "aider", Source.SNAP),
            ("snap.aider.daemon.service", "aider", Source.SNAP),
            ("vte-spawn-81d0.scope", "tool", Source.EXECUTABLE),
            ("run-u81.scope", "tool", Source.EXECUTABLE),
        ],
    )
    def test_of_a_unit(self, proc: Proc, unit: str, name: str, source: Source) -> None:
        """Apps' scopes and services tell their id; others say nothing of the program."""
        assert program_of(PID, proc(cgroup=USER_SLICE + unit)) == Program(name, source)

    def test_a_flatpak_says_it_best(self, proc: Proc) -> None:
        """Whatever its executable is called, and wherever it was started."""
        info = "[Application]\nname=org.example.Notes\nruntime=x/%y\n[Context]\nshared=network\n"
        where = proc(flatpak=info, cgroup=USER_SLICE + "app-gnome-code-1.scope", tty=34816)
        assert program_of(PID, where) == Program("org.example.Notes", Source.FLATPAK)

    def test_a_snaps_profile(self, proc: Proc) -> None:
        """The kernel has it from AppArmor."""
        where = proc(apparmor="snap.aider.aider (enforce)\n")
        assert program_of(PID, where) == Program("aider", Source.SNAP)

    def test_what_runs_in_a_terminal(self, proc: Proc) -> None:
        """Is not the terminal, nor the editor that has one."""
        where = proc(
            cgroup=USER_SLICE + "app-gnome-code-1.scope",
            tty=34816,
            exe="/usr/bin/node",
            words=("node", "/usr/bin/codex"),
        )
        assert program_of(PID, where) == Program("codex", Source.SCRIPT)

    def test_an_executable_that_was_replaced(self, proc: Proc) -> None:
        """An upgrade takes nothing from its name."""
        assert program_of(PID, proc(exe="/usr/bin/tool (deleted)")) == Program("tool", Source.EXECUTABLE)

    def test_an_executable_that_nobody_may_see(self, proc: Proc) -> None:
        """The name that the process gives itself, as such."""
        assert program_of(PID, proc(exe="", comm="agent")) == Program("agent", Source.TITLE)

    def test_a_pipe_in_its_root(self, proc: Proc) -> None:
        """Nobody waits for its writer."""
        where = proc()
        os.mkfifo(where / str(PID) / "root/.flatpak-info")
        assert program_of(PID, where) == Program("tool", Source.EXECUTABLE)

    @pytest.mark.parametrize("flatpak", ["[Application", "[Application]\nnot a line\n", "[Instance]\n"])
    def test_a_flatpak_file_that_is_none(self, proc: Proc, flatpak: str) -> None:
        """Then the next word counts."""
        assert program_of(PID, proc(flatpak=flatpak)) == Program("tool", Source.EXECUTABLE)

    def test_one_that_has_left(self, proc: Proc) -> None:
        """Has no name."""
        assert program_of(PID + 1, proc()) is None

    def test_the_holder_of_a_socket(self, proc: Proc) -> None:
        """Is found by its inode, among one user's own processes."""
        where = proc()
        assert holder_of(INODE, os.getuid(), where) == PID
        assert holder_of(INODE, os.getuid(), where, likely=(1, PID)) == PID
        assert holder_of(INODE, os.getuid() + 1, where) is None
        assert holder_of(INODE + 1, os.getuid(), where) is None
        assert holds(PID, INODE, where)


@asynccontextmanager
async def asking(script: Path, place: str | int, server: asyncio.Server) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A process that has connected, until it is done with."""
    process = subprocess.Popen([sys.executable, str(script), str(place)], stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
        server.close()


@pytest.fixture(name="script")
def script_fixture(tmp_path: Path) -> Path:
    script = tmp_path / "asks.py"
    script.write_text(_ASKS)
    return script


class TestConnections:
    async def _first(self, server_of: str, tmp_path: Path, script: Path) -> tuple[Program | None, Program | None]:
        """What is behind the first connection: while its process is there, and when that has left."""
        arrived: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()

        class Listening(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                assert isinstance(transport, asyncio.Transport)
                arrived.set_result(transport)

        loop = asyncio.get_running_loop()
        if server_of == "unix":
            place: str | int = str(tmp_path / "api.sock")
            server = await loop.create_unix_server(Listening, str(place))
        else:
            server = await loop.create_server(Listening, "127.0.0.1", 0)
            place = server.sockets[0].getsockname()[1]
        async with asking(script, place, server):
            transport = await arrived
            transport.pause_reading()
            programs = Programs()
            there = await programs.behind(transport)
            assert await programs.behind(transport) is there
        gone = await Programs().behind(transport)
        transport.close()
        return there, gone

    @pytest.mark.parametrize("server_of", ["unix", "tcp"])
    async def test_a_process_is_found(self, tmp_path: Path, script: Path, server_of: str) -> None:
        """By the socket's credentials, or by its inode; once it has left it is nobody."""
        there, gone = await self._first(server_of, tmp_path, script)
        assert there == Program("asks.py", Source.SCRIPT)
        assert gone is None

    async def test_the_one_that_it_is_for(self) -> None:
        """Whoever started both knows."""
        assert await Programs("llm").behind(None) == Program("llm", Source.STARTED)
        assert await Programs().behind(None) is None

    def test_ends_of_one_process(self) -> None:
        """Its own socket pair has its own pid behind it; a listener that is no connection has no end."""
        here, there = socket.socketpair()
        with here, there:
            assert of_process(here, lambda pid: pid) == os.getpid()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            assert end_behind(listener) is None

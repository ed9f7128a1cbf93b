"""How cortexd starts, refuses to start, stops and loses its bus; what a service manager and its log see of that."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cortexd import __version__
from simulated import Behaviour, ControlClient, Fault
from tests.bus.private_dbus import dbus_daemon
from tests.eventually import assert_eventually, assert_eventually_async
from tests.system.books import read_books
from tests.system.calls import ask
from tests.system.daemon import Daemon, name_owner
from tests.system.namespace import PYTHON, Service
from tests.system.people import Completed
from tests.system.program import NAME, Program, refused

MakeDaemon = Callable[..., Daemon]
AsUser = Callable[..., Completed]
CORTEXD = [PYTHON, "-m", "cortexd"]
STOPPED, BUS_LOST, WRONG_OPTIONS, BUS_UNAVAILABLE, LEDGER_UNUSABLE, LEDGER_LATER, CONFIG_WRONG = 0, 1, 2, 69, 74, 75, 78
SHORT_DRAIN = "[daemon]\ndrain_timeout_s = 1.0\n"


def config_file(directory: Path, name: str, text: str) -> Path:
    path = directory / name / "config.toml"
    path.parent.mkdir()
    path.write_text(text)
    return path


async def upstream(simulated: ControlClient, count: int = 1) -> None:
    await assert_eventually_async(lambda: simulated.counts("claude").requests >= count, 20, "the request upstream")


class TestOptions:
    def test_version(self, as_user: AsUser) -> None:
        """--version names the program and its version."""
        done = as_user("cortexd", [*CORTEXD, "--version"])
        assert (done.returncode, done.stdout) == (0, f"cortexd {__version__}\n")

    def test_help(self, as_user: AsUser) -> None:
        """--help documents every exit status."""
        done = as_user("cortexd", [*CORTEXD, "--help"])
        assert done.returncode == 0
        usual = (STOPPED, BUS_LOST, WRONG_OPTIONS, BUS_UNAVAILABLE, CONFIG_WRONG)
        for status in (*usual, LEDGER_UNUSABLE, LEDGER_LATER):
            assert f" {status} " in " ".join(done.stdout.partition("Exit status:")[2].split()).join("  ")

    @pytest.mark.parametrize("wrong", [["--colour"], ["--bus"], ["serve"]])
    def test_wrong_option(self, as_user: AsUser, wrong: list[str]) -> None:
        """A wrong option is status 2, with the usage."""
        done = as_user("cortexd", [*CORTEXD, *wrong])
        assert done.returncode == WRONG_OPTIONS
        assert "usage: cortexd" in done.stderr

    def test_check_config(self, as_user: AsUser, namespace: Path) -> None:
        """A right configuration is read, each file and provider listed, no key shown, nothing touched."""
        ledger = namespace / "checked" / "ledger.sqlite3"
        path = config_file(namespace, "good", f'[ledger]\npath = "{ledger}"\n')
        environment = {"ANTHROPIC_API_KEY": "sk-sim-not-to-be-shown"}
        done = as_user("cortexd", [*CORTEXD, "--check-config", "--config", str(path)], environment=environment)
        assert done.returncode == 0, done.stderr
        assert f"{path}: OK\n" in done.stdout
        assert "claude: configured\n" in done.stdout
        assert "kimi_k2: no key. Run cortexctl credentials set kimi_k2" in done.stdout
        assert "MOONSHOT_API_KEY" in done.stdout
        assert "not-to-be-shown" not in done.stdout + done.stderr
        assert not ledger.parent.exists()

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("[limits]\nmax_prompt_byte = 1\n", "limits.max_prompt_byte: unknown setting; did you mean"),
            ("[limits]\nmax_prompt_bytes = 'many'\n", "limits.max_prompt_bytes: expected"),
            ("[limits]\nmax_prompt_bytes = -1\n", "limits.max_prompt_bytes: expected"),
            ("[daemon]\ndrain_timeout_s = nan\n", "daemon.drain_timeout_s: expected"),
            ("[providers.claude]\nkey = 'sk-1'\n", "providers.claude.key: keys do not belong in the configuration"),
            ("[providers.claude]\nkey_file = '/no/such/key'\n", "/no/such/key: the file cannot be read"),
            ("[routing.table]\nuser_chat = 'claud'\n", "routing.table.user_chat: unknown provider 'claud'"),
            ("[routing.table]\nchat = 'claude'\n", "routing.table.chat: expected task types"),
            ("limits = 1\n", "limits: expected a table"),
            ("[limits\n", "is not valid TOML"),
        ],
    )
    def test_check_wrong_config(self, as_user: AsUser, namespace: Path, text: str, named: str) -> None:
        """A wrong one is status 78, with the file, the key and what was expected; never what a key holds."""
        path = config_file(namespace, f"bad-{abs(hash(text))}", text)
        done = as_user("cortexd", [*CORTEXD, "--check-config", "--config", str(path)])
        assert done.returncode == CONFIG_WRONG
        assert named in done.stderr
        assert f"{path}: " in done.stderr or named.startswith("/no/such/key")
        assert "sk-1" not in done.stderr
        assert "Traceback" not in done.stderr

    def test_no_such_file(self, as_user: AsUser) -> None:
        """A file that is not there is named."""
        done = as_user("cortexd", [*CORTEXD, "--config", "/no/such/config.toml"])
        assert done.returncode == CONFIG_WRONG
        assert "/no/such/config.toml: there is no such file" in done.stderr


class TestStart:
    async def test_without_any_key(self, daemon: MakeDaemon) -> None:
        """It serves, says what each provider lacks, and refuses requests with ProviderNotConfigured."""
        daemon(keys={})
        async with await Program.open() as program:
            assert "claude" in await program.property("Providers")
            providers = (await program.providers()).values()
            assert {row["state"] for row in providers} == {"unconfigured"}
            assert all("no key. Run cortexctl credentials set" in row["hint"] for row in providers)
            with refused("ProviderNotConfigured") as text:
                await program.complete("user_chat", "hello")
            assert "ANTHROPIC_API_KEY" in text[0]

    @pytest.mark.parametrize("bus", ["unix:path=/no/such/socket", "nonsense", "tcp:host=127.0.0.1,port=1", "session"])
    def test_no_bus(self, as_user: AsUser, namespace: Path, bus: str) -> None:
        """Where there is no bus, it leaves with status 69 and says where it looked."""
        path = config_file(namespace, f"no-bus-{abs(hash(bus))}", "")
        os.chown(path.parent, pwd.getpwnam("cortexd").pw_uid, -1)
        path.write_text(f'[ledger]\npath = "{path.parent}/state/ledger.sqlite3"\n')
        done = as_user("cortexd", [*CORTEXD, "--config", str(path), "--bus", bus])
        assert done.returncode == BUS_UNAVAILABLE, done.stderr
        assert ("no session bus" if bus == "session" else bus) in done.stderr
        assert "Traceback" not in done.stderr

    def test_name_taken(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """A second daemon with a ledger of its own leaves with status 69; the first goes on, undisturbed."""
        first = daemon()
        second = daemon(start=False)
        second.start(wait=False)
        assert second.await_end() == BUS_UNAVAILABLE
        assert "org.cortexlinux.LLMRouter belongs to another connection" in second.log()
        assert name_owner() == first.pid
        assert as_user("alice", ask("user_chat")).returncode == 0

    def test_makes_the_ledgers_place(self, daemon: MakeDaemon) -> None:
        """A directory that is missing is made for the daemon alone, and so is the file."""
        running = daemon(start=False)
        place = running.directory / "state" / "deep" / "er"
        running.configure(f'[ledger]\npath = "{place}/ledger.sqlite3"\n')
        running.start()
        assert place.stat().st_mode & 0o777 == 0o700
        assert (place / "ledger.sqlite3").stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("kind", ["unreachable", "file", "open", "foreign", "directory", "link", "damaged"])
    def test_unusable_ledger(self, daemon: MakeDaemon, kind: str) -> None:
        """Where the ledger cannot be kept safely nothing is served: status 74, with the path and the reason."""
        running = daemon(start=False)
        path, reason = unusable(running.directory, kind)
        running.configure(f'[ledger]\npath = "{path}"\n')
        running.start(wait=False)
        assert running.await_end() == LEDGER_UNUSABLE, running.log()
        assert str(path.parent) in running.log() or str(path) in running.log()
        assert reason in running.log()
        assert name_owner() is None

    def test_ledger_in_use(self, daemon: MakeDaemon) -> None:
        """What may pass without a person, as a lock that a tool holds, is status 75: systemd tries again."""
        running = daemon()
        assert running.stop() == STOPPED
        with closing(sqlite3.connect(running.ledger_file)) as tool:
            tool.execute("BEGIN EXCLUSIVE")
            running.start(wait=False)
            assert running.await_end() == LEDGER_LATER, running.log()
        running.start()
        assert name_owner() == running.pid

    def test_lost_ledger(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """Where there was a ledger none is begun anew, status 74 with what to do, until an administrator wants it."""
        running = daemon()
        assert running.stop() == STOPPED
        running.ledger_file.unlink()
        for _ in range(2):
            running.start(wait=False)
            assert running.await_end() == LEDGER_UNUSABLE, running.log()
            assert not running.ledger_file.exists()
        assert "ledger begin-anew" in running.log()
        told = as_user(
            "root", [PYTHON, "-m", "cortexd.cli", "ledger", "begin-anew", "--path", str(running.ledger_file)]
        )
        assert told.returncode == 0, told.stderr
        running.start()
        assert name_owner() == running.pid

    def test_told_to_stop_while_it_starts(self, daemon: MakeDaemon, bus: Service) -> None:
        """SIGTERM before it serves ends it as cleanly as after."""
        running = daemon(start=False)
        start_behind_a_paused_bus(running, bus)
        running.signal(signal.SIGTERM)
        bus.resume()
        assert running.await_end() == STOPPED
        assert name_owner() is None


def start_behind_a_paused_bus(daemon: Daemon, bus: Service) -> None:
    """Returns with the ledger locked and the bus not reached yet."""
    bus.pause()
    daemon.start(wait=False)
    lock = daemon.ledger_file.with_name(daemon.ledger_file.name + ".lock")
    assert_eventually(lambda: lock.exists() and lock.read_text() == f"{daemon.pid}\n", 20, "the ledger locked")


def unusable(directory: Path, kind: str) -> tuple[Path, str]:
    """A ledger path that cannot be used, and a word of the reason."""
    place = directory / "state" / kind
    owner = pwd.getpwnam("cortexd").pw_uid
    path = place / "ledger.sqlite3"
    if kind == "file":
        place.write_text("not a directory")
        return path, "is not a directory"
    place.mkdir(mode=0o700)
    if kind == "unreachable":
        return place / "below" / "ledger.sqlite3", "Permission denied"
    if kind == "foreign":
        os.chown(place, pwd.getpwnam("alice").pw_uid, -1)
        place.chmod(0o755)
        return path, "belongs to uid"
    os.chown(place, owner, -1)
    if kind == "open":
        place.chmod(0o777)
        return path, "other users may write"
    if kind == "directory":
        path.mkdir()
        return path, "Is a directory"
    if kind == "link":
        path.symlink_to("/etc/passwd")
        return path, "symbolic links"
    path.write_bytes(b"this is no database, whatever its name may say\n" * 100)
    os.chown(path, owner, -1)
    return path, "the file is not a SQLite database"


class TestStop:
    @pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
    async def test_lets_requests_finish(
        self, daemon: MakeDaemon, simulated: ControlClient, number: signal.Signals
    ) -> None:
        """A request under way is answered; a new one gets ShuttingDown; then the name is free and the status 0."""
        running = daemon()
        simulated.behave("claude", Behaviour(delay_s=2))
        async with await Program.open() as program:
            under_way = asyncio.create_task(program.complete("user_chat", "before", request_id="before"))
            await upstream(simulated)
            running.signal(number)
            await assert_eventually_async(lambda: "stopping; 1 requests under way" in running.log())
            with refused("ShuttingDown"):
                await program.complete("user_chat", "after")
            assert (await under_way).content.endswith("before")
        assert running.await_end() == STOPPED
        assert name_owner() is None
        assert read_books(running.ledger_file).states == ["done"]

    async def test_in_bounded_time(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """A provider that hangs does not hold it up: ShuttingDown, what it may have made is booked, nobody works on."""
        running = daemon(SHORT_DRAIN)
        simulated.behave("claude", Behaviour(fault=Fault.HANG))
        async with await Program.open() as program:
            callers = [
                asyncio.create_task(program.complete("user_chat", "hangs", **options))
                for options in ({}, {"request_id": "chosen"})
            ]
            await upstream(simulated, 2)
            assert running.stop(8) == STOPPED
            for caller in callers:
                with refused("ShuttingDown"):
                    await caller
        books = read_books(running.ledger_file)
        assert books.states == ["cancelled"] * 2
        books.assert_balanced()
        assert all(0 < row["cost_nano"] <= row["reserved"] and not row["cost_known"] for row in books.rows)
        assert_eventually(lambda: simulated.counts("claude").client_aborts == 2, message="the connections closed")
        running.start()
        assert "settled as lost" not in running.log()

    async def test_while_polkit_is_asked(self, daemon: MakeDaemon, simulated: ControlClient, polkitd: Service) -> None:
        """A request that was not yet allowed when it was told to stop is refused, and reaches no provider."""
        running = daemon()
        polkitd.pause()
        async with await Program.open() as program:
            waiting = asyncio.create_task(program.complete("user_chat", "too late", request_id="too-late"))
            await program.stats()  # so it has been taken in
            running.signal(signal.SIGTERM)
            await assert_eventually_async(lambda: "stopping;" in running.log())
            polkitd.resume()
            with refused("ShuttingDown"):
                await waiting
        assert running.await_end() == STOPPED
        assert simulated.counts("claude").requests == 0
        assert read_books(running.ledger_file).states == []

    @pytest.mark.slow
    async def test_told_twice(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """A second SIGTERM, and a SIGHUP, while it drains change nothing."""
        running = daemon()
        simulated.behave("claude", Behaviour(delay_s=1))
        async with await Program.open() as program:
            under_way = asyncio.create_task(program.complete("user_chat", "hello"))
            await upstream(simulated)
            for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
                running.signal(number)
            assert (await under_way).metadata["cost_known"] is True
        assert running.await_end() == STOPPED


class TestLosesTheBus:
    async def test_with_requests_under_way(
        self, daemon: MakeDaemon, simulated: ControlClient, bus: Service, polkit_of_session: Service
    ) -> None:
        """It leaves with status 1 at once, whatever was going on, and leaves no request open in the ledger."""
        running = daemon()
        simulated.behave("claude", Behaviour(delay_s=60))
        async with await Program.open() as program:
            callers = [
                asyncio.create_task(program.complete("user_chat", "hello", request_id=f"lost-{n}")) for n in range(5)
            ]
            await upstream(simulated, 5)
            polkit_of_session.pause()
            async with await Program.open() as another:
                unauthorised = asyncio.create_task(another.complete("user_chat", "waits for polkit"))
                await another.stats()
                bus.kill()
                polkit_of_session.kill()  # paused, it would not notice; the fixture starts both again
                assert running.await_end(5) == BUS_LOST
                outcomes = await asyncio.gather(*callers, unauthorised, return_exceptions=True)
        assert all(isinstance(outcome, Exception) for outcome in outcomes)
        assert "<2>cortexd.daemon: the bus connection ended" in running.log()
        assert read_books(running.ledger_file).states == ["cancelled"] * 5
        read_books(running.ledger_file).assert_balanced()
        assert simulated.counts("claude").requests == 5


class TestPrivateBus:
    async def test_serves_its_own_user_alone(
        self, daemon: MakeDaemon, namespace: Path, background: Callable[..., object], as_user: AsUser
    ) -> None:
        """On a bus that is not the system bus whoever runs the daemon may do everything, all others nothing."""
        directory = namespace / "private"
        directory.mkdir()
        os.chown(directory, pwd.getpwnam("cortexd").pw_uid, -1)
        argv, socket = dbus_daemon(directory, {})
        background("cortexd", argv)
        assert_eventually(socket.exists, message="the private bus")
        address = f"unix:path={socket}"
        made = daemon(start=False)
        argv = [*CORTEXD, "--bus", address, "--config", str(made.config_file)]
        background("cortexd", argv, {"CREDENTIALS_DIRECTORY": str(made.directory / "credentials")})
        wait = ["gdbus", "wait", "--address", address, "--timeout=20", NAME]
        assert as_user("cortexd", wait).returncode == 0

        own = as_user("cortexd", [PYTHON, "-c", ON_PRIVATE_BUS, address])
        assert "system_operation: [kimi-k2.6] You said: hello" in own.stdout, own.stderr
        assert own.stdout.count("answered") == 4
        for user in ("alice", "root"):
            other = as_user(user, [PYTHON, "-c", ON_PRIVATE_BUS, address])
            assert other.stdout.count("org.freedesktop.DBus.Error.AccessDenied: on this bus only user") == 5, other
            assert "answered" not in other.stdout


ON_PRIVATE_BUS = """
import asyncio, sys
from cortexd.connection import BusError
from tests.system.program import NAME, Program

async def attempt(say, call):
    try:
        answer = await call
        print(say, *answer if isinstance(answer, list) else "")
    except BusError as error:
        print(error)

async def main():
    async with await Program.open(sys.argv[1]) as program:
        await attempt("system_operation:", program.call(NAME, "Ask", "ss", "system_operation", "hello"))
        await attempt("answered", program.route("user_chat", "hello"))
        await attempt("answered", program.stats())
        await attempt("answered", program.subscribe())
        await attempt("answered", program.providers())

asyncio.run(main())
"""

"""SIGHUP under traffic, and what a service manager hears: new settings for new requests, nothing lost of the old."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from simulated import Behaviour, ControlClient
from tests.eventually import assert_eventually, assert_eventually_async
from tests.system.calls import ask, without_asking
from tests.system.daemon import RELOADED, Daemon, name_owner
from tests.system.footprint import own_files
from tests.system.namespace import Service
from tests.system.people import Completed
from tests.system.program import Program, refused
from tests.system.shared import Shared, sharing
from tests.system.test_lifecycle import CONFIG_WRONG, start_behind_a_paused_bus

MakeDaemon = Callable[..., Daemon]
AsUser = Callable[..., Completed]
EXTRA = 'api = "openai"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "none"\n'
TO_KIMI = '[routing.table]\nuser_chat = "kimi_k2"\n'


@pytest.fixture(scope="class")
def shared_of_class(namespace: Path, simulated_of_session: ControlClient) -> Iterator[Shared]:
    with sharing(namespace / "reloaded", simulated_of_session, warm=True) as shared:
        yield shared


@pytest.fixture
def shared(shared_of_class: Shared) -> Shared:
    """One daemon for the tests that need no other, with its first settings."""
    shared_of_class.recover()
    shared_of_class.reload("")
    return shared_of_class


def key_file(directory: Path, key: str) -> Path:
    path = directory / "claude.key"
    path.write_text(key)
    path.chmod(0o600)
    os.chown(path, pwd.getpwnam("cortexd").pw_uid, -1)
    return path


def keys_used(simulated: ControlClient) -> list[str]:
    headers = [received.headers for received in simulated.received("claude")]
    return [found.get("x-api-key", found.get("authorization", "")).removeprefix("Bearer ") for found in headers]


class TestReload:
    async def test_another_endpoint(self, shared: Shared, simulated: ControlClient) -> None:
        """Requests under way end where they began, new ones go to the new address."""
        simulated.reset("moved")
        simulated.behave("claude", Behaviour(delay_s=2))
        async with await Program.open() as program:
            under_way = [asyncio.create_task(program.complete("user_chat", f"old {number}")) for number in range(5)]
            await assert_eventually_async(lambda: simulated.counts("claude").requests == 5, 20, "requests upstream")
            shared.reload(f'[providers.claude]\nbase_url = "{simulated.url("moved", "anthropic")}"\n')
            assert (await program.complete("user_chat", "new")).content.endswith("new")
            assert not any(task.done() for task in under_way)
            answers = [(await task).content for task in under_way]
        assert [text.rpartition(": ")[2] for text in answers] == [f"old {number}" for number in range(5)]
        assert (simulated.counts("claude").requests, simulated.counts("moved").requests) == (5, 1)
        assert_eventually(lambda: simulated.counts("claude").open_connections == 0, message="the old client closed")

    async def test_another_route(self, shared: Shared, simulated: ControlClient) -> None:
        """A changed row of the routing table counts from the next request on."""
        async with await Program.open() as program:
            assert await answering(program) == "claude"
            shared.reload(TO_KIMI)
            assert await answering(program) == "kimi_k2"

    def test_another_privilege(self, shared: Shared, as_user: AsUser) -> None:
        """A task type made privileged is refused at once, also to who was allowed it before."""
        assert as_user("alice", without_asking("configuration")).returncode == 0
        shared.reload('[authorization]\nprivileged_task_types = ["configuration"]\n')
        assert "system-operation needs" in as_user("alice", without_asking("configuration")).stderr

    async def test_a_provider_that_goes(self, shared: Shared, simulated: ControlClient) -> None:
        """A request that waits for the ledger while its provider leaves the configuration is still answered by it."""
        simulated.reset("office")
        simulated.behave("office", Behaviour(keys=("none",)))  # what is sent to an endpoint that needs no key
        office = f'api = "openai"\nbase_url = "{simulated.url("office")}"\nmodel = "local-model"\nlocal = true\n'
        shared.reload(f"[providers.office]\n{office}")
        async with await Program.open() as program:
            with writing(shared.daemon.ledger_file):
                waiting = asyncio.create_task(program.complete("user_chat", "hello", provider="office"))
                await await_property(program, "ActiveRequests", 1)
                shared.reload("")
            assert (await waiting).metadata["provider"] == "office"
            assert "office" not in await program.property("Providers")
            with refused("UnknownProvider"):
                await program.complete("user_chat", "hello", provider="office")
        assert shared.books().states[-1] == "done"

    async def test_again_and_again_under_traffic(self, shared: Shared, simulated: ControlClient) -> None:
        """Thirty reloads with other settings each drop no request and leave no connection or file open."""
        pid = shared.daemon.pid
        async with await Program.open() as program:
            await program.complete("user_chat", "hello")
            before = own_files(pid)
            traffic = asyncio.create_task(keep_asking(program))
            for number in range(30):
                await asyncio.to_thread(shared.reload, f"[providers.claude]\nmax_connections = {number + 10}\n")
            traffic.cancel()
            assert await traffic > 30
            assert_eventually(lambda: own_files(pid) <= before + 6, message="files closed again")
            assert_eventually(lambda: simulated.counts("claude").open_connections <= 8, message="old clients closed")

    async def test_another_ledger(self, shared: Shared) -> None:
        """The ledger stays where it is until a restart, and the log says so."""
        before, other = shared.books().states, shared.daemon.directory / "state" / "other.sqlite3"
        shared.reload(f'[ledger]\npath = "{other}"\n')
        assert "<4>cortexd.daemon: changes of [ledger] take effect at the next start" in shared.daemon.log()
        async with await Program.open() as program:
            await program.complete("user_chat", "hello")
        assert shared.books().states == [*before, "done"]
        assert not other.exists()


class TestReloadAlone:
    async def test_a_new_key(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """A key file's new content is used from the next request on; a provider that had none is told of."""
        running = daemon(keys={})
        async with await Program.open() as program:
            await program.hear_broadcasts()
            for key in ("sk-sim-first", "sk-sim-second"):
                running.reconfigure(f'[providers.claude]\nkey_file = "{key_file(running.directory, key)}"\n')
                await program.complete("user_chat", "hello")
            assert [body[:2] for body in program.heard("ProviderStateChanged")] == [["claude", "ok"]]
        assert keys_used(simulated) == ["sk-sim-first", "sk-sim-second"]
        assert "sk-sim-" not in running.log()

    async def test_a_provider_that_comes_and_goes(self, daemon: MakeDaemon) -> None:
        """Whoever shows them hears of both."""
        running = daemon()
        office = '[providers.office]\napi = "openai"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m"\nlocal = true\n'
        async with await Program.open() as program:
            await program.hear_broadcasts()
            for config in (office, ""):
                running.reconfigure(config)
            told = await program.await_heard("ProviderStateChanged", 2)
        assert told == [["office", "ok", {}], ["office", "unconfigured", {}]]

    def test_days_that_are_kept(self, daemon: MakeDaemon) -> None:
        """Another keep_days holds at once, and so needs no word on a restart."""
        running = daemon()
        running.reconfigure("[ledger]\nkeep_days = 30\n")
        assert "take effect at the next start" not in running.log()

    @pytest.mark.parametrize(
        ("broken", "named"),
        [
            ("[limits]\nmax_tolls = 1\n", "50-test.toml: limits.max_tolls: unknown setting"),
            ("[limits\n", "50-test.toml: is not valid TOML"),
            ('[providers.claude]\nkey_file = "/no/such/key"\n[providers.kimi_k2]\nenabled = false\n', "/no/such/key"),
        ],
    )
    async def test_a_broken_configuration(self, daemon: MakeDaemon, broken: str, named: str) -> None:
        """The old one stays as a whole, an error in the log says why, and mending it helps."""
        running = daemon(TO_KIMI, keys={"kimi_k2": "sk-sim-kimi-of-the-tests"})
        async with await Program.open() as program:
            running.reconfigure(broken, outcome="the configuration stays as it was")
            [line] = [line for line in running.log().splitlines() if "stays as it was" in line]
            assert line.startswith("<3>cortexd.daemon: ")
            assert named in line
            assert await answering(program) == "kimi_k2"
            running.reconfigure('[routing.table]\nuser_chat = "deepseek"\n')
            assert await answering(program) == "kimi_k2", "deepseek has no key"

    async def test_while_it_starts(self, daemon: MakeDaemon, bus: Service) -> None:
        """SIGHUP before it serves is not lost: the settings of that moment are taken as soon as it does."""
        running = daemon(start=False)
        start_behind_a_paused_bus(running, bus)
        running.configure(TO_KIMI)
        running.reload()
        bus.resume()
        assert_eventually(lambda: RELOADED in running.log(), message=RELOADED)
        assert name_owner() == running.pid
        async with await Program.open() as program:
            assert await answering(program) == "kimi_k2"


async def answering(program: Program) -> str:
    """The provider that answers a chat."""
    return str((await program.complete("user_chat", "hello")).metadata["provider"])


async def keep_asking(program: Program) -> int:
    """How many were answered, eight at a time, until cancelled."""
    answered = 0
    while True:
        try:
            answers = asyncio.gather(*(program.complete("user_chat", f"under reload {number}") for number in range(8)))
            answered += len(await asyncio.shield(answers))
        except asyncio.CancelledError:
            return answered + len(await answers)


async def await_property(program: Program, name: str, value: object) -> None:
    async with asyncio.timeout(20):
        while await program.property(name) != value:
            await asyncio.sleep(0.01)


@contextmanager
def writing(ledger_file: Path) -> Iterator[None]:
    """Holds the file's write lock, as a backup or a curious administrator may."""
    with closing(sqlite3.connect(ledger_file, isolation_level=None, timeout=10)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, namespace: Path) -> Iterator[tuple[str, socket.socket]]:
    """A service manager's socket: its address, and the socket to read from."""
    path = namespace / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        if request.param == "path":
            path.unlink(missing_ok=True)
            sock.bind(str(path))
            path.chmod(0o666)
            yield str(path), sock
        else:
            sock.bind("\0cortexd-tests-notify")
            yield "@cortexd-tests-notify", sock


class TestServiceManager:
    def test_hears_of_each_state(self, daemon: MakeDaemon, manager: tuple[str, socket.socket]) -> None:
        """READY once it serves, RELOADING with its moment and READY around a reload, STOPPING before it leaves."""
        address, sock = manager
        running = daemon(environment={"NOTIFY_SOCKET": address}, start=False)
        running.start(wait=False)
        assert sock.recv(4096) == b"READY=1\nSTATUS=serving org.cortexlinux.LLMRouter"
        assert name_owner() == running.pid
        for config in (TO_KIMI, "[broken\n"):
            began = time.monotonic_ns()
            running.configure(config)
            running.reload()
            found = re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=(\d+)", sock.recv(4096))
            assert found is not None
            assert began <= int(found[1]) * 1000 + 999
            assert int(found[1]) * 1000 <= time.monotonic_ns()
            assert sock.recv(4096) == b"READY=1"
        running.signal(signal.SIGTERM)
        assert sock.recv(4096) == b"STOPPING=1"
        assert running.await_end() == 0

    def test_is_not_needed(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """A socket that nobody reads from changes nothing."""
        daemon(environment={"NOTIFY_SOCKET": "/no/such/socket"})
        assert as_user("alice", ask("user_chat")).returncode == 0


class TestLog:
    def test_each_line_has_its_priority(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """journald can tell information, warnings and errors apart; a prompt or an answer is never among them."""
        running = daemon('[daemon]\nlog_level = "debug"\n')
        as_user("alice", ask("user_chat", "a very private question"))
        as_user("bob", without_asking("user_chat"))
        running.restart()
        lines = running.log().splitlines()
        assert lines
        assert all(re.match(r"<[2-7]>[a-z_.]+: \S", line) for line in lines), lines
        assert any(line.startswith("<6>cortexd.daemon: serving org.cortexlinux.LLMRouter") for line in lines)
        assert "private question" not in running.log()

    async def test_level_follows_a_reload(self, daemon: MakeDaemon) -> None:
        """With log_level = "error" information is no longer logged; a broken configuration still is."""
        running = daemon()
        running.configure(f'[daemon]\nlog_level = "error"\n[providers.extra]\n{EXTRA}')
        running.reload()
        async with await Program.open() as program, asyncio.timeout(20):
            while "extra" not in await program.property("Providers"):
                await asyncio.sleep(0.01)
        running.reconfigure("[broken\n", outcome="stays as it was")
        assert running.stop() == 0
        assert "stopping;" not in running.log()

    def test_why_it_does_not_start(self, daemon: MakeDaemon) -> None:
        """The reason for not starting is logged as critical, in one line that names file and key."""
        running = daemon("[daemon]\ndrain_timeout = 1\n", start=False)
        running.start(wait=False)
        assert running.await_end() == CONFIG_WRONG
        [line] = running.log().splitlines()
        assert line.startswith("<2>cortexd: ")
        assert "50-test.toml: daemon.drain_timeout: unknown setting; did you mean 'drain_timeout_s'?" in line

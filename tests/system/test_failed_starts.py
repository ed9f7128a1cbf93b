"""Whatever keeps cortexd from owning its name ends it with a status other than 0.

A bus that starts services takes status 0 for a start that is under way, and lets the callers wait for its 25 seconds.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from dbus_next import Message, MessageType
from dbus_next.constants import RequestNameReply

from tests.bus.raw_peer import RawPeer, bus_answer, scripted_bus
from tests.system.daemon import Daemon, name_owner
from tests.system.namespace import CHECKOUT, PYTHON, Service
from tests.system.people import Completed
from tests.system.test_lifecycle import (
    BUS_UNAVAILABLE,
    CONFIG_WRONG,
    LEDGER_UNUSABLE,
    WRONG_OPTIONS,
    start_behind_a_paused_bus,
    unusable,
)

MakeDaemon = Callable[..., Daemon]
AsUser = Callable[..., Completed]
BADLY_INSTALLED = 70
FATAL = "<2>"  # the level of what ends the daemon, as journald reads it
INTERFACE_FILE = "dbus/org.cortexlinux.LLMRouter.xml"


@dataclass(frozen=True, slots=True)
class Start:
    """One start of cortexd: its options, its user, and where its code is."""

    place: Path
    config: str = ""
    options: tuple[str, ...] = ()
    user: str = "cortexd"
    code: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, as_user: AsUser) -> Completed:
        """Its end."""
        path = self.place / "config.toml"
        path.write_text(self.config or f'[ledger]\npath = "{self.place}/state/ledger.sqlite3"\n')
        os.chown(self.place, pwd.getpwnam(self.user).pw_uid, -1)
        environment = {**self.environment, **({"PYTHONPATH": str(self.code)} if self.code else {})}
        argv = [str(CHECKOUT / PYTHON), "-P", "-m", "cortexd", "--config", str(path), *self.options]
        return as_user(self.user, argv, environment={"PYTHONPATH": str(CHECKOUT), **environment})


@pytest.fixture
def place(namespace: Path, request: pytest.FixtureRequest) -> Path:
    directory = namespace / f"start-{abs(hash(request.node.name))}"
    directory.mkdir()
    return directory


def elsewhere(place: Path) -> Path:
    """A copy of the code with its interface file, to be damaged."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "cortexd", place / "code/cortexd", symlinks=True, ignore=ignored)
    (place / "code/dbus").mkdir()
    shutil.copy(CHECKOUT / INTERFACE_FILE, place / "code" / INTERFACE_FILE)
    return place / "code"


def edited(place: Path, old: str, new: str) -> Path:
    file = elsewhere(place) / INTERFACE_FILE
    file.write_text(file.read_text().replace(old, new))
    return place / "code"


def exposed_key(place: Path) -> str:
    (place / "key").write_text("sk-sim-exposed")
    (place / "key").chmod(0o644)
    return f'[providers.claude]\nkey_file = "{place}/key"\n'


def bad_credential(place: Path) -> dict[str, str]:
    (place / "credentials").mkdir()
    (place / "credentials/keys_claude").write_text("two\nlines")
    return {"CREDENTIALS_DIRECTORY": str(place / "credentials")}


STARTS: dict[str, tuple[Callable[[Path], Start], int]] = {
    "unknown option": (lambda place: Start(place, options=("--colour",)), WRONG_OPTIONS),
    "no configuration": (lambda place: Start(place, options=("--config", "/no/such.toml")), CONFIG_WRONG),
    "broken configuration": (lambda place: Start(place, "[limits\n"), CONFIG_WRONG),
    "wrong setting": (lambda place: Start(place, "[limits]\nmax_prompt_bytes = 0\n"), CONFIG_WRONG),
    "key for everybody": (lambda place: Start(place, exposed_key(place)), CONFIG_WRONG),
    "key of two lines": (lambda place: Start(place, environment=bad_credential(place)), CONFIG_WRONG),
    "no bus": (lambda place: Start(place, options=("--bus", "unix:path=/no/such/socket")), BUS_UNAVAILABLE),
    "no address": (lambda place: Start(place, options=("--bus", "nonsense")), BUS_UNAVAILABLE),
    "no session": (lambda place: Start(place, options=("--bus", "session")), BUS_UNAVAILABLE),
    "name forbidden": (lambda place: Start(place, user="alice"), BUS_UNAVAILABLE),
    "no interface file": (lambda place: Start(place, code=edited(place, "<node", "<nod")), BADLY_INSTALLED),
    "method without action": (
        lambda place: Start(place, code=edited(place, 'Action" value="none"', 'Act" value="none"')),
        BADLY_INSTALLED,
    ),
    "method without handler": (lambda place: Start(place, code=edited(place, '"Cancel"', '"Abort"')), BADLY_INSTALLED),
}


class TestStart:
    @pytest.mark.parametrize("case", STARTS)
    def test_ends_with_its_status(self, as_user: AsUser, place: Path, case: str) -> None:
        """Each cause has its status, a line that says what it is, and no traceback."""
        make, status = STARTS[case]
        done = make(place).run(as_user)
        assert done.returncode == status, done.stderr
        assert done.stderr.startswith("usage: " if status == WRONG_OPTIONS else FATAL)
        assert "Traceback" not in done.stderr
        assert name_owner() is None

    @pytest.mark.parametrize("kind", ["unreachable", "file", "open", "foreign", "directory", "link", "damaged"])
    def test_ledger_refused(self, as_user: AsUser, place: Path, kind: str) -> None:
        """So it is with a ledger that cannot be kept."""
        (place / "state").mkdir()
        path, _ = unusable(place, kind)
        done = Start(place, f'[ledger]\npath = "{path}"\n').run(as_user)
        assert done.returncode == LEDGER_UNUSABLE, done.stderr
        assert name_owner() is None

    def test_ledger_held(self, daemon: MakeDaemon, as_user: AsUser, place: Path) -> None:
        """And with one that another daemon holds, which goes on."""
        first = daemon()
        done = Start(place, f'[ledger]\npath = "{first.ledger_file}"\n').run(as_user)
        assert done.returncode == LEDGER_UNUSABLE, done.stderr
        assert name_owner() == first.pid

    def test_name_taken(self, daemon: MakeDaemon, as_user: AsUser, place: Path) -> None:
        """And where the name has its owner."""
        first = daemon()
        assert Start(place).run(as_user).returncode == BUS_UNAVAILABLE
        assert name_owner() == first.pid

    def test_without_polkit(self, daemon: MakeDaemon, polkitd: Service) -> None:
        """Without polkitd it starts all the same, and serves root."""
        polkitd.kill()
        started = daemon()
        assert name_owner() == started.pid

    def test_bus_gone_meanwhile(self, daemon: MakeDaemon, bus: Service) -> None:
        """A bus that ends while it starts."""
        starting = daemon(start=False)
        start_behind_a_paused_bus(starting, bus)
        bus.kill()
        assert starting.await_end() == BUS_UNAVAILABLE, starting.log()

    def test_told_to_stop_before(self, daemon: MakeDaemon, bus: Service) -> None:
        """SIGTERM while there is no bus yet, and then none comes: it failed, whatever it was told."""
        starting = daemon(start=False)
        start_behind_a_paused_bus(starting, bus)
        starting.signal(signal.SIGTERM)
        bus.kill()
        assert starting.await_end() == BUS_UNAVAILABLE, starting.log()


Script = Callable[[RawPeer, Message], Awaitable[None]]


async def hang_up(_peer: RawPeer, _hello: Message) -> None:
    """At Hello."""


async def say_nothing(_peer: RawPeer, _hello: Message) -> None:
    await asyncio.Event().wait()


async def talk_nonsense(peer: RawPeer, _hello: Message) -> None:
    await peer.send_bytes(b"l\x02\x00\x01" + b"\xff" * 60)


async def refuse_hello(peer: RawPeer, hello: Message) -> None:
    await peer.send(Message.new_error(hello, "org.freedesktop.DBus.Error.LimitsExceeded", "too many"))
    await say_nothing(peer, hello)


def until_the_name(at_the_name: Script) -> Script:
    """A bus that answers all up to RequestName."""

    async def script(peer: RawPeer, hello: Message) -> None:
        await peer.send_bytes(bus_answer(peer, hello, "s", ":1.1"))
        while (call := await peer.receive(MessageType.METHOD_CALL)).member != "RequestName":
            names = call.member == "ListActivatableNames"
            await peer.send_bytes(bus_answer(peer, call, "as", []) if names else bus_answer(peer, call))
        await at_the_name(peer, call)

    return script


def with_answer(reply: RequestNameReply) -> Script:
    async def script(peer: RawPeer, call: Message) -> None:
        while True:
            if call.member == "RequestName":
                await peer.send_bytes(bus_answer(peer, call, "u", reply.value))
            else:
                await peer.send(Message.new_error(call, "org.freedesktop.DBus.Error.NameHasNoOwner", "nobody"))
            call = await peer.receive(MessageType.METHOD_CALL)

    return until_the_name(script)


async def refuse(peer: RawPeer, call: Message) -> None:
    await peer.send(Message.new_error(call, "org.freedesktop.DBus.Error.AccessDenied", "not allowed"))
    await say_nothing(peer, call)


BUSES: dict[str, Script] = {
    "hangs up at Hello": hang_up,
    "talks nonsense": talk_nonsense,
    "refuses Hello": refuse_hello,
    "hangs up at the name": until_the_name(hang_up),
    "refuses the name": until_the_name(refuse),
    "gives the name to another": with_answer(RequestNameReply.EXISTS),
    "puts it into the queue": with_answer(RequestNameReply.IN_QUEUE),
}
SILENT: dict[str, Script] = {"silent at Hello": say_nothing, "silent at the name": until_the_name(say_nothing)}


class TestBus:
    async def start(self, namespace: Path, place: Path, script: Script, as_user: AsUser) -> Completed:
        async with scripted_bus(place / "bus", script) as address:
            (place / "bus").chmod(0o666)
            return await asyncio.to_thread(Start(place, options=("--bus", address)).run, as_user)

    @pytest.mark.parametrize("bus", BUSES)
    async def test_does_what_none_should(self, namespace: Path, place: Path, as_user: AsUser, bus: str) -> None:
        """Whatever a bus does until the name is owned, the start has failed."""
        done = await self.start(namespace, place, BUSES[bus], as_user)
        assert done.returncode == BUS_UNAVAILABLE, done.stderr
        assert FATAL in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.slow
    @pytest.mark.parametrize("bus", SILENT)
    async def test_says_nothing(self, namespace: Path, place: Path, as_user: AsUser, bus: str) -> None:
        """A bus that says nothing is given up."""
        done = await self.start(namespace, place, SILENT[bus], as_user)
        assert done.returncode == BUS_UNAVAILABLE, done.stderr

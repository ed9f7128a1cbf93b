"""What `cortexctl bridge status` makes of what it finds, with real sockets behind it."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from cortexd.bridge.key import Flaw
from cortexd.bridge.listening import at_path
from cortexd.bridge.places import SOCKET
from cortexd.cli.bridge import doors, port
from cortexd.cli.bridge.manager import Unit
from cortexd.cli.bridge.obstacles import Obstacle, problem
from cortexd.cli.bridge.port import Address
from cortexd.cli.bridge.programs import connected
from cortexd.cli.bridge.state import Door, State
from cortexd.cli.connecting import bridge as connecting_bridge
from cortexd.cli.connecting import plan
from cortexd.cli.connecting.programs import PROGRAMS, Home
from cortexd.errors import CortexError

DOCS = Path(__file__).resolve().parents[2] / "docs"
KEY = "k" * 43


@pytest.fixture(name="answering")
def answering_fixture() -> Iterator[Callable[[int], int]]:
    """A server that answers with that status; its port."""
    servers: list[HTTPServer] = []

    def start(status: int) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.headers["Authorization"] == f"Bearer {KEY}" else 403)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.05,), daemon=True).start()
        return servers[-1].server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


_UNITS = {
    Unit(SOCKET, "masked", "inactive"): Obstacle.MASKED,
    Unit(SOCKET, "not-found", "inactive"): Obstacle.NO_UNIT,
    Unit(SOCKET, "loaded", "failed", "service-start-limit-hit"): Obstacle.FAILED,
    Unit(SOCKET, "loaded", "inactive", "success"): Obstacle.STOPPED,
    Unit(SOCKET, "loaded", "deactivating", "success"): Obstacle.STOPPED,
    Unit(SOCKET, "loaded", "active", "success"): None,
    Unit(SOCKET, "loaded", "activating", "success"): None,
}


class TestUnits:
    @pytest.mark.parametrize(("unit", "expected"), _UNITS.items())
    def test_states(self, unit: Unit, expected: Obstacle | None) -> None:
        """Each bad one has a name and the command that mends it."""
        found = unit.problem
        assert (found and found.cause) == expected
        assert found is None or (SOCKET in found.text and ": " in found.text)


class TestSocket:
    def test_gone_or_left_over(self, tmp_path: Path) -> None:
        """No file, one that is no socket, and a socket that nobody serves."""
        path = tmp_path / "s"
        assert _cause(doors.at_socket(path)) == Obstacle.GONE
        path.touch()
        assert _cause(doors.at_socket(path)) == Obstacle.GONE
        path.unlink()
        at_path(path).close()
        assert _cause(doors.at_socket(path)) == Obstacle.GONE

    def test_silent(self, tmp_path: Path) -> None:
        """Somebody listens and hangs up."""
        with at_path(tmp_path / "s") as listening:

            def hang_up() -> None:
                listening.accept()[0].close()

            thread = threading.Thread(target=hang_up)
            thread.start()
            found = doors.at_socket(tmp_path / "s")
            thread.join()
        assert _cause(found) == Obstacle.SILENT


class TestPort:
    def test_answers(self, answering: Callable[[int], int]) -> None:
        """With its key; another one is told from silence."""
        open_port = answering(200)
        assert doors.at_port(Address(open_port, KEY)) is None
        assert _cause(doors.at_port(Address(open_port, "another"))) == Obstacle.OTHER_KEY
        assert doors.at_port(Address(answering(503), KEY)) is None  # the service's trouble is told beside it
        with socket.create_server(("127.0.0.1", 0)) as free:
            number = free.getsockname()[1]
        assert _cause(doors.at_port(Address(number, KEY))) == Obstacle.SILENT

    def test_by_whom_it_is_taken(self, answering: Callable[[int], int]) -> None:
        """Out of the kernel's table."""
        with pytest.raises(CortexError) as caught:
            port.refuse_taken(answering(200))
        assert caught.value.details["cause"] == Obstacle.PORT_TAKEN
        assert "program of yours" in caught.value.message

    def test_a_free_one_is_the_users_own(self) -> None:
        """The same each time, as long as nobody takes it."""
        first = port.free()
        assert first in range(11_400 + os.getuid() % 1000, 12_500)
        with socket.create_server(("127.0.0.1", first)):
            assert port.free() != first


class TestPrograms:
    def test_connected_ones(
        self, answering: Callable[[int], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each with what is amiss: nobody at its port, settings that were changed since, or that are none any more."""
        home, program = Home({"HOME": str(tmp_path)}), PROGRAMS["opencode"]
        monkeypatch.setenv("HOME", str(tmp_path))  # where the bridge has no port
        monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
        assert connected(home) == []
        for open_port, expected in ((answering(200), None), (9, Obstacle.NOBODY)):
            address = connecting_bridge.Address(f"http://127.0.0.1:{open_port}", KEY, tmp_path / "key")
            plan.connect(home, program, plan.connecting(home, program, address, "auto"), "auto")
            [found] = connected(home)
            assert (found.name, _cause(found.amiss)) == ("opencode", expected)
        [file] = plan.paths_of(home, program)
        for text, expected in (("{}", Obstacle.CHANGED), ("{", Obstacle.SETTINGS)):
            file.write_text(text)
            [found] = connected(home)
            assert _cause(found.amiss) == expected


class TestTelling:
    def test_as_json(self) -> None:
        """Each door with its address and whether it answers."""
        state = State(Door("/s"), Door("http://127.0.0.1:1", problem(Obstacle.OTHER_KEY, path="/k")), 7)
        told = json.loads(json.dumps(state.as_json()))
        assert told == {
            "socket": {"at": "/s", "answers": True},
            "port": {"at": "http://127.0.0.1:1", "answers": False},
            "pid": 7,
            "programs": [],
        }
        assert [found.cause for found in state.problems] == [Obstacle.OTHER_KEY]

    @pytest.mark.parametrize("cause", [*Obstacle, *Flaw])
    def test_every_cause_is_explained(self, cause: str) -> None:
        """In docs/errors.md."""
        section = (
            (DOCS / "errors.md").read_text().partition("`cortexctl bridge` has causes")[2].partition("`cortexctl")[0]
        )
        assert f"`{cause}`" in section


def _cause(found: Any) -> Any:
    return found and found.cause

"""Which program asks the bridge, and what is wished of it for single programs and names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.zones import noon

CONFIG = "[daemon]\npreload_sdks = true\n"
ENVIRONMENT = noon()
TOKEN = "of-this-test"
_ASKS = """
import http.client, json, socket, sys

place, model, headers = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
asking = http.client.HTTPConnection("localhost", timeout=20)
if place.startswith("/"):
    asking.sock = socket.socket(socket.AF_UNIX)
    asking.sock.connect(place)
else:
    asking = http.client.HTTPConnection("127.0.0.1", int(place), timeout=20)
body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
headers = {"Content-Type": "application/json", "Authorization": "Bearer of-this-test", **headers}
asking.request("POST", "/v1/chat/completions", json.dumps(body), headers)
answer = asking.getresponse()
said = json.loads(answer.read())
asking.request("GET", "/health", headers={"Content-Type": "application/json"})
health = json.loads(asking.getresponse().read())
print(json.dumps([answer.status, dict(answer.getheaders()), said, health]))
"""


@dataclass(frozen=True, slots=True)
class Running:
    """A bridge for all programs. `wishes`: its bridge.toml."""

    socket: Path
    port: int
    wishes: Path
    script: Path

    def ask(self, model: str = "auto", place: str = "", **headers: str) -> tuple[int, dict[str, str], Any, Any]:
        """Its status, its headers, what it says, and the bridge's health, as a program named asks.py has them."""
        command = [sys.executable, str(self.script), place or str(self.socket), model, json.dumps(headers)]
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        status, found, said, health = json.loads(told.stdout)
        return status, {name.lower(): value for name, value in found.items()}, said, health


@pytest.fixture(scope="module", name="running")
def running_fixture(shared_of_module: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = tmp_path_factory.mktemp("bridge")
    (place / "cortex-llm").mkdir()
    script = place / "asks.py"
    script.write_text(_ASKS)
    read, write = os.pipe()
    command = [sys.executable, "-m", "cortexd.bridge", "--socket", str(place / "api.sock"), "--port", "0"]
    environment = {**os.environ, "CORTEX_LLM_TOKEN": TOKEN, "XDG_CONFIG_HOME": str(place)}
    process = subprocess.Popen([*command, "--port-fd", str(write)], pass_fds=(write,), env=environment)
    os.close(write)
    with os.fdopen(read) as told:
        port = int(told.readline())
    yield Running(place / "api.sock", port, place / "cortex-llm/bridge.toml", script)
    process.terminate()
    assert process.wait(20) == 0


@pytest.fixture(autouse=True)
def nothing_is_wished(running: Running) -> Iterator[None]:
    yield
    running.wishes.unlink(missing_ok=True)


def _row(shared: Shared, headers: dict[str, str]) -> dict[str, Any]:
    return dict(shared.books().request(headers["x-request-id"]))


class TestPrograms:
    def test_are_found_at_both_doors(self, running: Running, shared: Shared) -> None:
        """By the socket's credentials, and behind a port by the socket that the process holds."""
        for place in (str(running.socket), str(running.port)):
            status, headers, _, health = running.ask(place=place)
            assert (status, health) == (200, {"status": "ok"})
            assert json.loads(_row(shared, headers)["labels"]) == {"app": "asks.py", "app_verified": "script"}


class TestWishes:
    def test_tasks_of_a_program(self, running: Running, shared: Shared) -> None:
        """Header, then the program's own, then user_chat; a file that appears holds at once."""
        assert _row(shared, running.ask()[1])["task_type"] == "user_chat"
        running.wishes.write_text(
            '[apps."asks.py"]\ntask = "error_debugging"\n[aliases]\n"my-*" = "task/code_generation"\n'
        )
        tasks = [
            _row(shared, headers)["task_type"]
            for headers in (
                running.ask()[1],
                running.ask(**{"x-cortex-task": "configuration"})[1],
                running.ask("my-model", **{"x-cortex-task": "configuration"})[1],
            )
        ]
        assert tasks == ["error_debugging", "configuration", "code_generation"]

    def test_models_of_a_program_and_aliases(self, running: Running, shared: Shared) -> None:
        """An alias first, then what is here, then who answers for the program; a name that is here stays."""
        running.wishes.write_text('[apps."asks.py"]\nmodel = "kimi_k2"\n[aliases]\n"gpt-5*" = "claude"\n')
        answered = {
            name: running.ask(name)[1]["x-cortex-provider"] for name in ("auto", "no-such", "claude", "gpt-5.2")
        }
        assert answered == {"auto": "kimi_k2", "no-such": "kimi_k2", "claude": "claude", "gpt-5.2": "claude"}

    def test_an_alias_that_leads_nowhere(self, running: Running, shared: Shared) -> None:
        """Is refused by both names; the bridge lives on."""
        running.wishes.write_text('[aliases]\nmine = "claudia"\n')
        status, _, said, _ = running.ask("mine")
        assert status == 404
        assert all(word in said["error"]["message"] for word in ("'claudia'", "'mine'", "claude"))
        assert shared.requests() == {"claude": 0, "kimi_k2": 0}

    def test_a_file_with_faults(self, running: Running, shared: Shared) -> None:
        """Its sound rows hold; health says so, and bridge check says what and where."""
        running.wishes.write_text('[aliases]\nmine = "task/user_chat"\nother = 3\n')
        status, _, _, health = running.ask("mine")
        assert (status, health) == (200, {"status": "ok", "problems": 1, "next_step": "cortexctl bridge check"})
        done = _check(running)
        assert (done.returncode, f"{running.wishes}:3: aliases.other" in done.stderr) == (1, True)

    def test_checked(self, running: Running, shared: Shared) -> None:
        """Names are looked up at the service; without a file there is nothing to check."""
        assert _check(running).stdout.startswith("There is no bridge.toml: ")
        running.wishes.write_text('[aliases]\nmine = "claude"\n')
        assert _check(running).stdout == f"{running.wishes}: OK\n"
        running.wishes.write_text('[aliases]\nmine = "claudia"\n')
        done = _check(running)
        assert (done.returncode, "aliases.mine" in done.stderr, done.stdout) == (1, True, "")


def _check(running: Running) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cortexd.cli", "bridge", "check"]
    environment = {**os.environ, "XDG_CONFIG_HOME": str(running.wishes.parents[1])}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)

"""A program connected to a bridge that runs: what cortexctl tries at the address that it has written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cortexd.bridge.key import make_key
from cortexd.cli.connecting import trying
from cortexd.cli.connecting.bridge import Address
from cortexd.cli.connecting.obstacles import Obstacle
from cortexd.errors import CortexError
from simulated import Behaviour
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401


@contextmanager
def bridge(key_file: Path) -> Iterator[Address]:
    """One that was started by hand, with the key of that file."""
    read, write = os.pipe()
    command = [sys.executable, "-m", "cortexd.bridge", "--port", "0", "--port-fd", str(write)]
    key = make_key(key_file)
    process = subprocess.Popen(command, pass_fds=(write,), env={**os.environ, "CORTEX_LLM_TOKEN": key})
    os.close(write)
    with os.fdopen(read) as told:
        port = int(told.readline())
    yield Address(f"http://127.0.0.1:{port}", key, key_file)
    process.terminate()
    assert process.wait(20) == 0


@pytest.fixture(scope="module", name="address")
def address_fixture(shared_of_module: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with bridge(tmp_path_factory.mktemp("state") / "cortex-llm" / "bridge-key") as address:
        yield address


def cortexctl(address: Address, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    state = str(address.token_file.parents[1])
    return subprocess.run(
        [sys.executable, "-m", "cortexd.cli", *arguments],
        env={**os.environ, "HOME": str(home), "XDG_STATE_HOME": state, "XDG_CONFIG_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


class TestConnect:
    @pytest.mark.parametrize(
        ("program", "file"), [("claude-code", ".claude/settings.json"), ("aider", ".aider.conf.yml")]
    )
    def test_tries_what_it_wrote(
        self, program: str, file: str, address: Address, shared: Shared, tmp_path: Path
    ) -> None:
        """It asks one question of the program's own API at the address, and says who answered and for how much."""
        shared.behave("claude", Behaviour(reply="good day", input_tokens=50, output_tokens=20))
        port = address.url.rpartition(":")[2]
        done = cortexctl(address, tmp_path, "connect", program, "--port", port, "--yes", "--try")
        assert (done.returncode, done.stderr) == (0, "")
        assert "for $0.000300000: good day" in done.stdout
        assert address.token not in done.stdout
        assert address.url in (tmp_path / file).read_text()
        assert cortexctl(address, tmp_path, "disconnect", program, "--yes").returncode == 0
        assert not (tmp_path / file).exists()

    def test_a_model_that_is_not_here(self, address: Address, shared: Shared, tmp_path: Path) -> None:
        """It is told at once, and costs nothing."""
        port = address.url.rpartition(":")[2]
        done = cortexctl(address, tmp_path, "connect", "aider", "--port", port, "--yes", "--model", "claudia")
        assert (done.returncode, "claudia" in done.stderr, "--model NAME" in done.stderr) == (1, True, True)
        again = cortexctl(address, tmp_path, "connect", "aider", "--port", port, "--yes", "--model", "claude")
        assert (again.returncode, again.stderr) == (0, "")
        assert shared.requests()["claude"] == 0

    def test_a_key_of_another(self, address: Address, shared: Shared) -> None:
        """The bridge's refusal is told."""
        with pytest.raises(CortexError) as caught:
            trying.models(Address(address.url, "another", address.token_file))
        assert caught.value.details["cause"] == Obstacle.NOT_SERVED

    def test_nobody_there(self, address: Address) -> None:
        """A port where nobody listens."""
        with pytest.raises(CortexError) as caught:
            trying.models(Address("http://127.0.0.1:9", address.token, address.token_file))
        assert caught.value.details["cause"] == Obstacle.NO_ANSWER

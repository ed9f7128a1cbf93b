"""The simulated providers as a process of their own, steered over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from simulated import Behaviour, ControlClient, Fault, SimulatedProviders

BODY = {"model": "kimi-k2.6", "messages": [{"role": "user", "content": "hello"}]}
HEADERS = {"authorization": "Bearer sk-sim-kimi"}
DEADLINE_S = 20


@pytest.fixture
def process(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port_file = tmp_path / "port"
    command = [sys.executable, "-m", "simulated", "--port-file", str(port_file)]
    with subprocess.Popen(command) as started:
        try:
            end = time.monotonic() + DEADLINE_S
            while not port_file.exists():
                assert started.poll() is None
                assert time.monotonic() < end
                time.sleep(0.02)
            yield started, f"http://127.0.0.1:{int(port_file.read_text())}"
        finally:
            started.kill()


def ask(base: str, path: str = "/kimi_k2/v1/chat/completions") -> tuple[int, bytes]:
    connection = HTTPConnection(base.removeprefix("http://"), timeout=DEADLINE_S)
    connection.request("POST", path, json.dumps(BODY), HEADERS)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


class TestProcess:
    def test_steered_and_read_over_http(self, process: tuple[subprocess.Popen[bytes], str]) -> None:
        """Behaviour, counts, bill and recorded requests work over the control endpoint."""
        _, base = process
        control = ControlClient(base)
        control.behave("kimi_k2", Behaviour(status=503, times=1), Behaviour(reply="a\ud800b"))
        assert [ask(base)[0] for _ in range(2)] == [503, 200]
        assert json.loads(ask(base)[1])["choices"][0]["message"]["content"] == "a\ud800b"
        assert control.counts("kimi_k2").statuses == {"503": 1, "200": 2}
        # 2 tokens in at $0.95, 5 bytes of answer are 2 tokens at $4
        assert control.billed("kimi_k2").nano == 2 * (1_900 + 8_000)
        assert control.billed_undelivered("kimi_k2").requests == 0
        assert [request.json() for request in control.received("kimi_k2", last=2)] == [BODY, BODY]
        control.reset("kimi_k2")
        assert control.counts("kimi_k2").requests == 0

    def test_a_misspelt_behaviour_is_refused(self, process: tuple[subprocess.Popen[bytes], str]) -> None:
        """The control endpoint names what it does not know."""
        _, base = process
        connection = HTTPConnection(base.removeprefix("http://"), timeout=DEADLINE_S)
        connection.request("POST", "/__control/claude", '{"fault": "hangs"}')
        response = connection.getresponse()
        assert (response.status, b"hangs" in response.read()) == (400, True)
        connection.close()

    def test_ends_on_sigterm_with_a_hung_request(self, process: tuple[subprocess.Popen[bytes], str]) -> None:
        """SIGTERM ends the process with status 0 though a client is still waiting."""
        started, base = process
        control = ControlClient(base)
        control.behave("kimi_k2", Behaviour(fault=Fault.HANG))
        connection = HTTPConnection(base.removeprefix("http://"), timeout=DEADLINE_S)
        connection.request("POST", "/kimi_k2/v1/chat/completions", json.dumps(BODY), HEADERS)
        end = time.monotonic() + DEADLINE_S
        while control.counts("kimi_k2").active == 0:
            assert time.monotonic() < end
            time.sleep(0.02)
        started.terminate()
        assert started.wait(DEADLINE_S) == 0
        connection.close()


class TestPaths:
    def test_any_prefix(self) -> None:
        """The first component is the instance, the end decides the format, what is between is free."""
        with SimulatedProviders() as simulated:
            for path in ("/deepseek/chat/completions", "/deepseek/compatible-mode/v1/chat/completions"):
                assert ask(simulated.base, path)[0] == 200
            assert simulated.counts("deepseek").requests == 2
            assert ask(simulated.base, "/deepseek/v1/embeddings")[0] == 404

    def test_base_urls(self) -> None:
        """Base URLs are what each SDK appends its path to."""
        with SimulatedProviders() as simulated:
            base = simulated.base
            assert simulated.url("claude") == ControlClient(base).url("claude") == f"{base}/claude"
            assert simulated.url("kimi_k2") == f"{base}/kimi_k2/v1"
            assert simulated.url("other", "anthropic") == f"{base}/other"
            assert simulated.url("claude", "openai") == f"{base}/claude/v1"

    def test_instances_are_bounded(self) -> None:
        """At most 64 instances; a further name is not found."""
        with SimulatedProviders() as simulated:
            for n in range(64):
                simulated.counts(f"i{n}")
            assert ask(simulated.base, "/i64/chat/completions")[0] == 404
            with pytest.raises(ValueError, match="64"):
                simulated.counts("i64")

    async def test_start_and_stop_inside_a_loop(self) -> None:
        """As an async context manager it leaves nothing listening behind."""
        async with SimulatedProviders() as simulated:
            base = simulated.base
        with pytest.raises(ConnectionRefusedError):
            ask(base)

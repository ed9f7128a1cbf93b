"""A daemon without keys, and one with proxy variables in its environment."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from simulated import Behaviour, ControlClient
from tests.system.books import read_books
from tests.system.calls import ask
from tests.system.daemon import Daemon
from tests.system.namespace import PYTHON
from tests.system.people import Completed
from tests.system.people import as_user as run_as
from tests.system.program import Program, program_fixture, refused  # noqa: F401
from tests.system.test_lifecycle import CONFIG_WRONG

MakeDaemon = Callable[..., Daemon]
AsUser = Callable[..., Completed]
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


class TestWithoutAnyKey:
    async def test_it_runs_and_says_what_to_set(
        self, daemon: MakeDaemon, simulated: ControlClient, program: Program
    ) -> None:
        """ProviderNotConfigured for every task type; properties and statistics work; no row is written."""
        running = daemon(keys={})
        for task, variable in (("user_chat", "ANTHROPIC_API_KEY"), ("code_generation", "MOONSHOT_API_KEY")):
            with refused("ProviderNotConfigured") as text:
                await program.complete(task, "hello")
            assert variable in text[0]
            with refused("ProviderNotConfigured"):
                await program.route(task, "hello")
        assert {row["state"] for row in (await program.providers()).values()} == {"unconfigured"}
        assert (await program.stats())["total_requests"] == 0
        assert read_books(running.ledger_file).rows == []


TEAM = "of-the-web-team-0123"
GATEWAY = """
[providers.{name}]
auth_header = "x-api-key"
headers = {{ "X-Team" = "of-the-web-team-0123" }}
"""


class TestGateway:
    @pytest.mark.parametrize(("provider", "task"), [("claude", "user_chat"), ("kimi_k2", "code_generation")])
    async def test_answers(
        self, daemon: MakeDaemon, simulated: ControlClient, program: Program, provider: str, task: str
    ) -> None:
        """One that wants the key in a header of its own, and another header beside it; a reload brings both. No error,
        no log and no reply shows what they say."""
        demands = Behaviour(key_header="x-api-key", demanded_headers={"X-Team": TEAM}, error_message=f"got {TEAM}")
        simulated.behave(provider, demands)
        running = daemon()
        with refused("ProviderFailed"):
            await program.complete(task, "hello", provider=provider)
        running.reconfigure(GATEWAY.format(name=provider))
        assert (await program.complete(task, "hello")).metadata["provider"] == provider
        simulated.behave(provider, replace(demands, status=401))
        with refused("ProviderFailed") as text:
            await program.complete(task, "hello", provider=provider)
        assert TEAM not in text[0] + str(await program.providers()) + running.log()

    def test_settings_are_not_shown(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """`cortexctl config show` names the header; a check says what is wrong with one; neither says its value."""
        running = daemon(GATEWAY.format(name="claude"))
        file = ["--config", str(running.config_file)]
        shown = as_user("cortexd", [PYTHON, "-m", "cortexd.cli", "config", "show", *file])
        assert 'X-Team = "(hidden)"' in shown.stdout, shown.stderr
        running.configure(GATEWAY.format(name="claude").replace("X-Team", "Cookie"))
        checked = as_user("cortexd", [PYTHON, "-m", "cortexd", "--check-config", *file])
        assert checked.returncode == CONFIG_WRONG
        assert "providers.claude.headers.Cookie: expected another header" in checked.stderr
        assert TEAM not in shown.stdout + shown.stderr + checked.stdout + checked.stderr


@contextmanager
def trap() -> Iterator[tuple[str, list[bytes]]]:
    """A listener nobody should come to: its URL, and what each visitor sent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        visitors: list[bytes] = []
        yield f"http://127.0.0.1:{server.getsockname()[1]}", visitors
        while True:
            try:
                visitor, _ = server.accept()
            except BlockingIOError:
                return
            with visitor:
                visitors.append(b"somebody came")


class TestProxyVariables:
    def test_they_are_ignored(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """With every proxy variable pointing at a trap, both providers are reached directly."""
        with trap() as (url, visitors):
            daemon(environment=dict.fromkeys(PROXY_VARIABLES, url))
            for task in ("user_chat", "code_generation"):
                done = run_as("root", ask(task))
                assert done.returncode == 0, done.stderr
        assert visitors == []
        assert [simulated.counts(name).answered for name in ("claude", "kimi_k2")] == [1, 1]

    def test_the_trap_works(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """The same listener as `network.proxy` is visited, unless no_proxy or `local` says otherwise."""
        with trap() as (url, visitors):
            daemon(
                f'[network]\nproxy = "{url}"\n[providers.claude]\ntimeout_s = 4.0\n[providers.kimi_k2]\nlocal = true\n'
            )
            done = run_as("alice", ask("user_chat"))
            assert done.stdout == 's "[kimi-k2.6] You said: hello"\n', done.stderr
        assert visitors

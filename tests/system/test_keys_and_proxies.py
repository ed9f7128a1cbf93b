"""A daemon without keys, and one with proxy variables in its environment."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from simulated import ControlClient
from tests.system.books import read_books
from tests.system.calls import ask
from tests.system.daemon import Daemon
from tests.system.people import as_user
from tests.system.program import Program, program_fixture, refused  # noqa: F401

MakeDaemon = Callable[..., Daemon]
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
                done = as_user("root", ask(task))
                assert done.returncode == 0, done.stderr
        assert visitors == []
        assert [simulated.counts(name).answered for name in ("claude", "kimi_k2")] == [1, 1]

    def test_the_trap_works(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """The same listener as `network.proxy` is visited, unless no_proxy or `local` says otherwise."""
        with trap() as (url, visitors):
            daemon(
                f'[network]\nproxy = "{url}"\n[providers.claude]\ntimeout_s = 4.0\n[providers.kimi_k2]\nlocal = true\n'
            )
            done = as_user("alice", ask("user_chat"))
            assert done.stdout == 's "[kimi-k2.6] You said: hello"\n', done.stderr
        assert visitors

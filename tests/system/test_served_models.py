"""Model servers that are asked what they have: `model = "*"`, contexts, loading, and what strange servers say."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simulated import Behaviour, ControlClient, SimulatedProviders
from tests.eventually import assert_eventually_async
from tests.system.daemon import Daemon
from tests.system.program import NAME, Json, Program, program_fixture, refused  # noqa: F401

MakeDaemon = Callable[..., Daemon]
MODELS = ("org/first", "second:4b")
OPERATORS = '[providers.vllm.models."org/first"]\ncontext_tokens = 2048\n'
APART_S = 2.0  # between two questions that no request waits for
STRANGE = {
    "nothing": "",
    "text": "hello",
    "deep": "[" * 50_000,
    "number": '{"data": 3}',
    "megabytes": '{"data": [' + '{"id": "m"},' * 200_000 + "{}]}",
    "nameless": json.dumps({"data": [{"id": "a b"}, {"id": None}, 4, {"id": "x" * 5000}]}),
}


def serving(**changes: Any) -> Behaviour:
    """A server that wants no key."""
    return Behaviour(keys=("none",), **changes)


LOADING = serving(status=503, error_message="Loading model")


@pytest.fixture
def server(simulated: ControlClient) -> Iterator[ControlClient]:
    """With an instance `vllm` that nobody has spoken to."""
    simulated.reset("vllm")
    simulated.behave("vllm", serving(models=MODELS, context_tokens=4096))
    yield simulated
    simulated.reset("vllm")


@pytest.fixture
def activatable(namespace: Path) -> Iterator[None]:
    """The bus could start the daemon again, so that it may leave."""
    installed = namespace / "services" / f"{NAME}.service"
    installed.write_text(Path(f"dbus/{NAME}.service").read_text())
    _read_services_again()
    yield
    installed.unlink()
    _read_services_again()


def _read_services_again() -> None:
    bus = ["--system", "--dest=org.freedesktop.DBus", "--object-path=/"]
    reload = ["gdbus", "call", *bus, "--method=org.freedesktop.DBus.ReloadConfig"]
    subprocess.run(reload, check=True, stdout=subprocess.DEVNULL)


def settings(url: str, model: str = "*", more: str = "", name: str = "vllm") -> str:
    return f'[providers.{name}]\npreset = "vllm"\nmodel = "{model}"\nbase_url = "{url}"\n{more}'


async def row_of(program: Program, name: str = "vllm") -> Json:
    return (await program.providers())[name]


async def says(program: Program, *models: str) -> Json:
    """The provider's row, once it lists these models, its own first."""
    for _ in range(600):
        row = await row_of(program)
        if row["models"] == list(models):
            return row
        await asyncio.sleep(0.05)
    raise AssertionError(f"expected {models}, listed {row}")


async def listed(server: ControlClient, least: int = 1) -> None:
    await assert_eventually_async(lambda: server.counts("vllm").listed >= least)


class TestAnyModel:
    async def test_asked_at_the_start(self, daemon: MakeDaemon, server: ControlClient, program: Program) -> None:
        """Nobody has called for it: the first model is the provider's own, and contexts are there with their time."""
        daemon(settings(server.url("vllm")))
        await listed(server)
        row = await says(program, *MODELS)
        assert (row["default_model"], row["context_tokens"]) == (MODELS[0], dict.fromkeys(MODELS, 4096))
        assert re.fullmatch(r"2\d{3}-\d\d-\d\dT[\d:]{8}\+00:00", row["asked_at"])
        assert (await program.complete("user_chat", "hello", provider="vllm")).metadata["model"] == MODELS[0]
        assert server.counts("vllm").listed == 1

    async def test_the_first_call_of_all(self, daemon: MakeDaemon, server: ControlClient, program: Program) -> None:
        """As after an activation: twenty calls at once wait for one question, and are answered."""
        daemon(settings(server.url("vllm")))
        calls = [program.complete("user_chat", f"hello {number}", provider="vllm") for number in range(20)]
        replies = await asyncio.gather(*calls)
        assert {reply.metadata["model"] for reply in replies} == {MODELS[0]}
        assert server.counts("vllm").listed == 1

    async def test_callers_and_strategies_choose(
        self, daemon: MakeDaemon, server: ControlClient, program: Program
    ) -> None:
        """Every model can be named, alone or with its provider, and stands among those that a strategy ranks."""
        daemon(settings(server.url("vllm")))
        for options in ({"model": MODELS[1]}, {"model": MODELS[1], "provider": "vllm"}, {"strategy": "cost"}):
            reply = await program.complete("user_chat", "hello", **options)
            assert reply.metadata["provider"] == "vllm", options
        decision = await program.route("user_chat", "hello", strategy="cost")
        ranked = [(item["provider"], item["model"]) for item in decision["candidates"]]
        assert ranked[:2] == [("vllm", model) for model in MODELS]

    async def test_a_listing_before_any_call(self, daemon: MakeDaemon, program: Program) -> None:
        """The first one says already that a server could not be asked."""
        with SimulatedProviders() as gone:
            url = gone.url("vllm")
        daemon(settings(url))
        row = await row_of(program)
        assert (row["state"], row["last_failure"]) == ("degraded", "connection")

    async def test_a_server_that_is_away(self, daemon: MakeDaemon, program: Program) -> None:
        """What is missing is said, others stand in, and the first call after the server is there is answered."""
        with SimulatedProviders() as later:
            url, port = later.url("vllm"), int(later.base.rpartition(":")[2])
        running = daemon(settings(url, more='[routing.table]\nuser_chat = "vllm"\n'))
        reply = await program.complete("user_chat", "hello")
        assert reply.metadata["provider"] == "claude"
        decision = await program.route("user_chat", "hello")
        assert decision["stands_in_for"] == "vllm"
        assert {item["provider"]: item["reason"] for item in decision["left_out"]}["vllm"].startswith(
            "has not said yet which models it has (connection)"
        )
        with refused("NoProviderAvailable"):
            await program.complete("user_chat", "hello", provider="vllm")
        assert (await row_of(program))["state"] == "degraded"
        with SimulatedProviders(port=port) as server:
            server.behave("vllm", serving(models=MODELS))
            assert (await program.complete("user_chat", "hello", privacy="local")).metadata["model"] == MODELS[0]
            assert (await row_of(program))["state"] == "ok"
        assert running.running

    async def test_other_models_by_now(self, daemon: MakeDaemon, server: ControlClient, program: Program) -> None:
        """The server was started with another model: one call finds that out, and the next have the new one."""
        daemon(settings(server.url("vllm")))
        await program.complete("user_chat", "hello", provider="vllm", session="s")
        server.behave("vllm", serving(models=("third",), context_tokens=8192))
        with refused("ProviderFailed"):
            await program.complete("user_chat", "hello", provider="vllm")
        await says(program, "third")
        assert (await program.complete("user_chat", "hello", provider="vllm", session="s")).metadata["model"] == "third"

    async def test_a_storm_of_wrong_names(self, daemon: MakeDaemon, server: ControlClient, program: Program) -> None:
        """Callers' own words make no questions without end."""
        daemon(settings(server.url("vllm")))
        await program.complete("user_chat", "hello", provider="vllm")
        before, began = server.counts("vllm").listed, time.monotonic()
        for number in range(40):
            with refused("ProviderFailed"):
                await program.complete("user_chat", "hello", provider="vllm", model=f"none-{number}")
        assert server.counts("vllm").listed - before <= 2 + (time.monotonic() - began) / APART_S

    @pytest.mark.parametrize("name", ["vllm", "kimi_k2"])
    async def test_after_a_reload(self, daemon: MakeDaemon, server: ControlClient, program: Program, name: str) -> None:
        """New and changed providers are asked, others keep what they said; so are vendors where any model will do."""
        running = daemon(settings(server.url("vllm")))
        await says(program, *MODELS)
        before = server.counts("vllm").listed
        anything = '[providers.kimi_k2]\nmodel = "*"\n' if name == "kimi_k2" else ""
        running.reconfigure(settings(server.url("vllm")) + anything + '[routing]\nstrategy = "cost"\n')
        assert (await row_of(program))["models"] == list(MODELS)
        if name == "kimi_k2":
            assert (await program.complete("user_chat", "hello", provider=name)).metadata["model"] == "kimi-k2.6"
            assert (await row_of(program, name))["asked_at"]
        assert server.counts("vllm").listed == before
        running.reconfigure(settings(server.url("vllm"), more="timeout_s = 77\n"))
        await listed(server, before + 1)
        await says(program, *MODELS)

    async def test_a_preference_and_a_row(self, daemon: MakeDaemon, server: ControlClient, program: Program) -> None:
        """`vllm` and `vllm/*` mean its own model wherever a target stands."""
        daemon(settings(server.url("vllm"), more='[routing.table]\nuser_chat = "vllm/*"\n'))
        assert (await program.complete("user_chat", "hello")).metadata["model"] == MODELS[0]


class TestContext:
    @pytest.mark.parametrize(("more", "context"), [("", 4096), (OPERATORS, 2048)])
    async def test_whose_word_stands(
        self, daemon: MakeDaemon, server: ControlClient, program: Program, more: str, context: int
    ) -> None:
        """The operator's above the server's; and no answer is asked for that has no room."""
        daemon(settings(server.url("vllm"), MODELS[0], more))
        await listed(server)
        row = await says(program, MODELS[0])
        assert row["context_tokens"] == {MODELS[0]: context}
        await program.complete("user_chat", "hello " * 20, provider="vllm", max_tokens=100_000)
        sent = server.received("vllm")[-1].json()["max_tokens"]
        assert context - 100 < sent < context

    async def test_too_long(self, daemon: MakeDaemon, server: ControlClient, program: Program) -> None:
        """What cannot fit goes to the next at once; what turns out too long goes to a larger context alone."""
        daemon(settings(server.url("vllm"), more='[routing.table]\nuser_chat = ["vllm", "claude"]\n'))
        await says(program, *MODELS)
        asked = server.counts("vllm").requests
        reply = await program.complete("user_chat", "word " * 8000)
        assert (reply.metadata["provider"], server.counts("vllm").requests) == ("claude", asked)
        reply = await program.complete("user_chat", "word " * 5000)
        assert reply.attempts == [("vllm", "context_overflow"), ("claude", "ok")]


class TestLoading:
    async def test_is_waited_for_and_told(self, daemon: MakeDaemon, server: ControlClient, program: Program) -> None:
        """Degraded in every place that says how providers are, no failure, and asked for its models once it is up."""
        await program.hear_broadcasts()
        server.behave("vllm", LOADING)
        daemon(settings(server.url("vllm"), MODELS[0]))
        await program.await_heard("ProviderStateChanged")
        asking = asyncio.create_task(program.complete("user_chat", "hello", provider="vllm"))
        await assert_eventually_async(lambda: server.counts("vllm").requests >= 2)
        row, decision = await row_of(program), await program.route("user_chat", "hello", provider="vllm")
        assert (row["state"], row["last_failure"]) == ("degraded", "loading")
        assert [(item["state"], item["last_failure"]) for item in decision["candidates"]] == [("degraded", "loading")]
        server.behave("vllm", serving(models=MODELS, context_tokens=4096))
        assert (await asking).attempts == [("vllm", "ok")]
        states = await program.await_heard("ProviderStateChanged", 2)
        assert states == [["vllm", "degraded", {"last_failure": "loading"}], ["vllm", "ok", {}]]
        await says(program, MODELS[0])
        await assert_eventually_async(lambda: server.counts("vllm").listed >= 2)

    async def test_before_it_has_said_its_models(
        self, daemon: MakeDaemon, server: ControlClient, program: Program
    ) -> None:
        """The same where nobody can be asked for a model yet; the deadline ends it."""
        server.behave("vllm", LOADING)
        daemon(settings(server.url("vllm")))
        with refused("Timeout"):
            await program.complete("user_chat", "hello", provider="vllm", deadline_ms=700)
        assert (await row_of(program))["last_failure"] == "loading"
        asking = asyncio.create_task(program.complete("user_chat", "hello", provider="vllm"))
        asked = server.counts("vllm").listed
        await listed(server, asked + 2)
        server.behave("vllm", serving(models=MODELS))
        assert (await asking).metadata["model"] == MODELS[0]
        assert (await row_of(program))["state"] == "ok"


class TestStrangeServers:
    async def test_what_is_no_list(self, daemon: MakeDaemon, server: ControlClient, program: Program) -> None:
        """The provider has no models, others answer, and the daemon goes on."""
        for name, listing in STRANGE.items():
            server.reset(name)
            server.behave(name, serving(listing=listing))
        tables = "".join(settings(server.url(name), name=name) for name in STRANGE)
        daemon(f"{tables}[routing.table]\nuser_chat = {json.dumps([*STRANGE, 'claude'])}\n")
        for name in STRANGE:
            await assert_eventually_async(lambda name=name: server.counts(name).listed)  # type: ignore[misc]
        assert (await program.complete("user_chat", "hello")).metadata["provider"] == "claude"
        assert {name: (await row_of(program, name))["models"] for name in STRANGE} == {name: [] for name in STRANGE}
        for name in STRANGE:
            with refused("NoProviderAvailable"):
                await program.complete("user_chat", "hello", provider=name)

    async def test_thousands(self, daemon: MakeDaemon, server: ControlClient, program: Program) -> None:
        """Only so many are taken, and a strategy among them stays quick enough to answer."""
        rows = [{"id": f"m{number}", "meta": {"n_ctx": 10**30}, "owned_by": "x\x00"} for number in range(5000)]
        server.behave("vllm", serving(listing=json.dumps({"data": rows})))
        daemon(settings(server.url("vllm")))
        await listed(server)
        assert (await program.complete("user_chat", "hello", strategy="cost")).metadata["provider"] == "vllm"
        row = await row_of(program)
        assert len(row["models"]) == 256
        assert row["context_tokens"] == {}


class TestRest:
    async def test_nobody_is_asked_by_the_clock(
        self, daemon: MakeDaemon, server: ControlClient, program: Program
    ) -> None:
        """One that is well is asked once, however many calls it answers."""
        daemon(settings(server.url("vllm")))
        await says(program, *MODELS)
        before = server.counts("vllm").listed
        for number in range(50):
            await program.complete("user_chat", f"hello {number}", provider="vllm")
        assert server.counts("vllm").listed == before

    @pytest.mark.usefixtures("activatable")
    async def test_leaves_when_idle(self, daemon: MakeDaemon) -> None:
        """A server that takes the question and does not answer keeps no daemon."""
        asked = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.set()
            await reader.read()  # until the daemon is gone
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as listener:
            url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
            running = daemon("[daemon]\nidle_exit_s = 1.5\n" + settings(url))
            assert await asyncio.to_thread(running.await_end) == 0
            assert asked.is_set()

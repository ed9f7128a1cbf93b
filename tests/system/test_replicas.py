"""Several endpoints behind one provider, through the daemon: what callers see of one that fails, and what is booked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from simulated import Behaviour, Fault
from tests.eventually import assert_eventually_async
from tests.system.namespace import PYTHON
from tests.system.people import as_user
from tests.system.program import Program, program_fixture, refused  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401

CONFIG = "[daemon]\npreload_sdks = true\n"
NAMES = ("one", "two", "three")
OFFICE = """
[providers.office]
api = "openai"
model = "kimi-k2.6"
key_file = "{key_file}"
rate = {{ input_usd_per_million = "0.95", output_usd_per_million = "4" }}
"""


def config(shared: Shared, *names: str, more: str = "") -> str:
    key_file = shared.daemon.directory / "credentials" / "keys_kimi_k2"
    replicas = "".join(f'[[providers.office.replicas]]\nbase_url = "{shared.simulated.url(name)}"\n' for name in names)
    return CONFIG + OFFICE.format(key_file=key_file) + more + replicas


@pytest.fixture
def office(shared: Shared) -> Iterator[str]:
    """A priced provider with two endpoints."""
    for name in NAMES:
        shared.simulated.reset(name)
    shared.reload(config(shared, "one", "two"))
    yield "office"
    shared.reload(CONFIG)
    for name in NAMES:
        shared.simulated.reset(name)


def cortexctl(*words: str) -> list[str]:
    return [PYTHON, "-m", "cortexd.cli", *words]


async def home_of(shared: Shared, program: Program, session: str) -> str:
    """The endpoint that a session stays with."""
    before = {name: shared.simulated.counts(name).requests for name in NAMES}
    await program.complete("user_chat", "where", provider="office", session=session)
    [home] = [name for name in NAMES if shared.simulated.counts(name).requests > before[name]]
    return home


class TestFailure:
    @pytest.mark.parametrize("fault", [Fault.RESET_MID_BODY, Fault.END_EARLY, Fault.MALFORMED_JSON])
    async def test_a_try_that_may_have_cost_something_is_booked(
        self, shared: Shared, program: Program, office: str, fault: Fault
    ) -> None:
        """The caller has the other endpoint's answer; the ledger has both tries, the lost one at its most and not
        known, and what the endpoints would bill is covered."""
        home = await home_of(shared, program, "mine")
        shared.behave(home, Behaviour(fault=fault, times=1))
        request_id = f"lost-{fault}"
        reply = await program.complete("user_chat", "hello", provider=office, session="mine", request_id=request_id)
        lost, answered = shared.books().attempts_of(request_id)
        assert (lost["provider"], lost["cost_known"], answered["outcome"]) == (office, 0, "ok")
        assert lost["cost_nano"] > answered["cost_nano"] > 0
        assert reply.metadata["cost_known"] is False
        assert reply.cost_nano == lost["cost_nano"] + answered["cost_nano"]
        shared.books().assert_balanced()
        assert (await program.providers())[office]["state"] == "ok"

    async def test_a_try_that_cost_nothing_is_none(self, shared: Shared, program: Program, office: str) -> None:
        """An endpoint that says no for certain leaves no trace in the books, and no caller waits for it."""
        home = await home_of(shared, program, "mine")
        shared.behave(home, Behaviour(status=429, retry_after="30"))
        for number in range(5):
            reply = await program.complete("user_chat", f"{number}", provider=office, session="mine")
            assert reply.attempts == [(office, "ok")]
        assert shared.simulated.counts(home).statuses["429"] == 1

    async def test_a_budget_ends_the_tries(self, shared: Shared, program: Program, office: str) -> None:
        """Where a further try could pass a budget it is not made, and the first one's failure is told."""
        options = {"provider": office, "max_tokens": 100}
        worst = (await program.route("user_chat", "hello", **options))["candidates"][0]["worst_case_cost_usd"]
        limit = shared.books().charged_to(0) / 1e9 + 1.5 * worst
        shared.reload(f"{config(shared, 'one', 'two')}[budgets.each_user]\nday_usd = {limit:.9f}\n")
        for name in ("one", "two"):
            shared.behave(name, Behaviour(fault=Fault.RESET_MID_BODY))
        with refused("ProviderFailed") as text:
            await program.complete("user_chat", "hello", request_id="dear", **options)
        assert "tried=office:connection" in text[0]
        books = shared.books()
        books.assert_balanced()
        assert [row["outcome"] for row in books.attempts_of("dear")] == ["connection"]
        assert sum(shared.simulated.counts(name).requests for name in NAMES) == 1


class TestReload:
    async def test_endpoints_come_and_go_while_calls_are_under_way(
        self, shared: Shared, program: Program, office: str
    ) -> None:
        """What is removed finishes its calls; what stays goes on; what is new gets calls."""
        for name in NAMES:
            shared.behave(name, Behaviour(delay_s=1.0))
        asked = [asyncio.create_task(program.complete("user_chat", f"{n}", provider=office)) for n in range(10)]
        await assert_eventually_async(lambda: sum(shared.simulated.counts(name).active for name in NAMES) == len(asked))
        shared.reload(config(shared, "two", "three"))
        later = [program.complete("user_chat", f"later {n}", provider=office) for n in range(10)]
        replies = await asyncio.gather(*asked, *later)
        assert all(reply.attempts == [(office, "ok")] for reply in replies)
        assert shared.simulated.counts("three").requests > 0
        assert shared.simulated.counts("one").client_aborts == 0


class TestListing:
    async def test_each_endpoint_is_shown(self, shared: Shared, program: Program, office: str) -> None:
        """State, calls in flight, latency and share; its address for who may manage alone."""
        shared.reload(config(shared, "one", "two", more="max_in_flight = 7\n"))
        for number in range(4):
            await program.complete("user_chat", f"{number}", provider=office)
        shown = (await program.providers())[office]["replicas"]
        assert [(row["state"], row["in_flight"], row["max_in_flight"], row["local"]) for row in shown] == [
            ("ok", 0, 7, False)
        ] * 2
        assert sum(row["share"] for row in shown) == pytest.approx(1.0)
        assert any(row.get("latency_ms", 0) > 0 for row in shown)
        port = shared.simulated.url("one").split("/")[2]
        assert {row["endpoint"] for row in shown} == {port}
        seen = as_user("bob", cortexctl("providers", "office")).stdout
        assert "0 of 7 in flight" in seen
        assert port not in seen
        assert port in as_user("root", cortexctl("providers", "office")).stdout

    async def test_one_that_is_left_alone(self, shared: Shared, program: Program, office: str) -> None:
        """It has no share, and status says so though the provider is well."""
        home = await home_of(shared, program, "mine")
        shared.behave(home, Behaviour(status=503, retry_after="60"))
        await program.complete("user_chat", "hello", provider=office, session="mine")
        shown = (await program.providers())[office]
        assert shown["state"] == "ok"
        alone, well = sorted(shown["replicas"], key=lambda row: row["share"])
        assert (alone["state"], alone["share"], alone["last_failure"]) == ("open", 0.0, "overloaded")
        assert (well["state"], well["share"]) == ("ok", 1.0)
        assert "1 of 2 endpoints left alone" in as_user("root", cortexctl("status")).stdout

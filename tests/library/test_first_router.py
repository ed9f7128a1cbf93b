"""What programs of Cortex's first router call, read and set: its public surface, over real HTTP."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from llm_router import (
    InvalidRequestError,
    LLMProvider,
    LLMResponse,
    LLMRouter,
    ProvidersFailedError,
    TaskType,
    check_hardware_configs_parallel,
    diagnose_errors_parallel,
    query_multiple_packages,
)
from simulated import Behaviour, SimulatedProviders
from tests.library.conftest import KEYS, MakeRouter, ask

PREFIXES = ("claude", "kimi", "deepseek", "qwen", "llama", "openai", "ollama")
WRONG, RIGHT = "sk-wrong", KEYS["claude_api_key"]


async def _one_answer(router: LLMRouter) -> LLMResponse:
    return await router.acomplete(ask())


class TestParallelQuestions:
    @pytest.mark.parametrize(
        ("question", "names", "task"),
        [
            (query_multiple_packages, ["nginx", "redis"], "dependency_resolution"),
            (check_hardware_configs_parallel, ["nvidia_gpu", "intel_cpu"], "configuration"),
        ],
    )
    def test_by_name(self, router: LLMRouter, question: Any, names: list[str], task: str) -> None:
        """Each name has its answer, by the provider of the question's task type."""
        answers = asyncio.run(question(router, names, max_concurrent=2))
        assert list(answers) == names
        assert {answer.provider for answer in answers.values()} == {router.route_task(TaskType(task)).provider}

    def test_errors_in_their_order(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """The messages and the context reach the provider; answers come in the messages' order."""
        answers = asyncio.run(diagnose_errors_parallel(router, ["E: one", "E: two"], context="Debian 12"))
        bodies = [request.body for request in simulated.received("kimi_k2")]
        assert len(answers) == 2
        assert all("Debian 12" in body for body in bodies)
        assert [any(text in body for body in bodies) for text in ("E: one", "E: two")] == [True, True]

    def test_a_row_that_failed(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """It is the exception, and reads like the first router's response of the model "error"."""
        for name in ("claude", "kimi_k2"):
            simulated.behave(name, Behaviour(status=500))
        error = asyncio.run(query_multiple_packages(router, ["nginx"]))["nginx"]
        assert isinstance(error, ProvidersFailedError)
        row = vars(error)
        assert row["content"].startswith("Error: No AI providers are available")
        assert (row["model"], row["tokens_used"], row["cost_usd"], row["provider"]) == ("error", 0, 0.0, "claude")


class TestAttributes:
    @pytest.mark.parametrize("prefix", PREFIXES)
    def test_either_name_of_an_asynchronous_client(self, prefix: str) -> None:
        """`NAME_client_async` is `NAME_async_client`, for reading and for assigning."""
        router, client = LLMRouter(), object()
        setattr(router, f"{prefix}_client_async", client)
        assert getattr(router, f"{prefix}_async_client") is client

    def test_prices(self, router: LLMRouter) -> None:
        """COSTS has every provider's price a million tokens, of the class too; unknown is not 0."""
        assert set(LLMRouter.COSTS) == set(LLMProvider)
        assert router.COSTS[LLMProvider.CLAUDE] == {"input": 2.0, "output": 10.0}
        assert router.COSTS[LLMProvider.OLLAMA] == {"input": 0.0, "output": 0.0}
        assert math.isnan(router.COSTS[LLMProvider.OPENAI]["output"])

    def test_sums(self, router: LLMRouter) -> None:
        """The sums are attributes; reset_stats begins them again."""
        response = router.complete(ask())
        assert (router.request_count, router.total_cost_usd) == (1, response.cost_usd)
        spent = {"requests": 1, "tokens": response.tokens_used, "cost": response.cost_usd}
        nothing = {"requests": 0, "tokens": 0, "cost": 0.0}
        assert router.provider_stats[LLMProvider.CLAUDE] == spent
        assert router.provider_stats[LLMProvider.OPENAI] == nothing
        router.reset_stats()
        assert (router.request_count, router.total_cost_usd) == (0, 0.0)
        assert set(map(str, router.provider_stats.values())) == {str(nothing)}

    @pytest.mark.parametrize("name", ["COSTS", "total_cost_usd", "request_count", "provider_stats"])
    def test_what_is_for_reading(self, router: LLMRouter, name: str) -> None:
        """Assigning to a figure is an error, since nothing would follow it."""
        with pytest.raises(AttributeError, match=f"{name} cannot be assigned"):
            setattr(router, name, 1)

    def test_names_that_do_not_exist(self, router: LLMRouter) -> None:
        """Assigning to a misspelt attribute is an error that names the nearest; a subclass may have more."""
        with pytest.raises(AttributeError, match="'claude_cleint'; did you mean 'claude_client'"):
            router.claude_cleint = object()
        with pytest.raises(AttributeError, match=r"no attribute 'zzz'$"):
            router.zzz = 1
        router.track_costs = False

        class Own(LLMRouter):
            def __init__(self) -> None:
                super().__init__()
                self.name_of_mine = "x"

        assert Own().name_of_mine == "x"

    def test_forced(self, router: LLMRouter) -> None:
        """The reason of a forced choice says so."""
        assert "Forced" in router.route_task(TaskType.USER_CHAT, LLMProvider.KIMI_K2).reasoning

    def test_the_raw_response(self, router: LLMRouter) -> None:
        """A dictionary of all that the provider said."""
        response = router.complete(ask())
        assert response.raw_response["usage"]["output_tokens"] > 0


class TestSeveralKeys:
    @pytest.mark.parametrize("apart", [",", " ", "; ", "\n"])
    @pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "loop"])
    def test_the_next_one(
        self, make: MakeRouter, simulated: SimulatedProviders, apart: str, asynchronous: bool
    ) -> None:
        """A key that is refused is followed by the next, which from then on comes first."""
        router = make(claude_api_key=apart.join([WRONG, RIGHT]), kimi_api_key=None)
        for _ in range(2):
            response = asyncio.run(_one_answer(router)) if asynchronous else router.complete(ask())
            assert response.provider is LLMProvider.CLAUDE
        assert simulated.counts("claude").requests == 3

    def test_streamed(self, make: MakeRouter, simulated: SimulatedProviders) -> None:
        """A stream goes on to the next key as well, awaited or not."""
        router = make(claude_api_key=f"{WRONG},{RIGHT}", kimi_api_key=None)
        assert "".join(router.stream(ask()))

        async def text() -> str:
            return "".join([piece async for piece in router.astream(ask())])

        assert asyncio.run(text())

    def test_a_forced_provider(self, make: MakeRouter, simulated: SimulatedProviders) -> None:
        """Forced, and with fallback off, all of the provider's keys count as the provider."""
        router = make(claude_api_key=f"{WRONG},{RIGHT}", enable_fallback=False)
        assert router.complete(ask(), force_provider=LLMProvider.CLAUDE).provider is LLMProvider.CLAUDE

    def test_all_refused(self, make: MakeRouter, simulated: SimulatedProviders) -> None:
        """The next provider answers; each key was tried once, and the error would name none of them."""
        router = make(claude_api_key=f"{WRONG},{WRONG}-2")
        assert router.complete(ask()).provider is LLMProvider.KIMI_K2
        assert simulated.counts("claude").requests == 2

    def test_what_another_key_cannot_mend(self, make: MakeRouter, simulated: SimulatedProviders) -> None:
        """A server's own failure is not tried again with another key."""
        simulated.behave("claude", Behaviour(status=500))
        router = make(claude_api_key=f"{RIGHT},{WRONG}")
        assert router.complete(ask()).provider is LLMProvider.KIMI_K2
        assert simulated.counts("claude").requests == 1

    def test_by_variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """OPENAI_API_KEYS goes on where OPENAI_API_KEY ends; what cannot be a key is refused by name."""
        monkeypatch.setenv("OPENAI_API_KEYS", "sk-a sk-b")
        assert LLMRouter().route_task(TaskType.USER_CHAT).provider is LLMProvider.OPENAI
        monkeypatch.setenv("OPENAI_API_KEY", "k\u00e9y")
        with pytest.raises(InvalidRequestError, match="OPENAI_API_KEY"):
            LLMRouter()

"""What happens when a provider fails: each once, whose error is seen, and what stays out of it."""

from __future__ import annotations

import dataclasses

import anthropic
import openai
import pytest

from cortexd.config import defaults
from llm_router import (
    LLMProvider,
    LLMRouter,
    ProviderFailedError,
    ProviderNotConfiguredError,
    ProvidersFailedError,
    TaskType,
)
from simulated import Behaviour, Fault, SimulatedProviders
from tests.library.conftest import KEYS, MakeRouter, ask


class TestFallback:
    @pytest.mark.parametrize(
        "trouble",
        [
            Behaviour(status=401),
            Behaviour(status=429),
            Behaviour(status=400),
            Behaviour(status=529),
            Behaviour(fault=Fault.RESET),
            Behaviour(fault=Fault.RESET_MID_BODY),
            Behaviour(fault=Fault.MALFORMED_JSON),
            Behaviour(fault=Fault.EMPTY_BODY),
            Behaviour(fault=Fault.WRONG_CONTENT_TYPE),
            Behaviour(fault=Fault.ERROR_ON_200),
            Behaviour(content_json="7"),
        ],
        ids=lambda behaviour: str(behaviour.fault or behaviour.content_json or behaviour.status),
    )
    @pytest.mark.parametrize(("task", "failing"), [(TaskType.USER_CHAT, "claude"), (TaskType.CONFIGURATION, "kimi_k2")])
    async def test_the_other_answers(
        self, make: MakeRouter, simulated: SimulatedProviders, trouble: Behaviour, task: TaskType, failing: str
    ) -> None:
        """Whatever goes wrong with the first, the other answers, from threads and event loops alike."""
        simulated.behave(failing, trouble)
        blocking, awaiting = make(), make()
        responses = [blocking.complete(ask(), task), await awaiting.acomplete(ask(), task)]
        other = "kimi_k2" if failing == "claude" else "claude"
        assert [response.provider.value for response in responses] == [other, other]
        assert simulated.counts(failing).requests == 2
        assert blocking.get_stats()["providers"][failing]["requests"] == 0
        await awaiting.aclose()

    async def test_a_silent_provider(
        self, make: MakeRouter, simulated: SimulatedProviders, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A provider that takes the request and says nothing is given up after its time-out."""
        impatient = tuple(dataclasses.replace(item, timeout_s=0.2) for item in defaults.PROVIDERS)
        monkeypatch.setattr(defaults, "PROVIDERS", impatient)
        simulated.behave("claude", Behaviour(fault=Fault.HANG))
        router = make()
        assert router.complete(ask()).provider is LLMProvider.KIMI_K2
        assert (await router.acomplete(ask())).provider is LLMProvider.KIMI_K2
        await router.aclose()

    def test_ping_pong_ends(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """When both fail, each was asked once, and the error has both reasons and both exceptions."""
        simulated.behave("claude", Behaviour(status=500, error_message="claude is down"))
        simulated.behave("kimi_k2", Behaviour(status=503, error_message="kimi is down"))
        with pytest.raises(ProvidersFailedError) as caught:
            router.complete(ask())
        assert (simulated.counts("claude").requests, simulated.counts("kimi_k2").requests) == (1, 1)
        text = str(caught.value)
        assert text.startswith(
            "No AI providers are available. Check your API keys. claude (claude-sonnet-5-5) had an error of its own: "
        )
        assert ("claude is down" in text, "kimi is down" in text) == (True, True)
        claude, kimi = caught.value.errors.values()
        assert (type(claude), type(kimi)) == (anthropic.InternalServerError, openai.InternalServerError)
        assert (list(caught.value.errors), caught.value.__cause__) == (["claude", "kimi_k2"], kimi)

    async def test_ping_pong_ends_in_a_loop(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """The same for acomplete."""
        for name in ("claude", "kimi_k2"):
            simulated.behave(name, Behaviour(status=500))
        with pytest.raises(ProvidersFailedError, match=r"claude .* kimi_k2"):
            await router.acomplete(ask())
        assert (simulated.counts("claude").requests, simulated.counts("kimi_k2").requests) == (1, 1)
        await router.aclose()

    def test_every_remaining_provider(self, make: MakeRouter, simulated: SimulatedProviders) -> None:
        """A third provider is tried as well, after the default one."""
        for name in ("claude", "kimi_k2"):
            simulated.behave(name, Behaviour(status=500))
        simulated.behave("deepseek", Behaviour(models=("deepseek-flash",)))
        router = make(deepseek_api_key="sk-sim-deep", deepseek_base_url=simulated.url("deepseek", "openai"))
        assert router.complete(ask(), TaskType.CONFIGURATION).provider is LLMProvider.DEEPSEEK

    def test_a_key_is_never_shown(self, make: MakeRouter, simulated: SimulatedProviders) -> None:
        """An error text that repeats the key loses it."""
        for name in ("claude", "kimi_k2"):
            simulated.behave(name, Behaviour(status=401, error_message=f"bad key {KEYS['claude_api_key']}"))
        with pytest.raises(ProvidersFailedError) as caught:
            make(kimi_api_key=KEYS["claude_api_key"]).complete(ask())
        assert KEYS["claude_api_key"] not in str(caught.value)

    def test_a_refused_key_is_not_tried_each_time(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """After a refused key the other provider is asked first for a while, and the decision says why."""
        simulated.behave("kimi_k2", Behaviour(status=401))
        for _ in range(3):
            assert router.complete(ask(), TaskType.CONFIGURATION).provider is LLMProvider.CLAUDE
        assert simulated.counts("kimi_k2").requests == 1
        decision = router.route_task(TaskType.CONFIGURATION)
        assert (decision.provider, "avoided" in decision.reasoning) == (LLMProvider.CLAUDE, True)


class TestNoFallback:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [(401, anthropic.AuthenticationError), (429, anthropic.RateLimitError), (500, anthropic.InternalServerError)],
    )
    async def test_the_sdks_own_error(
        self, make: MakeRouter, simulated: SimulatedProviders, status: int, kind: type[anthropic.APIStatusError]
    ) -> None:
        """With fallback off the SDK's own exception comes through, and nobody else is asked."""
        simulated.behave("claude", Behaviour(status=status))
        router = make(enable_fallback=False)
        with pytest.raises(kind) as caught:
            router.complete(ask())
        with pytest.raises(kind):
            await router.acomplete(ask())
        assert (caught.value.status_code, simulated.counts("kimi_k2").requests) == (status, 0)
        await router.aclose()

    def test_the_sdks_own_connection_error(self, make: MakeRouter) -> None:
        """The same where nobody is reached."""
        router = make(enable_fallback=False, kimi_base_url="http://127.0.0.1:9/v1")
        with pytest.raises(openai.APIConnectionError):
            router.complete(ask(), TaskType.CONFIGURATION)

    def test_a_forced_provider(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """A forced provider's error comes through although fallback is on: forced means that one alone."""
        simulated.behave("kimi_k2", Behaviour(status=500))
        with pytest.raises(openai.InternalServerError):
            router.complete(ask(), force_provider=LLMProvider.KIMI_K2)
        assert simulated.counts("claude").requests == 0

    def test_no_answer_at_all(self, make: MakeRouter, simulated: SimulatedProviders) -> None:
        """Where the SDK sees no error but what came is no answer, the error is the library's."""
        simulated.behave("claude", Behaviour(fault=Fault.ERROR_ON_200))
        with pytest.raises(ProviderFailedError, match=r"^claude"):
            make(enable_fallback=False).complete(ask())

    def test_switched_off_later(self, router: LLMRouter, simulated: SimulatedProviders) -> None:
        """enable_fallback is an attribute that holds from the next call on."""
        simulated.behave("claude", Behaviour(status=500))
        assert router.complete(ask()).provider is LLMProvider.KIMI_K2
        router.enable_fallback = False
        with pytest.raises(anthropic.InternalServerError):
            router.complete(ask())

    def test_one_provider_and_fallback_on(self, make: MakeRouter, simulated: SimulatedProviders) -> None:
        """With nobody to fall back to, the error is the library's and has the SDK's as its cause."""
        simulated.behave("claude", Behaviour(status=500))
        with pytest.raises(ProvidersFailedError) as caught:
            make(kimi_api_key=None).complete(ask())
        assert isinstance(caught.value.__cause__, anthropic.InternalServerError)
        assert not isinstance(caught.value, ProviderNotConfiguredError)

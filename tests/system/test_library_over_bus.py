"""LLMRouter(bus=True) where polkit and budgets decide: who is asked, and which error a program gets."""

from __future__ import annotations

from collections.abc import Callable

from llm_router import LLMProvider, LLMRouter, TaskType
from simulated import Behaviour, ControlClient
from tests.system.daemon import Daemon
from tests.system.namespace import PYTHON
from tests.system.people import Completed

AsUser = Callable[..., Completed]
MakeDaemon = Callable[..., Daemon]
PROGRAM = """
import sys
from cortexd import errors
from llm_router import LLMRouter, LLMRouterError, ProviderNotConfiguredError
with LLMRouter(bus=True) as router:
    try:
        print(router.complete([{"role": "user", "content": "hello"}], sys.argv[1]).content)
    except LLMRouterError as error:
        kinds = (errors.AccessDenied, errors.BudgetExceeded, errors.ServiceUnavailable, ProviderNotConfiguredError)
        print(*[kind.__name__ for kind in kinds if isinstance(error, kind)], error)
    print(router.get_stats()["total_requests"])
"""


def program(task: str = "user_chat") -> list[str]:
    return [PYTHON, "-c", PROGRAM, task]


def lines(done: Completed) -> list[str]:
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


class TestPolkit:
    def test_a_user_who_may(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """A member of group cortex is answered with the system's key; its environment holds none."""
        daemon()
        assert lines(as_user("alice", program())) == ["[claude-sonnet-5-5] You said: hello", "1"]

    def test_a_user_who_is_asked(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """A system operation asks for a password where an agent runs, and is answered once it was given."""
        daemon()
        done = as_user("alice", program("system_operation"), agent="allow")
        assert lines(done) == ["[kimi-k2.6] You said: hello", "1"]
        assert [asked.action_id for asked in done.asked] == ["org.cortexlinux.LLMRouter.system-operation"]

    def test_a_user_who_may_not(self, daemon: MakeDaemon, as_user: AsUser, simulated: ControlClient) -> None:
        """Without an agent the error is AccessDenied and an LLMRouterError both, and no provider hears of it."""
        daemon()
        said, total = lines(as_user("bob", program()))
        assert (said.startswith("AccessDenied "), total) == (True, "0")
        assert simulated.counts("claude").requests == 0


class TestMoney:
    def test_an_exhausted_budget(self, daemon: MakeDaemon, as_user: AsUser, simulated: ControlClient) -> None:
        """A request that a budget has no room for is BudgetExceeded, with its figures."""
        daemon(config='[budgets.each_user]\nday_usd = "0.0001"\n')
        said, total = lines(as_user("alice", program()))
        assert (said.startswith("BudgetExceeded "), "period=day" in said, total) == (True, True, "0")
        assert simulated.counts("claude").requests == 0


class TestOperator:
    def test_the_systems_routing_and_the_programs_rules(self, daemon: MakeDaemon) -> None:
        """The operator's table decides where the program has no rule of its own, and the program's where it has."""
        daemon(config='[routing.table]\nuser_chat = "kimi_k2"\n')
        messages = [{"role": "user", "content": "hello"}]
        with LLMRouter(bus=True) as router:
            assert router.complete(messages).provider is LLMProvider.KIMI_K2
            assert router.route_task(TaskType.USER_CHAT).confidence == 0.95
            router.ROUTING_RULES[TaskType.USER_CHAT] = LLMProvider.CLAUDE
            assert router.complete(messages).provider is LLMProvider.CLAUDE
            assert router.route_task(TaskType.USER_CHAT).provider is LLMProvider.CLAUDE

    def test_a_provider_of_the_operators_own(self, daemon: MakeDaemon, simulated: ControlClient) -> None:
        """A provider that LLMProvider does not know answers under its name, and can be forced by it."""
        simulated.behave("ours", Behaviour(keys=("none",), models=("our-model",)))
        endpoint = f'api = "openai"\nbase_url = "{simulated.url("ours")}"\nmodel = "our-model"\nlocal = true\n'
        daemon(config=f'[providers.ours]\n{endpoint}[routing.table]\nuser_chat = "ours"\n')
        messages = [{"role": "user", "content": "hello"}]
        with LLMRouter(bus=True) as router:
            for force in (None, "ours"):
                response = router.complete(messages, force_provider=force)
                assert (response.provider, response.provider.value, response.model) == ("ours", "ours", "our-model")
            assert router.get_stats()["providers"]["ours"]["requests"] == 2


class TestWithout:
    def test_a_daemon(self, as_user: AsUser) -> None:
        """The error says how to start it."""
        said, _ = lines(as_user("alice", program()))
        assert said.startswith("ServiceUnavailable cortexd is not running on the system bus. Start it with")

    def test_keys(self, daemon: MakeDaemon, as_user: AsUser) -> None:
        """Where the system has no key the error names the provider, as in process."""
        daemon(keys={})
        said, _ = lines(as_user("alice", program()))
        assert said.startswith(
            "ProviderNotConfiguredError Claude API not configured and no fallback available: claude:"
        )

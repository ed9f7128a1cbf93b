"""LLMRouter(bus=...): a program's own rules, its errors, what it imports, and how long it lives."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import inspect
import os
import runpy
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cortexd import errors
from cortexd.client import Client
from cortexd.library.errors import NOBODY
from llm_router import (
    InvalidRequestError,
    LLMProvider,
    LLMRouter,
    LLMRouterError,
    ProviderFailedError,
    ProviderNotConfiguredError,
    ProvidersFailedError,
    TaskType,
)
from simulated import Behaviour
from tests.bus.served import Served, served_fixture, served_of_module_fixture  # noqa: F401
from tests.eventually import assert_eventually
from tests.library.conftest import ask
from tests.library.over_bus import (  # noqa: F401
    BROKEN,
    NEEDS_A_BUS,
    MakePair,
    Pair,
    pair_fixture,
    pair_of_fixture,
    raised,
    router_fixture,
    said,
)
from tests.library.test_answers import BOTH

pytestmark = NEEDS_A_BUS
ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("anthropic", "openai", "sqlalchemy", "msgspec", "aiohttp", "httpx2", "pydantic", "click", "rich")


class TestRules:
    def test_own_rules_go_along(self, pair: Pair) -> None:
        """A rule that the program sets holds for its calls, and others may still stand in."""
        for router in pair:
            router.ROUTING_RULES[TaskType.CODE_GENERATION] = LLMProvider.CLAUDE
        own, bus = pair.both(lambda router: router.complete(ask(), TaskType.CODE_GENERATION))
        assert said(own) == said(bus)
        assert bus.provider is LLMProvider.CLAUDE
        decisions = pair.both(lambda router: router.route_task(TaskType.CODE_GENERATION))
        assert decisions[0] == decisions[1]

    def test_a_strategy_stands_above_them(self, pair: Pair) -> None:
        """A call that names one, and the decision beside it; `table` is the program's own."""
        for router in pair:
            router.ROUTING_RULES[TaskType.USER_CHAT] = LLMProvider.CLAUDE
        own, bus = pair.both(lambda router: router.complete(ask(), TaskType.USER_CHAT, strategy="cost"))
        assert own.provider is bus.provider is LLMProvider.KIMI_K2
        decisions = pair.both(lambda router: router.route_task(TaskType.USER_CHAT, strategy="cost"))
        assert [item.provider for item in decisions] == [LLMProvider.KIMI_K2] * 2
        tabled = pair.both(lambda router: router.complete(ask(), TaskType.USER_CHAT, strategy="table"))
        assert [item.provider for item in tabled] == [LLMProvider.CLAUDE] * 2

    def test_own_rules_fall_back(self, served: Served, pair: Pair) -> None:
        """A provider of the program's own choice is stood in for as any other."""
        for router in pair:
            served.simulated.behave("claude", dataclasses.replace(BROKEN, times=1), Behaviour())
            router.ROUTING_RULES[TaskType.CONFIGURATION] = LLMProvider.CLAUDE
            assert router.complete(ask(), TaskType.CONFIGURATION).provider is LLMProvider.KIMI_K2
            assert router.complete(ask(), TaskType.CONFIGURATION).provider is LLMProvider.CLAUDE

    def test_what_counts_as_the_programs_own(self, served: Served) -> None:
        """What is set, deleted or replaced is the program's, and so is a subclass's table; the rest is cortexd's."""

        class Mine(LLMRouter):
            ROUTING_RULES = {**LLMRouter.ROUTING_RULES, TaskType.CONFIGURATION: LLMProvider.CLAUDE}  # noqa: RUF012

        with LLMRouter(bus=served.address) as plain, Mine(bus=served.address) as mine:
            assert dict(plain.ROUTING_RULES) == dict(LLMRouter.ROUTING_RULES)
            assert (plain._rules().own, mine._rules().own) == (set(), {TaskType.CONFIGURATION})
            plain.ROUTING_RULES[TaskType.USER_CHAT] = LLMProvider.CLAUDE  # as it was, and now wanted
            assert plain._rules().own == {TaskType.USER_CHAT}
            plain.default_provider = LLMProvider.KIMI_K2
            del plain.ROUTING_RULES[TaskType.USER_CHAT]
            assert plain.complete(ask()).provider is LLMProvider.KIMI_K2
            plain.ROUTING_RULES = {TaskType.USER_CHAT: "claude"}  # type: ignore[dict-item]
            assert plain.complete(ask()).provider is LLMProvider.CLAUDE
            assert plain._rules().own == set(TaskType)

    def test_outcomes(self, served: Served, pair: Pair) -> None:
        """Over the bus they are reported, of a stream's answer too; in process nobody is there to learn from them."""
        with LLMRouter(bus=served.address) as router, Client(served.address) as client:
            stream = router.stream(ask())
            list(stream)
            answer, streamed = router.complete(ask()), stream.response
            assert streamed is not None
            for response, good in ((answer, True), (streamed, 0.25)):
                router.report_outcome(response, good, "as it was asked", source="program")
                asyncio.run(router.areport_outcome(response, good))
                record = client.request(response.raw_response["request_id"])
                assert {said.source: said.score for said in record.outcomes} == {"program": good, "user": good}
            for wrong in ((dataclasses.replace(answer, raw_response=None), True), (answer, "fine"), (answer, 2)):
                with pytest.raises(InvalidRequestError):
                    router.report_outcome(*wrong)
        with pytest.raises(LLMRouterError, match="bus=True"):
            pair.own.report_outcome(answer, True)
        with pytest.raises(LLMRouterError, match="bus=True"):
            asyncio.run(pair.own.areport_outcome(answer, True))

    @pytest.mark.parametrize("task", TaskType)
    def test_decisions(self, pair: Pair, task: TaskType) -> None:
        """route_task says the same, forced or not, and spends nothing."""
        for forced in (None, LLMProvider.CLAUDE, "kimi_k2"):
            own, bus = pair.both(partial(LLMRouter.route_task, task_type=task, force_provider=forced))
            assert own == bus
        assert pair.bus.get_stats()["total_requests"] == 0

    def test_a_provider_of_the_operators_own(self, served: Served) -> None:
        """A provider that LLMProvider does not name answers under its name."""
        from cortexd.library.over_bus.answers import provider_named

        found = provider_named("vllm")
        assert (found, found.value, f"{found}", isinstance(found, LLMProvider)) == ("vllm", "vllm", "vllm", True)
        assert {found: 1}[provider_named("vllm")] == 1
        assert provider_named("claude") is LLMProvider.CLAUDE
        assert "vllm" not in list(LLMProvider)


class TestErrors:
    @pytest.mark.parametrize(
        "arguments",
        [
            {"messages": []},
            {"messages": "hello"},
            {"messages": [{"role": "nobody", "content": "x"}]},
            {"messages": ask(), "max_tokens": 0},
            {"messages": ask(), "temperature": 3},
            {"messages": ask(), "tools": [{"type": "function"}]},
            {"messages": ask(), "task_type": "user_chatt"},
            {"messages": ask(), "force_provider": "gpt"},
            {"messages": ask(), "force_provider": 7},
        ],
    )
    def test_what_cannot_be_sent(self, pair: Pair, arguments: dict[str, Any]) -> None:
        """A malformed request is refused with the same error, which names the argument in the same way."""
        own, bus = pair.both(lambda router: raised(lambda: router.complete(**arguments)))
        assert type(own) is type(bus) is InvalidRequestError
        if "force_provider" not in arguments:
            assert str(own) == str(bus)

    def test_everybody_fails(self, served: Served, pair: Pair) -> None:
        """The error is the same and has every provider's words."""
        for name in ("claude", "kimi_k2"):
            served.simulated.behave(name, dataclasses.replace(BROKEN, times=2))
        own, bus = pair.both(lambda router: raised(lambda: router.complete(ask())))
        assert isinstance(own, ProvidersFailedError)
        assert isinstance(bus, ProvidersFailedError)
        assert list(own.errors) == list(bus.errors) == ["claude", "kimi_k2"]
        assert str(bus.errors[LLMProvider.KIMI_K2]) == "kimi_k2 had an error of its own"
        assert "out of order" in str(bus)
        assert str(bus).startswith(NOBODY)
        assert "claude (claude-sonnet-5-5) had an error of its own: " in str(bus)
        assert isinstance(bus.__cause__, errors.NoProviderAvailable)
        for name in BOTH:
            pair.bus.complete(ask(), force_provider=name)

    def test_alone(self, served: Served, pair_of: MakePair) -> None:
        """A forced provider is asked alone, and so is everyone with fallback off."""
        served.simulated.behave("claude", dataclasses.replace(BROKEN, times=2))
        router = pair_of(enable_fallback=False).bus
        for call in (lambda: router.complete(ask()), lambda: router.complete(ask(), force_provider=LLMProvider.CLAUDE)):
            assert isinstance(raised(call), ProviderFailedError)
        assert served.simulated.counts("kimi_k2").requests == 0
        router.complete(ask())

    def test_not_configured(self, pair: Pair) -> None:
        """A provider without a key in the system's configuration is named as in process."""
        for call in (
            lambda router: router.complete(ask(), force_provider="deepseek"),
            lambda router: router.route_task(TaskType.USER_CHAT, "deepseek"),
        ):
            own, bus = (raised(partial(call, router)) for router in pair)
            assert type(own) is type(bus) is ProviderNotConfiguredError
            assert str(bus).startswith(str(own))

    @pytest.mark.parametrize(
        "error",
        [
            errors.AccessDenied("no"),
            errors.InteractiveAuthorizationRequired("no"),
            errors.BudgetExceeded("no", period="day"),
            errors.RateLimited("no", retry_after_ms=5),
            errors.Timeout("no"),
            errors.ServiceUnavailable("no"),
            errors.Internal("no"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_the_systems_own(self, error: errors.CortexError) -> None:
        """What cannot happen in process is an error of cortexd.errors and an LLMRouterError both."""
        from cortexd.library.over_bus.failures import ours

        found = ours(error, fallback=True)
        assert isinstance(found, type(error))
        assert isinstance(found, RuntimeError)
        assert (str(found), found.details) == (str(error), error.details)
        assert type(found) is type(ours(error, fallback=False))

    def test_nobody_there(self, tmp_path: Path) -> None:
        """Without a bus the error says so; making the router asks nobody."""
        with LLMRouter(bus=f"unix:path={tmp_path}/none") as router:
            error = raised(lambda: router.complete(ask()))
        assert isinstance(error, errors.ServiceUnavailable)
        assert "cannot reach the bus" in str(error)

    @pytest.mark.parametrize("name", ["claude_api_key", "kimi_base_url", "openai_model"])
    def test_keys_are_refused(self, name: str) -> None:
        """A key, an address or a model beside bus= is an error that says what to do."""
        given: dict[str, Any] = {"bus": True, name: "x"}
        with pytest.raises(ValueError, match=rf"^{name}: with bus= .* leave out bus= to use your own"):
            LLMRouter(**given)
        assert LLMRouter(**{**given, name: None}).claude_client is None
        with pytest.raises(TypeError, match="did you mean"):
            LLMRouter(bus=True, clod_api_key="x")

    @pytest.mark.parametrize("bus", ["", "sesion", 7, None])
    def test_what_is_no_bus(self, bus: Any) -> None:
        """Neither a known bus nor an address: refused at once."""
        with pytest.raises(ValueError, match=r"^bus: expected True"):
            LLMRouter(bus=bus)


class TestSurface:
    def test_no_sdk_clients(self, router: LLMRouter) -> None:
        """Every client attribute is None, and none can be put there."""
        names = [name for name in dir(LLMRouter) if name.endswith("_client")]
        assert len(names) == 14
        assert {getattr(router, name) for name in names} == {None}
        with pytest.raises(AttributeError, match="leave out bus="):
            router.claude_client = object()

    def test_the_same_methods(self) -> None:
        """Both engines take the same calls."""
        from cortexd.library.in_process.engine import Engine
        from cortexd.library.over_bus.engine import BusEngine

        def methods(kind: type) -> dict[str, list[str]]:
            found = inspect.getmembers(kind, inspect.isfunction)
            return {name: [*inspect.signature(it).parameters] for name, it in found if not name.startswith("_")}

        assert methods(Engine) == methods(BusEngine)

    def test_brings_dbus_next_alone(self, served: Served) -> None:
        """A program over the bus imports the standard library, dbus-next and cortexd, whatever it calls."""
        code = (
            "import sys\n"
            "before = set(sys.modules)\n"
            f"class Refused:\n    def find_spec(self, name, *rest):\n        assert name not in {HEAVY}, name\n"
            "sys.meta_path.insert(0, Refused())\n"
            "import asyncio\n"
            "from llm_router import LLMRouter\n"
            f"with LLMRouter(bus={served.address!r}) as router:\n"
            "    messages = [{'role': 'user', 'content': 'hi'}]\n"
            "    router.complete(messages, tools=[{'name': 'f', 'parameters': {'type': 'object'}}])\n"
            "    ''.join(router.stream(messages)), router.route_task('configuration'), router.get_stats()\n"
            "    router.ROUTING_RULES['user_chat'] = 'claude'\n"
            "    try: router.complete([])\n"
            "    except ValueError: pass\n"
            "    asyncio.run(router.complete_batch([{'messages': messages}]))\n"
            "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
            "print(sorted(new - sys.stdlib_module_names), router.get_stats()['total_requests'])\n"
        )
        argv = [sys.executable, "-W", "error", "-c", code]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=ROOT)
        assert (done.stdout, done.stderr) == ("['cortexd', 'dbus_next', 'llm_router'] 3\n", "")

    def test_the_guides_example(
        self, served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The example of docs/python-library.md runs as printed, on the system bus."""
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", served.address)
        runpy.run_path(str(ROOT / "docs" / "examples" / "over_the_bus.py"))
        assert capsys.readouterr().out == (
            "kimi_k2: [kimi-k2.6] You said: Why did nginx not start?\nCost: $0.000054\n"
            "Settled in the ledger: True\nclaude\n"
        )

    def test_keys_of_the_environment_do_not_count(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        """Keys in the program's environment are neither used nor an error."""
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-mine")
        served.simulated.behave("claude", Behaviour(keys=("sk-sim-claude",)))
        with LLMRouter(bus=served.address) as router:
            assert router.complete(ask()).provider is LLMProvider.CLAUDE


class TestLives:
    def test_through_a_restart_of_the_daemon(self, served: Served, router: LLMRouter) -> None:
        """While the daemon is away calls say so; afterwards they are answered, and the statistics go on."""
        router.complete(ask())
        served.stop(signal.SIGKILL)
        error = raised(lambda: router.complete(ask()))
        assert isinstance(error, errors.ServiceUnavailable)
        served.start()
        router.complete(ask())
        assert router.get_stats()["total_requests"] == 2

    async def test_through_a_restart_of_the_bus(self, served: Served, router: LLMRouter) -> None:
        """The same for the bus itself, in threads and in event loops."""
        async with router:
            await router.acomplete(ask())
            router.complete(ask())
            served.end_bus()
            with pytest.raises(errors.ServiceUnavailable):
                await router.acomplete(ask())
            served.start_bus()
            served.start()
            assert (await router.acomplete(ask())).content == router.complete(ask()).content
        assert router.get_stats()["total_requests"] == 4

    def test_after_closing(self, router: LLMRouter) -> None:
        """A router that was closed connects again when it is used."""
        router.complete(ask())
        router.close()
        router.close()
        assert router.complete(ask()).content

    def test_after_a_fork(self, served: Served) -> None:
        """A child of the process is told to make a router of its own, and does not wait for one that cannot answer."""
        code = (
            "import os\n"
            "from llm_router import LLMRouter, LLMRouterError\n"
            f"messages, router = [{{'role': 'user', 'content': 'hi'}}], LLMRouter(bus={served.address!r})\n"
            "router.complete(messages)\n"
            "child = os.fork()\n"
            "try: print(router.complete(messages).content, flush=True)\n"
            "except LLMRouterError as error: print(error, flush=True)\n"
            "router.close()\n"
            "if child: os.waitpid(child, 0)\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
        assert sorted(done.stdout.splitlines()) == [
            "[claude-sonnet-5-5] You said: hi",
            "this router was used before the process forked: make one after the fork",
        ]

    def test_leaves_nothing(self, served: Served) -> None:
        """Closed, dropped, or ended with its loop: no descriptor and no thread stays."""

        def left() -> tuple[int, int]:
            return len(os.listdir("/proc/self/fd")), threading.active_count()

        gc.collect()
        before = left()
        closed, dropped = LLMRouter(bus=served.address), LLMRouter(bus=served.address)
        closed.complete(ask())
        dropped.complete(ask())
        asyncio.run(closed.acomplete(ask()))
        asyncio.run(dropped.complete_batch([{"messages": ask()}] * 3))
        closed.close()
        del dropped
        gc.collect()
        assert_eventually(lambda: left() <= before)

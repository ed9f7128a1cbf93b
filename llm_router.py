"""The LLM Router of Cortex Linux as a Python library: in this process with keys of your own, or over the daemon.

    from llm_router import LLMRouter, TaskType

    router = LLMRouter()   # keys: ANTHROPIC_API_KEY and MOONSHOT_API_KEY
    response = router.complete([{"role": "user", "content": "Hello!"}], task_type=TaskType.USER_CHAT)

`LLMRouter(bus=True)` asks the running cortexd instead: the system's keys, rules, budgets and ledger, and nothing but
dbus-next to import. Otherwise routing, prices and the vendors' formats are cortexd's own, in this process.

Importing this imports no SDK; `Anthropic`, `AsyncAnthropic`, `OpenAI` and `AsyncOpenAI` are names of this module that
are looked up whenever a client is made. docs/python-library.md shows the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, MutableMapping
from functools import partial
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from cortexd import vendored
from cortexd.domain.tasks import TaskType
from cortexd.library.attributes import Client, DefaultRules, Prices, ReadOnly, refuse_unknown
from cortexd.library.errors import (
    InvalidRequestError,
    LLMRouterError,
    ProviderFailedError,
    ProviderNotConfiguredError,
    ProvidersFailedError,
)
from cortexd.library.parallel import (
    check_hardware_configs_parallel,
    diagnose_errors_parallel,
    query_multiple_packages,
)
from cortexd.library.types import LLMProvider, LLMResponse, RoutingDecision
from cortexd.library.wish import Rules, Wish

if TYPE_CHECKING:
    from anthropic import Anthropic as Anthropic
    from anthropic import AsyncAnthropic as AsyncAnthropic
    from openai import AsyncOpenAI as AsyncOpenAI
    from openai import OpenAI as OpenAI

    from cortexd.library.in_process.engine import Engine
    from cortexd.library.over_bus.engine import BusEngine
    from cortexd.library.text_streams import AsyncTextStream, TextStream

__all__ = [
    "InvalidRequestError",
    "LLMProvider",
    "LLMResponse",
    "LLMRouter",
    "LLMRouterError",
    "ProviderFailedError",
    "ProviderNotConfiguredError",
    "ProvidersFailedError",
    "RoutingDecision",
    "TaskType",
    "check_hardware_configs_parallel",
    "complete_task",
    "diagnose_errors_parallel",
    "query_multiple_packages",
]

_SDK_OF = {"Anthropic": "anthropic", "AsyncAnthropic": "anthropic", "OpenAI": "openai", "AsyncOpenAI": "openai"}
_SETTABLE = ("default_provider", "enable_fallback", "track_costs")
Messages = Iterable[Mapping[str, Any]]


def __getattr__(name: str) -> Any:
    """The SDKs' classes, imported when somebody asks for them."""
    if name not in _SDK_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    vendored.make_importable()
    return getattr(import_module(_SDK_OF[name]), name)


def _sdk_class(name: str) -> Any:
    return getattr(sys.modules[__name__], name)


def _engine(bus: bool | str, arguments: Mapping[str, str | None]) -> Engine | BusEngine:
    if bus is False:
        vendored.make_importable()
        from cortexd.library.in_process.engine import Engine

        return Engine(arguments, _sdk_class)
    from cortexd.library.over_bus.engine import BusEngine

    return BusEngine(bus, arguments)


def _own_rules(table: Mapping[TaskType, LLMProvider], *, remembers: bool) -> MutableMapping[TaskType, LLMProvider]:
    """A router's copy of its class's table, that of the bus with a memory of what the program changed."""
    if not remembers:
        return dict(table)
    from cortexd.library.over_bus.asking import OwnRules

    return OwnRules(table, LLMRouter.ROUTING_RULES)


class LLMRouter:
    """Asks the provider that suits the task, and the others when that one fails.

    Any number of threads and event loops may share one router. `default_provider`, `enable_fallback`, `track_costs`
    and `ROUTING_RULES` are attributes that may be changed; calls from then on follow them. Assigning to a name that
    does not exist is an AttributeError. `NAME_client` and `NAME_async_client` or `NAME_client_async` (claude, kimi,
    deepseek, qwen, llama, openai, ollama) are the SDKs' clients; an asynchronous one belongs to the running event
    loop, one that was assigned to all of them.

    For reading: `COSTS` (provider -> USD per million tokens of its default model, `input` and `output`, NaN where not
    known), `total_cost_usd`, `request_count`, and `provider_stats` (provider -> `requests`, `tokens`, `cost`).

    provider_settings: `NAME_api_key`, `NAME_base_url` and `NAME_model` for each of these names. Without a key
    argument the environment is asked (ANTHROPIC_API_KEY, MOONSHOT_API_KEY, DEEPSEEK_API_KEY, DASHSCOPE_API_KEY,
    GROQ_API_KEY, OPENAI_API_KEY and OPENAI_API_KEYS). Several keys, apart by commas or blanks, are tried in turn where
    one is refused, used up or rate limited. Ollama is used only where `ollama_base_url` or `ollama_model`, or
    OLLAMA_BASE_URL or OLLAMA_MODEL, asks for it.

    `bus`: True asks cortexd on the system bus, "session" or a D-Bus address another one. No key may be given then, and
    the environment's do not count. A rule that the program sets in ROUTING_RULES goes along with its calls; for all
    others cortexd's routing holds. The clients are None.

    Raises TypeError for an unknown setting and InvalidRequestError for one that cannot be used.
    """

    ROUTING_RULES = DefaultRules()
    COSTS = Prices()

    total_cost_usd = ReadOnly(lambda router: router._engine.statistics.total_cost_usd, "reset_stats() begins again")
    request_count = ReadOnly(lambda router: router._engine.statistics.request_count, "reset_stats() begins again")
    provider_stats = ReadOnly(lambda router: router._engine.statistics.by_provider(), "reset_stats() begins again")

    claude_client = Client(LLMProvider.CLAUDE)
    claude_async_client = Client(LLMProvider.CLAUDE, asynchronous=True)
    claude_client_async = claude_async_client
    kimi_client = Client(LLMProvider.KIMI_K2)
    kimi_async_client = Client(LLMProvider.KIMI_K2, asynchronous=True)
    kimi_client_async = kimi_async_client
    deepseek_client = Client(LLMProvider.DEEPSEEK)
    deepseek_async_client = Client(LLMProvider.DEEPSEEK, asynchronous=True)
    deepseek_client_async = deepseek_async_client
    qwen_client = Client(LLMProvider.QWEN)
    qwen_async_client = Client(LLMProvider.QWEN, asynchronous=True)
    qwen_client_async = qwen_async_client
    llama_client = Client(LLMProvider.LLAMA)
    llama_async_client = Client(LLMProvider.LLAMA, asynchronous=True)
    llama_client_async = llama_async_client
    openai_client = Client(LLMProvider.OPENAI)
    openai_async_client = Client(LLMProvider.OPENAI, asynchronous=True)
    openai_client_async = openai_async_client
    ollama_client = Client(LLMProvider.OLLAMA)
    ollama_async_client = Client(LLMProvider.OLLAMA, asynchronous=True)
    ollama_client_async = ollama_async_client

    def __init__(
        self,
        claude_api_key: str | None = None,
        kimi_api_key: str | None = None,
        default_provider: LLMProvider = LLMProvider.CLAUDE,
        enable_fallback: bool = True,
        track_costs: bool = True,
        *,
        bus: bool | str = False,
        **provider_settings: str | None,
    ) -> None:
        keys = {"claude_api_key": claude_api_key, "kimi_api_key": kimi_api_key}
        self._engine = _engine(bus, {**keys, **provider_settings})
        self.default_provider = default_provider
        self.enable_fallback = enable_fallback
        self.track_costs = track_costs
        self.ROUTING_RULES = _own_rules(type(self).ROUTING_RULES, remembers=bus is not False)

    def __setattr__(self, name: str, value: object) -> None:
        if type(self) is LLMRouter:
            refuse_unknown(type(self), name, _SETTABLE)
        super().__setattr__(name, value)

    def route_task(
        self,
        task_type: TaskType,
        force_provider: LLMProvider | str | None = None,
        *,
        strategy: str | None = None,
    ) -> RoutingDecision:
        """Who would be asked first, and why; asks nobody. Raises LLMRouterError where nobody can answer."""
        return self._engine.route(task_type, force_provider, strategy, self._rules())

    def complete(
        self,
        messages: Messages,
        task_type: TaskType = TaskType.USER_CHAT,
        force_provider: LLMProvider | str | None = None,
        temperature: float | None = 0.7,
        max_tokens: int | None = 4096,
        tools: Iterable[Mapping[str, Any]] | None = None,
        *,
        strategy: str | None = None,
        on_break: str | None = None,
        hedge: bool | None = None,
    ) -> LLMResponse:
        """The answer to `messages` (dictionaries of role and content; tools in OpenAI's form).

        A forced provider is asked alone. Options that a model does not take are left out and named in the response's
        `dropped_options`. `strategy`: table, cost, latency, quality or balanced chooses in place of ROUTING_RULES;
        learned is the daemon's alone. With `hedge` the next provider is asked as well where the first takes longer than
        nineteen of twenty of its latest answers, and the quicker answer counts. Raises LLMRouterError, or the SDK's own
        error with fallback off or a forced provider.
        """
        asked = messages, task_type, force_provider, temperature, max_tokens, tools
        wish = Wish(*asked, strategy, on_break, hedge)
        return self._engine.complete(wish, self._rules())

    async def acomplete(
        self,
        messages: Messages,
        task_type: TaskType = TaskType.USER_CHAT,
        force_provider: LLMProvider | str | None = None,
        temperature: float | None = 0.7,
        max_tokens: int | None = 4096,
        tools: Iterable[Mapping[str, Any]] | None = None,
        *,
        strategy: str | None = None,
        on_break: str | None = None,
        hedge: bool | None = None,
    ) -> LLMResponse:
        """As `complete`, without blocking the event loop. Cancelling it closes the connection."""
        asked = messages, task_type, force_provider, temperature, max_tokens, tools
        wish = Wish(*asked, strategy, on_break, hedge)
        return await self._engine.acomplete(wish, self._rules())

    async def complete_batch(
        self, requests: Iterable[Mapping[str, Any]], max_concurrent: int | None = None
    ) -> list[LLMResponse | BaseException]:
        """Answer many `requests`, each a dictionary of `acomplete`'s arguments.

        Returns in their order what each gave: its LLMResponse, or in its place the exception that it raised. At most
        `max_concurrent` (32 where it is None) run at once, and never more than the rate limit allows.
        """
        calls = [partial(self._acomplete_row, row) for row in requests]
        return await self._engine.complete_batch(calls, max_concurrent)

    def stream(
        self,
        messages: Messages,
        task_type: TaskType = TaskType.USER_CHAT,
        force_provider: LLMProvider | str | None = None,
        temperature: float | None = 0.7,
        max_tokens: int | None = 4096,
        tools: Iterable[Mapping[str, Any]] | None = None,
        *,
        strategy: str | None = None,
        on_break: str | None = None,
        hedge: bool | None = None,
    ) -> TextStream:
        """The answer's text piece by piece; afterwards the stream's `response` is the LLMResponse.

        Other providers are tried only until the first piece is out; with `on_break` = "continue" the next one goes on
        where an answer broke off, and the text is one ("fail" and "restart" end with the error: no text can be taken
        back). `strategy` as of `complete`; `hedge` does nothing here. A stream that is left early is booked as far as
        its provider had reported its usage by then.
        """
        asked = messages, task_type, force_provider, temperature, max_tokens, tools
        wish = Wish(*asked, strategy, on_break, hedge)
        return self._engine.stream(wish, self._rules())

    def astream(
        self,
        messages: Messages,
        task_type: TaskType = TaskType.USER_CHAT,
        force_provider: LLMProvider | str | None = None,
        temperature: float | None = 0.7,
        max_tokens: int | None = 4096,
        tools: Iterable[Mapping[str, Any]] | None = None,
        *,
        strategy: str | None = None,
        on_break: str | None = None,
        hedge: bool | None = None,
    ) -> AsyncTextStream:
        """As `stream`, for `async for`."""
        asked = messages, task_type, force_provider, temperature, max_tokens, tools
        wish = Wish(*asked, strategy, on_break, hedge)
        return self._engine.astream(wish, self._rules())

    def report_outcome(self, response: LLMResponse, good: bool | float, reason: str = "", source: str = "user") -> None:
        """Say how well an answer served: True, False or a score from 0 to 1; a later word replaces an earlier one.

        `source`: user, test (a test's exit status), program (a check of your own) or judge (another model's grade).
        The daemon learns from it: without `bus=` nobody does, and LLMRouterError is raised.
        """
        self._engine.report(response, good, reason, source)

    async def areport_outcome(
        self, response: LLMResponse, good: bool | float, reason: str = "", source: str = "user"
    ) -> None:
        """As report_outcome."""
        await self._engine.areport(response, good, reason, source)

    def get_stats(self) -> dict[str, Any]:
        """`{"total_requests", "total_cost_usd", "providers": {name: {"requests", "tokens", "cost_usd"}}}` of all
        answers since the last reset; a cost that is not known adds nothing. `claude` and `kimi_k2` are always there."""
        return self._engine.statistics.read()

    def reset_stats(self) -> None:
        """Begin again at zero."""
        self._engine.statistics.reset()

    def set_rate_limit(self, max_concurrent: int | None = 10) -> None:
        """At most `max_concurrent` calls upstream at once, over all threads and event loops; None lifts the limit.

        A call waits up to ten minutes for its turn, and then raises LLMRouterError.
        """
        self._engine.set_rate_limit(max_concurrent)

    def close(self) -> None:
        """Close the connections that threads use. A router that is dropped closes them itself."""
        self._engine.clients.close()

    async def aclose(self) -> None:
        """Close the running event loop's connections, and those that threads use."""
        await self._engine.clients.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _acomplete_row(self, row: Mapping[str, Any]) -> LLMResponse:
        return await self.acomplete(**row)

    def _rules(self) -> Rules:
        own = frozenset(getattr(self.ROUTING_RULES, "own", TaskType))
        return Rules(dict(self.ROUTING_RULES), self.default_provider, self.enable_fallback, self.track_costs, own)


def complete_task(
    prompt: str,
    task_type: TaskType = TaskType.USER_CHAT,
    system_prompt: str | None = None,
    *,
    bus: bool | str = False,
    **kwargs: Any,
) -> str:
    """The text of one answer, from a router made for it. `bus` as of LLMRouter; `kwargs` go to LLMRouter.complete."""
    messages = [{"role": "system", "content": system_prompt}] if system_prompt else []
    messages.append({"role": "user", "content": prompt})
    router = LLMRouter() if bus is False else LLMRouter(bus=bus)
    try:
        return router.complete(messages, task_type=task_type, **kwargs).content
    finally:
        router.close()

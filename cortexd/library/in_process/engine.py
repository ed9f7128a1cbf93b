"""A router's machinery: arguments to a plan, the plan's providers tried in turn, from threads and from event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NoReturn

from cortexd.catalog import builtin_catalog
from cortexd.config.settings import RoutingSettings
from cortexd.domain.messages import Options
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType, parse_task_type
from cortexd.errors import CortexError, InvalidArgument, ProviderNotConfigured, TooLarge
from cortexd.library.batch import gathered
from cortexd.library.errors import InvalidRequestError, LLMRouterError, ProviderNotConfiguredError
from cortexd.library.in_process.clients import Clients
from cortexd.library.in_process.run import Run, SharedHealth
from cortexd.library.in_process.streams import async_pieces, pieces, told, told_async
from cortexd.library.keys import Keys
from cortexd.library.limiter import Limiter
from cortexd.library.settings import configure, keys_of
from cortexd.library.statistics import Statistics
from cortexd.library.text_streams import AsyncTextStream, Outcome, TextStream
from cortexd.library.types import LABELS, LLMProvider, LLMResponse, RoutingDecision
from cortexd.library.wish import Rules, Wish, listed
from cortexd.providers.refusals import Refusals
from cortexd.routing import Fallback, Plan, Question, plan_route
from cortexd.validation import Bounds, check_asked, parse_messages, parse_options


class Engine:
    """Everything that one LLMRouter holds."""

    def __init__(self, arguments: Mapping[str, str | None], sdk_class: Callable[[str], Any]) -> None:
        self._config = configure(arguments)
        self._catalog = builtin_catalog().with_settings(self._config.providers)
        self._health = SharedHealth()
        self._max_answer_bytes = self._config.limits.max_answer_bytes
        self._keys = Keys(keys_of(arguments))
        self.clients = Clients(self._config.providers, sdk_class, self._max_answer_bytes, self._keys)
        self._refusals = {name: Refusals(name, self._catalog) for name in self._config.providers}
        self.limiter = Limiter()
        self.statistics = Statistics()

    def report(self, response: LLMResponse, good: bool | float, reason: str, source: str) -> NoReturn:  # noqa: ARG002
        """Raises LLMRouterError: outcomes are the daemon's to learn from."""
        raise LLMRouterError("in this process nobody learns from outcomes; with bus=True cortexd does")

    async def areport(self, response: LLMResponse, good: bool | float, reason: str, source: str) -> NoReturn:
        """As `report`."""
        self.report(response, good, reason, source)

    def route(self, task_type: Any, force_provider: Any, rules: Rules) -> RoutingDecision:
        """Who would be asked first."""
        with _as_ours():
            task = parse_task_type(task_type)
            options = Options(provider=_provider(force_provider))
            question = Question(task, (), options, datetime.now(UTC))
        plan, _ = self._plan(question, rules, None)
        first = LLMProvider(plan.candidates[0].provider)
        if options.provider:
            return RoutingDecision(first, task, RoutingDecision.FORCED_REASON, RoutingDecision.FORCED)
        by_rule = RoutingDecision.STANDING_IN if first != rules.table.get(task) else RoutingDecision.BY_RULE
        return RoutingDecision(first, task, plan.reason, by_rule)

    def complete(self, wish: Wish, rules: Rules) -> LLMResponse:
        """The first answer that a provider of the plan gives."""
        run = self._run(wish, rules, asynchronous=False)
        for exchange in run.exchanges():
            with self.limiter.slot(), exchange:
                for _ in told(exchange, self.clients.blocking(exchange.candidate.provider, exchange.key)):
                    pass
        return _response(run)

    async def acomplete(self, wish: Wish, rules: Rules) -> LLMResponse:
        """As `complete`. An answer that trickles is given up after twice the provider's time-out."""
        run = self._run(wish, rules, asynchronous=True)
        for exchange in run.exchanges():
            async with self.limiter.async_slot():
                with exchange:
                    client = await self.clients.asynchronous(exchange.candidate.provider, exchange.key)
                    async with asyncio.timeout(2 * exchange.settings.timeout_s):
                        await _to_its_end(told_async(exchange, client))
        return _response(run)

    async def complete_batch(
        self, calls: Sequence[Callable[[], Awaitable[LLMResponse]]], max_concurrent: int | None
    ) -> list[LLMResponse | BaseException]:
        """What each of `calls` gave, or its exception, in their order."""
        return await gathered(calls, max_concurrent)

    def stream(self, wish: Wish, rules: Rules) -> TextStream:
        run, outcome = self._run(wish, rules, asynchronous=False, stream=True), Outcome()
        return TextStream(pieces(run, self.clients, self.limiter, outcome), outcome)

    def astream(self, wish: Wish, rules: Rules) -> AsyncTextStream:
        run, outcome = self._run(wish, rules, asynchronous=True, stream=True), Outcome()
        return AsyncTextStream(async_pieces(run, self.clients, self.limiter, outcome), outcome)

    def set_rate_limit(self, max_concurrent: int | None) -> None:
        self.limiter.set(max_concurrent)

    def _run(self, wish: Wish, rules: Rules, *, asynchronous: bool, stream: bool = False) -> Run:
        question = self._question(wish)
        plan, providers = self._plan(question, rules, asynchronous)
        return Run(
            question=question,
            fallback=Fallback(plan, self._health),
            falls_back=rules.fallback and question.options.provider is None,
            providers=providers,
            catalog=self._catalog,
            book=self.statistics.add if rules.track_costs else _not_booked,
            max_answer_bytes=self._max_answer_bytes,
            refusals=self._refusals,
            keys=self._keys,
            stream=stream,
        )

    def _question(self, wish: Wish) -> Question:
        limits = self._config.limits
        bounds = Bounds(limits.max_prompt_bytes, limits.max_messages, limits.max_tools)
        tools = listed(wish.tools) or None
        given = {"temperature": wish.temperature, "max_tokens": wish.max_tokens, "tools": tools}
        with _as_ours():
            options = parse_options({name: value for name, value in given.items() if value is not None}, bounds)
            options = replace(options, provider=_provider(wish.force_provider))
            task = parse_task_type(wish.task_type)
            messages = parse_messages(listed(wish.messages), bounds)
            check_asked(messages)
            return Question(task, messages, options, datetime.now(UTC))

    def _plan(self, question: Question, rules: Rules, asynchronous: bool | None) -> tuple[Plan, dict[str, Any]]:
        """The plan by the router's rules, and the providers' settings it was made with."""
        providers = {name: self.clients.settings(name, asynchronous=asynchronous) for name in self._config.providers}
        with _as_ours():
            rows = ((TaskType(task), _provider(name)) for task, name in rules.table.items())
            named = ((task, Target(name)) for task, name in rows if name is not None)
            table: dict[TaskType, tuple[Target, ...]] = {task: (target,) for task, target in named}
            default = _provider(rules.default_provider) or LLMProvider.CLAUDE
        routing = RoutingSettings(table, default, rules.fallback)
        config = replace(self._config, providers=providers, routing=routing)
        try:
            with self._health.lock:
                return plan_route(question, config, self._catalog, self._health.health), providers
        except ProviderNotConfigured:
            first = question.options.provider or table.get(question.task_type, (Target(default),))[0].provider
            label = LABELS[LLMProvider(first)]
            text = f"{label} API not configured and no fallback available"
            raise ProviderNotConfiguredError(text) from None
        except CortexError as error:
            raise LLMRouterError(str(error)) from None


async def _to_its_end(pieces: AsyncGenerator[str, None]) -> None:
    async with aclosing(pieces):
        async for _ in pieces:
            pass


def _response(run: Run) -> LLMResponse:
    assert run.response is not None, "the exchanges end with an answer or an exception"
    return run.response


@contextmanager
def _as_ours() -> Iterator[None]:
    """The validation's errors as the library's."""
    try:
        yield
    except (InvalidArgument, TooLarge, ValueError) as error:
        raise InvalidRequestError(str(error)) from None


def _provider(name: Any) -> str | None:
    """The provider's name, from the enum or as text. Raises ValueError for an unknown one."""
    return None if name is None else LLMProvider(name).value


def _not_booked(_provider: LLMProvider, _tokens: int, _nano: int | None) -> None:
    """With track_costs off."""

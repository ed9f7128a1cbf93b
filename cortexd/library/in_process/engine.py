"""A router's machinery: arguments to a plan, the plan's providers tried in turn, from threads and from event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, NoReturn

from cortexd.catalog import builtin_catalog
from cortexd.config import Config, ProviderSettings
from cortexd.config.settings import RoutingSettings
from cortexd.domain.messages import OnBreak, Options, Strategy
from cortexd.domain.racing import quicker
from cortexd.domain.targets import Target
from cortexd.domain.tasks import TaskType, parse_task_type
from cortexd.errors import CortexError, InvalidArgument, ProviderNotConfigured, TooLarge
from cortexd.library.batch import gathered
from cortexd.library.errors import InvalidRequestError, LLMRouterError, ProviderNotConfiguredError
from cortexd.library.in_process.clients import Clients
from cortexd.library.in_process.experience import Experience
from cortexd.library.in_process.hedged import quicker_in_threads
from cortexd.library.in_process.run import Run
from cortexd.library.in_process.streams import async_pieces, pieces, told, told_async
from cortexd.library.keys import Keys
from cortexd.library.limiter import Limiter
from cortexd.library.settings import configure, keys_of
from cortexd.library.statistics import Statistics
from cortexd.library.text_streams import AsyncTextStream, Outcome, TextStream
from cortexd.library.types import LABELS, LLMProvider, LLMResponse, RoutingDecision
from cortexd.library.wish import Rules, Wish, listed
from cortexd.providers.refusals import Refusals
from cortexd.routing import Candidate, Fallback, LeftOut, Plan, Question, plan_route
from cortexd.routing.candidates import Field
from cortexd.routing.continuing import Told
from cortexd.routing.wishes import NONE
from cortexd.validation import Bounds, check_asked, parse_messages, parse_options
from cortexd.validation.bounds import USUAL

_NOBODY_LEARNS = "in this process nobody learns from outcomes; with bus=True cortexd does"


class Engine:
    """Everything that one LLMRouter holds."""

    def __init__(self, arguments: Mapping[str, str | None], sdk_class: Callable[[str], Any]) -> None:
        self._config = configure(arguments)
        self._catalog = builtin_catalog().with_settings(self._config.providers)
        self._experience = Experience()
        self._max_answer_bytes = self._config.limits.max_answer_bytes
        self._keys = Keys(keys_of(arguments))
        self.clients = Clients(self._config.providers, sdk_class, self._max_answer_bytes, self._keys)
        self._refusals = {name: Refusals(name, self._catalog) for name in self._config.providers}
        self.limiter = Limiter()
        self.statistics = Statistics()

    def report(self, response: LLMResponse, good: bool | float, reason: str, source: str) -> NoReturn:  # noqa: ARG002
        """Raises LLMRouterError: outcomes are the daemon's to learn from."""
        raise LLMRouterError(_NOBODY_LEARNS)

    async def areport(self, response: LLMResponse, good: bool | float, reason: str, source: str) -> NoReturn:
        """As `report`."""
        self.report(response, good, reason, source)

    def route(self, task_type: Any, force_provider: Any, strategy: Any, rules: Rules) -> RoutingDecision:
        """Who would be asked first."""
        with _as_ours():
            task = parse_task_type(task_type)
            options = replace(_options({"strategy": strategy}), provider=_provider(force_provider))
            question = Question(task, (), options, datetime.now(UTC))
        plan, _, _ = self._plan(question, rules, None)
        first = LLMProvider(plan.candidates[0].provider)
        if options.provider:
            return RoutingDecision(first, task, RoutingDecision.FORCED_REASON, RoutingDecision.FORCED)
        stands_in = plan.strategy is Strategy.TABLE and first != rules.table.get(task)
        by_rule = RoutingDecision.STANDING_IN if stands_in else RoutingDecision.BY_RULE
        return RoutingDecision(first, task, plan.reason, by_rule)

    def complete(self, wish: Wish, rules: Rules) -> LLMResponse:
        """The first answer that a provider of the plan gives."""
        run = self._run(wish, rules, asynchronous=False)
        for candidate in run.turns():
            after_s = self._hedge_after_s(run, candidate)
            ask = partial(self._ask, run, candidate, self._entered_slot())
            if after_s is None:
                ask()
            else:
                quicker_in_threads(ask, after_s, partial(self._ahead, run))
        return _response(run)

    def _entered_slot(self) -> ExitStack:
        """A slot, held by whoever closes the stack."""
        with ExitStack() as stack:
            stack.enter_context(self.limiter.slot())
            return stack.pop_all()

    def _ask(self, run: Run, candidate: Candidate, slot: ExitStack) -> LLMResponse | None:
        with slot:
            for exchange in run.exchanges_with(candidate):
                with exchange:
                    for _ in told(exchange, self.clients.blocking(candidate.provider, exchange.key)):
                        pass
        return run.response

    def _ahead(self, run: Run) -> Callable[[], LLMResponse | None] | None:
        candidate = self._taken_ahead(run)
        return None if candidate is None else partial(self._ask_late, run, candidate)

    def _ask_late(self, run: Run, candidate: Candidate) -> LLMResponse | None:
        """Once there is a slot, unless the first one has answered meanwhile."""
        slot = self._entered_slot()
        if run.response is None:
            return self._ask(run, candidate, slot)
        slot.close()
        return None

    async def acomplete(self, wish: Wish, rules: Rules) -> LLMResponse:
        """As `complete`. An answer that trickles is given up after twice the provider's time-out."""
        run = self._run(wish, rules, asynchronous=True)
        for candidate in run.turns():
            asked = self._ask_async(run, candidate)
            if (after_s := self._hedge_after_s(run, candidate)) is None:
                await asked
            else:
                await quicker(asked, after_s, partial(self._ahead_async, run))
        return _response(run)

    async def _ask_async(self, run: Run, candidate: Candidate) -> LLMResponse | None:
        for exchange in run.exchanges_with(candidate):
            async with self.limiter.async_slot():
                with exchange:
                    client = await self.clients.asynchronous(candidate.provider, exchange.key)
                    async with asyncio.timeout(2 * exchange.settings.timeout_s):
                        await _to_its_end(told_async(exchange, client))
        return run.response

    async def _ahead_async(self, run: Run) -> Coroutine[Any, Any, LLMResponse | None] | None:
        candidate = self._taken_ahead(run)
        return None if candidate is None else self._ask_async(run, candidate)

    def _hedge_after_s(self, run: Run, candidate: Candidate) -> float | None:
        """How long to wait for this one alone; None for ever."""
        hedges = run.question.options.hedge and not run.fallback.failures
        return self._experience.hedge_after_s(candidate) if hedges else None

    def _taken_ahead(self, run: Run) -> Candidate | None:
        """Who is asked beside the one whose turn it is."""
        candidate = run.fallback.ahead()
        if candidate is None or not self._experience.may_hedge(candidate):
            return None
        run.fallback.take_ahead()
        return candidate

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
        plan, providers, config = self._plan(question, rules, asynchronous)
        continues = stream and question.options.on_break is OnBreak.CONTINUE
        return Run(
            question=question,
            fallback=Fallback(plan, self._experience),
            experience=self._experience,
            again=partial(self._again, config),
            told=Told(self._max_answer_bytes) if continues else None,
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
        given |= {"strategy": wish.strategy, "on_break": wish.on_break, "hedge": wish.hedge}
        with _as_ours():
            options = _options(given, bounds)
            options = replace(options, provider=_provider(wish.force_provider))
            task = parse_task_type(wish.task_type)
            messages = parse_messages(listed(wish.messages), bounds)
            check_asked(messages)
            return Question(task, messages, options, datetime.now(UTC))

    def _again(self, config: Config, question: Question, candidate: Candidate) -> Candidate | LeftOut:
        """A candidate of a plan for a question that has grown."""
        reason = "goes on where the answer broke off"
        with self._experience.locked() as known:
            return Field.of(question, config, self._catalog, known.health, NONE).again(candidate, reason)

    def _plan(
        self, question: Question, rules: Rules, asynchronous: bool | None
    ) -> tuple[Plan, dict[str, ProviderSettings], Config]:
        """The plan by the router's rules, and the providers' settings and the configuration it was made with."""
        providers = {name: self.clients.settings(name, asynchronous=asynchronous) for name in self._config.providers}
        with _as_ours():
            rows = ((TaskType(task), _provider(name)) for task, name in rules.table.items())
            named = ((task, Target(name)) for task, name in rows if name is not None)
            table: dict[TaskType, tuple[Target, ...]] = {task: (target,) for task, target in named}
            default = _provider(rules.default_provider) or LLMProvider.CLAUDE
        routing = RoutingSettings(table, default, rules.fallback)
        config = replace(self._config, providers=providers, routing=routing)
        try:
            with self._experience.locked() as known:
                plan = plan_route(question, config, self._catalog, known.health, observed=known.observed)
            return plan, providers, config
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


def _options(given: Mapping[str, Any], bounds: Bounds = USUAL) -> Options:
    """Those of `given` that are said. Raises InvalidArgument, TooLarge and InvalidRequestError."""
    options = parse_options({name: value for name, value in given.items() if value is not None}, bounds)
    if options.strategy is Strategy.LEARNED:
        raise InvalidRequestError(f"strategy: {_NOBODY_LEARNS}")
    return options


def _provider(name: Any) -> str | None:
    """The provider's name, from the enum or as text. Raises ValueError for an unknown one."""
    return None if name is None else LLMProvider(name).value


def _not_booked(_provider: LLMProvider, _tokens: int, _nano: int | None) -> None:
    """With track_costs off."""

"""A router's machinery where the daemon answers: calls to the bus, and the statistics of this router's own calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from cortexd.library.batch import gathered
from cortexd.library.errors import InvalidRequestError
from cortexd.library.limiter import Limiter
from cortexd.library.over_bus.answers import Book, answered, decided
from cortexd.library.over_bus.asking import Ask, ask_of
from cortexd.library.over_bus.connections import Connections
from cortexd.library.over_bus.failures import as_ours
from cortexd.library.over_bus.streams import StreamReader, async_pieces, pieces
from cortexd.library.settings import said
from cortexd.library.statistics import Statistics
from cortexd.library.text_streams import AsyncTextStream, Outcome, TextStream
from cortexd.library.types import LLMProvider, LLMResponse, RoutingDecision
from cortexd.library.wish import Rules, Wish

_NAMED_BUSES = ("system", "session")


class BusEngine:
    """Everything that one LLMRouter(bus=...) holds."""

    def __init__(self, bus: bool | str, arguments: Mapping[str, str | None]) -> None:
        """`bus`: True for the system bus, "system", "session" or an address. Raises InvalidRequestError, and
        TypeError for an unknown argument."""
        _refuse_keys(said(arguments))
        self.clients = Connections(_address(bus))
        self.limiter = Limiter()
        self.statistics = Statistics()

    def route(self, task_type: Any, force_provider: Any, strategy: Any, rules: Rules) -> RoutingDecision:
        """Who would be asked first, as the daemon sees it."""
        with as_ours():
            ask = ask_of(Wish((), task_type, force_provider, None, None, None, strategy), rules)
            decision = self.clients.for_threads().route(ask.task_type, **ask.options)
        return decided(decision, ask)

    def complete(self, wish: Wish, rules: Rules) -> LLMResponse:
        ask = _checked(wish, rules)
        with self.limiter.slot(), as_ours(ask):
            client = self.clients.for_threads()
            completion = client.complete(ask.task_type, ask.messages, **ask.options)
        return answered(completion, self._book(rules))

    async def acomplete(self, wish: Wish, rules: Rules) -> LLMResponse:
        ask = _checked(wish, rules)
        async with self.limiter.async_slot():
            with as_ours(ask):
                client = await self.clients.for_this_loop()
                completion = await client.complete(ask.task_type, ask.messages, **ask.options)
        return answered(completion, self._book(rules))

    async def complete_batch(
        self, calls: Sequence[Callable[[], Awaitable[LLMResponse]]], max_concurrent: int | None
    ) -> list[LLMResponse | BaseException]:
        """What each of `calls` gave, or its exception, in their order."""
        return await gathered(calls, max_concurrent)

    def stream(self, wish: Wish, rules: Rules) -> TextStream:
        outcome = Outcome()
        return TextStream(pieces(self._reader(wish, rules, outcome), self.clients, self.limiter), outcome)

    def astream(self, wish: Wish, rules: Rules) -> AsyncTextStream:
        outcome = Outcome()
        return AsyncTextStream(async_pieces(self._reader(wish, rules, outcome), self.clients, self.limiter), outcome)

    def report(self, response: LLMResponse, good: bool | float, reason: str, source: str) -> None:
        with as_ours():
            said = _asked(response), _score(good), reason
            self.clients.for_threads().report_outcome(*said, source=source)

    async def areport(self, response: LLMResponse, good: bool | float, reason: str, source: str) -> None:
        with as_ours():
            said = _asked(response), _score(good), reason
            await (await self.clients.for_this_loop()).report_outcome(*said, source=source)

    def set_rate_limit(self, max_concurrent: int | None) -> None:
        self.limiter.set(max_concurrent)

    def _reader(self, wish: Wish, rules: Rules, outcome: Outcome) -> StreamReader:
        return StreamReader(_checked(wish, rules), outcome, partial(answered, book=self._book(rules)))

    def _book(self, rules: Rules) -> Book:
        return self.statistics.add if rules.track_costs else _not_booked


def _checked(wish: Wish, rules: Rules) -> Ask:
    with as_ours():
        return ask_of(wish, rules)


def _asked(response: LLMResponse) -> str:
    """The id of the request that it answers. Raises InvalidRequestError for what no daemon has answered."""
    said = response.raw_response
    if not isinstance(said, Mapping) or not said.get("request_id"):
        raise InvalidRequestError("response: expected one that this router's daemon gave, with its request_id")
    return str(said["request_id"])


def _score(good: Any) -> float:
    if not isinstance(good, bool | int | float):
        raise InvalidRequestError(f"good: expected True, False or a number from 0 to 1, got {good!r:.80}")
    return float(good)


def _address(bus: Any) -> str:
    if bus is True:
        return "system"
    if isinstance(bus, str) and (bus in _NAMED_BUSES or ":" in bus):
        return bus
    raise InvalidRequestError(
        f'bus: expected True, "system", "session" or a D-Bus address such as unix:path=/…, got {bus!r:.80}'
    )


def _refuse_keys(given: Mapping[str, Any]) -> None:
    if given:
        raise InvalidRequestError(
            f"{', '.join(given)}: with bus= keys, addresses and models are the system's, in cortexd's configuration; "
            "leave these arguments out, or leave out bus= to use your own"
        )


def _not_booked(_provider: LLMProvider, _tokens: int, _nano: int | None) -> None:
    """With track_costs off."""

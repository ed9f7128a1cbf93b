"""The daemon's streams as the library's: pieces of text, and no second beginning once the first piece is out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass

from cortexd.client import Completion, DoneEvent, FallbackEvent, StreamEvent, TextEvent
from cortexd.library.errors import ProviderFailedError
from cortexd.library.limiter import Limiter
from cortexd.library.over_bus.asking import Ask
from cortexd.library.over_bus.connections import Connections
from cortexd.library.over_bus.failures import as_ours
from cortexd.library.text_streams import Outcome
from cortexd.library.types import LLMResponse


@dataclass(slots=True)
class StreamReader:
    """Reads one stream for its consumer. `given`: it has had a piece."""

    ask: Ask
    outcome: Outcome
    answered: Callable[[Completion], LLMResponse]
    given: bool = False

    def piece(self, event: StreamEvent) -> str:
        """The event's text, empty for others. Raises ProviderFailedError where the answer would begin again."""
        if isinstance(event, TextEvent):
            self.given = self.given or bool(event.text)
            return event.text
        if isinstance(event, FallbackEvent) and self.given:
            raise ProviderFailedError(f"the provider failed in the middle of its answer: {event.reason}")
        if isinstance(event, DoneEvent):
            self.outcome.response = self.answered(event.completion)
        return ""


def pieces(reader: StreamReader, connections: Connections, limiter: Limiter) -> Generator[str, None, None]:
    """The texts, as they come. Dropping the generator ends the request: closing would wait, on whatever thread."""
    ask = reader.ask
    with limiter.slot(), as_ours(ask):
        stream = connections.for_threads().stream(ask.task_type, ask.messages, **ask.options)
        for event in stream.events():
            try:
                piece = reader.piece(event)
            except ProviderFailedError:
                stream.close()
                raise
            if piece:
                yield piece


async def async_pieces(reader: StreamReader, connections: Connections, limiter: Limiter) -> AsyncGenerator[str, None]:
    """As `pieces`."""
    ask = reader.ask
    async with limiter.async_slot():
        with as_ours(ask):
            client = await connections.for_this_loop()
            async with client.stream(ask.task_type, ask.messages, **ask.options) as stream:
                while reader.outcome.response is None:
                    if piece := reader.piece(await stream.next_event()):
                        yield piece

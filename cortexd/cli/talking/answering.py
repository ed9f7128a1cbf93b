"""Two ways to an answer: piece by piece onto the screen, or whole at its end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cortexd.cli.shown.failures import duration
from cortexd.cli.shown.live import LiveText
from cortexd.cli.shown.terminal import is_terminal, print_notice
from cortexd.cli.talking.questions import asking_for_word
from cortexd.domain.money import format_usd
from cortexd.errors import IN_WORDS, CortexError, ProviderFailed

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, Attempt, Completion, Stream

_CANCELLING_S = 2.0
Messages = Sequence[Mapping[str, Any]]


async def answer_at_once(client: AsyncClient, task: str, messages: Messages, options: Mapping[str, Any]) -> Completion:
    """The whole answer. A request with an id of its own survives our death, but not a Ctrl-C."""
    try:
        async with asking_for_word(client):
            return await client.complete(task, messages, **options)
    except asyncio.CancelledError:
        if options.get("request_id"):
            await cancel_quietly(client, [options["request_id"]])
        raise


async def answer_live(
    client: AsyncClient,
    task: str,
    messages: Messages,
    options: Mapping[str, Any],
    began: Callable[[Stream], None] = lambda _stream: None,
) -> Completion:
    """The answer as it arrives. Leaving it, by Ctrl-C too, ends the request upstream. `began` gets the stream, for who
    wants to know how far it came.

    Raises ProviderFailed where an answer starts again after some of it went where it cannot be taken back.
    """
    from cortexd.client import FallbackEvent, TextEvent

    shown = LiveText()
    try:
        stream = client.stream(task, messages, **options)
        async with asking_for_word(client):  # held is what has not begun
            await stream.open()
        async with stream:
            began(stream)
            async for event in stream.events():
                if isinstance(event, TextEvent):
                    shown.write(event.text)
                elif isinstance(event, FallbackEvent) and shown.begun:
                    shown.end_line()
                    _say_that_it_starts_again(event)
            return stream.completion
    finally:
        shown.end_line()


def _say_that_it_starts_again(event: Any) -> None:
    """A person reads on; a program behind a pipe would take both halves for one answer."""
    if not is_terminal(sys.stdout):
        raise ProviderFailed(
            f"the provider failed in the middle of its answer ({event.reason}), and what was written cannot be taken "
            f"back; without --stream the answer of another is written whole"
        )
    print_notice(f"failed in the middle: {event.reason}; {event.provider} {event.model} starts the answer again:")


async def cancel_quietly(client: AsyncClient, request_ids: Sequence[str]) -> None:
    """Ctrl-C: end these requests upstream, as far as that can be done in a moment."""
    with suppress(TimeoutError, CortexError):
        async with asyncio.timeout(_CANCELLING_S):
            await asyncio.gather(*(client.cancel(name) for name in request_ids), return_exceptions=True)


def _beside(attempt: Attempt) -> str:
    """An attempt that did not bring the answer: it failed, or another was quicker."""
    if attempt.outcome in ("cancelled", "ok"):
        return f"quicker than {attempt.provider}"
    return f"{attempt.provider} {IN_WORDS.get(attempt.outcome, 'failed')}"


def in_one_line(completion: Completion) -> str:
    """Who answered, with how many tokens, for how much, how fast, and what was out of the ordinary."""
    cost = format_usd(completion.cost_nano_usd)
    parts = [
        f"{completion.provider} {completion.model}",
        f"{completion.tokens.input} + {completion.tokens.output} tokens",
        cost if completion.cost_known else f"at most {cost}",
        duration(completion.latency_ms),
    ]
    parts += [_beside(attempt) for attempt in completion.attempts[:-1]]
    if completion.cache_hit:
        parts.append("from the cache")
    if completion.dropped_options:
        parts.append(f"without {', '.join(completion.dropped_options)}")
    if completion.finish_reason not in ("stop", ""):
        parts.append(f"ended by {completion.finish_reason}")
    if found := completion.metadata.get("secrets_found"):
        parts.append(f"secrets found: {', '.join(found)}")
    if not completion.settled:
        parts.append("not in the ledger")
    return ", ".join(parts)

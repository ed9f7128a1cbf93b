"""What is held for a person's word is asked at the terminal, beside what the command does."""

from __future__ import annotations

import asyncio
import os
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import TYPE_CHECKING

from cortexd.cli.shown.failures import in_words
from cortexd.cli.shown.holds import HOW_TO_ANSWER, ended, question
from cortexd.cli.shown.terminal import one_line
from cortexd.cli.talking.person import NobodyThere, open_terminal
from cortexd.domain.money import NANO_PER_USD, format_usd
from cortexd.domain.own_cap import HoldAnswer
from cortexd.errors import CortexError, ServiceUnavailable

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, Event, Hold, HoldEnded

_PATIENCE_S = 0.3  # most answers come sooner than the first question of a held request, which needs a second connection
_ANSWERS = {
    **dict.fromkeys(("t", "today"), HoldAnswer.TODAY),
    **dict.fromkeys(("o", "once"), HoldAnswer.ONCE),
    **dict.fromkeys(("", "n", "no", "refuse"), HoldAnswer.REFUSE),
}


class Questions:
    """Asks one question at a time on `terminal`. A question that changes is asked anew, so that an answer is to what
    stands there; what was typed before it is dropped. `tells`: whether it says what is held, too."""

    def __init__(self, client: AsyncClient, terminal: int, *, tells: bool = True) -> None:
        self._client = client
        self._terminal = terminal
        self._tells = tells
        self._hold: Hold | None = None
        self._answering: set[asyncio.Task[None]] = set()

    def heard(self, event: Event) -> None:
        """An event of a subscription; of others than holds nothing becomes."""
        from cortexd.client import BudgetHeld, HoldEnded, ServiceChange

        if isinstance(event, BudgetHeld):
            self.ask(event.hold)
        elif isinstance(event, HoldEnded):
            self._ended(event)
        elif isinstance(event, ServiceChange) and not event.running:
            self._forget()

    def ask(self, hold: Hold) -> None:
        if self._client.interactive:  # a password is being asked for at this terminal
            self._say(f"{question(hold)} Answer with: {HOW_TO_ANSWER}")
            return
        if self._hold is None:
            asyncio.get_running_loop().add_reader(self._terminal, self._typed)
        elif self._tells:
            self.make_room()
        self._hold = hold
        termios.tcflush(self._terminal, termios.TCIFLUSH)
        if self._tells:
            self._say(question(hold))
        self.prompt()

    def make_room(self) -> None:
        """Let others write below an open question; prompt() comes after it."""
        if self._hold is not None:
            self._say("")

    def prompt(self) -> None:
        """Where something is asked: below what others have written meanwhile."""
        if self._hold is not None:
            self._write(f"Allow it? [t]oday +{format_usd(self._hold.more_nano_usd)} / [o]nce / [n]o (Enter: no): ")

    def close(self) -> None:
        self.make_room()
        self._forget()

    def _typed(self) -> None:
        hold = self._hold
        typed = os.read(self._terminal, 4096).decode("utf-8", "replace")
        if hold is None:
            return
        answer = _ANSWERS.get(typed.strip().lower())
        if not typed:  # Ctrl-D: somebody else may answer
            self._say("")
            self._forget()
        elif answer is None:
            self.prompt()
        else:
            self._forget()
            task = asyncio.get_running_loop().create_task(self._answer(hold, answer))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, hold: Hold, answer: HoldAnswer) -> None:
        more = Decimal(hold.more_nano_usd) / NANO_PER_USD if answer is HoldAnswer.TODAY else None
        try:
            await self._client.answer_hold(hold.hold_id, answer, more)
        except CortexError as error:
            self._say(in_words(error))

    def _ended(self, end: HoldEnded) -> None:
        if self._hold is not None and end.hold_id == self._hold.hold_id:
            if self._tells:
                self.make_room()
                self._say(ended(end))
            self._forget()

    def _forget(self) -> None:
        if self._hold is not None:
            self._hold = None
            asyncio.get_running_loop().remove_reader(self._terminal)

    def _say(self, text: str) -> None:
        self._write(f"{one_line(text)}\n")

    def _write(self, text: str) -> None:
        with suppress(OSError):  # the terminal has gone
            os.write(self._terminal, text.encode("utf-8", "replace"))


@asynccontextmanager
async def questions_at_terminal(client: AsyncClient, *, tells: bool = True) -> AsyncIterator[Questions | None]:
    """None where nobody can be asked. `tells` as Questions has it."""
    try:
        terminal = open_terminal()
    except NobodyThere:
        yield None
        return
    questions = Questions(client, terminal, tells=tells)
    try:
        yield questions
    finally:
        questions.close()
        os.close(terminal)


async def open_holds(client: AsyncClient) -> list[Hold]:
    """What is held now; nothing where the service has left, or is older and knows of no such thing."""
    try:
        return await client.holds()
    except ServiceUnavailable:
        return []


@asynccontextmanager
async def asking_for_word(client: AsyncClient) -> AsyncIterator[None]:
    """While the body waits for an answer a person at this terminal is asked what is held meanwhile."""
    async with questions_at_terminal(client) as questions:
        if questions is None:
            yield
            return
        hearing = asyncio.create_task(_hear(client, questions))
        try:
            yield
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)


async def _hear(client: AsyncClient, questions: Questions) -> None:
    """Ends quietly where the service does not let us: the answer is what the command is about."""
    await asyncio.sleep(_PATIENCE_S)
    with suppress(CortexError):
        async with client.subscribe() as costs:
            for hold in await open_holds(client):
                questions.ask(hold)
            async for event in costs.events():
                questions.heard(event)

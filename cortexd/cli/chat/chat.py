"""One chat: what is typed goes to a model, or is a command of the chat's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from cortexd.cli.chat import commands, reading
from cortexd.cli.chat.conversation import LABEL, Conversation, Turn
from cortexd.cli.chat.keeping import Kept
from cortexd.cli.machine.last_answer import remember
from cortexd.cli.settings import Settings
from cortexd.cli.shown import failures
from cortexd.cli.shown.terminal import print_error, print_note
from cortexd.cli.talking.answering import answer_live, in_one_line
from cortexd.cli.talking.session import with_password
from cortexd.domain.money import format_usd
from cortexd.errors import CortexError

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, Completion, Stream

T = TypeVar("T")


class Chat:
    """`options`: of each request. The loop of `runner` runs while something is awaited, not while a person types."""

    def __init__(
        self,
        client: AsyncClient,
        runner: asyncio.Runner,
        settings: Settings,
        conversation: Conversation,
        task: str,
        options: Mapping[str, Any],
        kept: Kept | None = None,
    ) -> None:
        self.conversation = conversation
        self.task = task
        self.options = dict(options)
        self.unanswered = ""
        self._client = client
        self._runner = runner
        self._settings = settings
        self._kept = kept
        self._stream: Stream | None = None

    def talk(self) -> int:
        """Until the end of the input; the exit status: of the last turn, as a script has no other way to know."""
        reading.prepare(commands.completions)
        status = failures.OK
        while True:
            try:
                typed = reading.read().strip()
            except EOFError:
                return status
            except KeyboardInterrupt:
                print()
                print_note("Ctrl-D or /quit leaves the chat.")
                continue
            try:
                status = self._answered(typed) if typed else status
            except commands.Left:
                return status

    def _answered(self, typed: str) -> int:
        try:
            if commands.is_one(typed):
                commands.obey(self, typed)
            else:
                self.say(typed)
        except CortexError as error:
            print_error(failures.told(error, self._settings.bus))
            return failures.exit_status(error)
        except OSError as error:
            print_error(f"{error.filename or ''}: {error.strerror or error}".removeprefix(": "))
            return failures.OTHER
        return failures.OK

    def wait(self, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
        """What `work` gives, asking for a password where the service wants one."""
        return self._runner.run(with_password(self._client, work))

    def say(self, said: str) -> None:
        """Ask for an answer, and show it. Ctrl-C ends it there, and at the provider."""
        self.unanswered, self._stream = said, None
        try:
            completion = self.wait(lambda client: self._ask(client, said))
        except KeyboardInterrupt:
            self._interrupted(said)
            return
        who = completion.provider, completion.model
        self._took(Turn(said, completion.content, completion.request_id, *who, completion.cost_nano_usd))
        remember(self._settings.bus, completion.request_id)
        hint = "; did it serve? /good or /bad" if completion.metadata.get("outcome_wanted") else ""
        print_note(f"{in_one_line(completion)}; this chat {self._cost()}{hint}")

    async def _ask(self, client: AsyncClient, said: str) -> Completion:
        options = {**self.options, "session": self.conversation.name, "labels": {LABEL: self.conversation.name}}
        return await answer_live(client, self.task, self.conversation.messages(said), options, self._began)

    def _began(self, stream: Stream) -> None:
        self._stream = stream

    def _interrupted(self, said: str) -> None:
        """What came before Ctrl-C stays in the conversation; how much of it is paid for the ledger will know."""
        stream = self._stream
        if stream is not None and stream.text:
            self._took(Turn(said, stream.text, stream.request_id))
        else:
            self.conversation.interrupted()
        print_note("interrupted; /cost says what it cost, /retry asks again")

    def _took(self, turn: Turn) -> None:
        self.unanswered = ""
        self.conversation.turns.append(turn)
        self.keep()

    def keep(self) -> None:
        if self._kept is not None:
            self._kept.write(self.conversation)

    def _cost(self) -> str:
        cost = format_usd(self.conversation.cost_nano_usd)
        return cost if self.conversation.cost_known else f"at least {cost}"

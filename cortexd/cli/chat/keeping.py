"""Chats that are to be gone on with: a file each, in the user's state directory, for nobody else to read."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import click

from cortexd.cli.chat.conversation import Conversation, NoConversation
from cortexd.config import whole_file
from cortexd.validation.checks import REQUEST_ID, matching


class Kept:
    """The file of the chat called `name`. Raises InvalidArgument for a name that is none for a session."""

    def __init__(self, name: str) -> None:
        self.name = matching(name, REQUEST_ID, "--session")
        self._directory = _directory()
        self._file = self._directory / f"{name}.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """For one program at a time. Raises click.ClickException where another has it, OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._directory / f"{self.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise click.ClickException(f"The chat {self.name} is open in another terminal.") from None
            yield

    def read(self) -> Conversation:
        """A new one where there is none. Raises click.ClickException for a file that is no chat, OSError."""
        try:
            return Conversation.of_json(json.loads(self._file.read_bytes()))
        except FileNotFoundError:
            return Conversation(self.name, date.today().isoformat())
        except (ValueError, RecursionError) as error:
            why = str(error) if isinstance(error, NoConversation) else "no JSON"
            raise click.ClickException(
                f"{self._file} is no chat ({why}). Move it away, or take another --session."
            ) from None

    def write(self, conversation: Conversation) -> None:
        """Raises OSError."""
        data = json.dumps(conversation.as_json(), ensure_ascii=False).encode("utf-8", "replace")
        whole_file.replace(self._file, data, 0o600, self._directory)


def _directory() -> Path:
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if state.startswith("/") else Path.home() / ".local/state") / "cortexctl/chats"

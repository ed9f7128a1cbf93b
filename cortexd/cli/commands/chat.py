"""cortexctl chat"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import nullcontext
from datetime import date
from typing import Any

import click

from cortexd.cli.given.request_options import request_options
from cortexd.cli.settings import Settings
from cortexd.cli.shown.terminal import print_note
from cortexd.cli.talking.session import client_of
from cortexd.domain.money import format_usd


@click.command("chat")
@request_options
@click.option("--system", metavar="TEXT", help="A system message to go before the first turn.")
@click.pass_obj
@click.pass_context
def command(ctx: click.Context, settings: Settings, task: str, options: dict[str, Any], system: str | None) -> None:
    """Talk with a model: each line is a turn, and the model remembers the turns before it.

    \b
      cortexctl chat
      cortexctl chat --session garden      # kept, and gone on with the next time
      cortexctl chat --local --task code_generation

    Ctrl-C ends an answer, at the provider too, and Ctrl-D the chat. /help lists the chat's own commands. A line that
    ends with a backslash goes on in the next one.
    """
    from cortexd.cli.chat.chat import Chat
    from cortexd.cli.chat.conversation import Conversation
    from cortexd.cli.chat.keeping import Kept

    name = options.pop("session", None)
    kept = Kept(name) if name else None
    with kept.locked() if kept else nullcontext(), asyncio.Runner() as runner:
        talk = kept.read() if kept else Conversation(f"chat-{secrets.token_hex(4)}", date.today().isoformat())
        talk.system = talk.system if system is None else system
        if talk.turns:
            cost = format_usd(talk.cost_nano_usd)
            print_note(f"going on since {talk.began}; turns: {len(talk.turns)}, {cost}; /new begins anew")
        client = client_of(settings)
        try:
            status = Chat(client, runner, settings, talk, task, options, kept).talk()
        finally:
            runner.run(client.close())
    ctx.exit(status)

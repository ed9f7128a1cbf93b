"""cortexctl ask"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cortexd.cli.given.attachments import user_content
from cortexd.cli.given.numbers import Seconds
from cortexd.cli.given.prompt import read_prompt
from cortexd.cli.given.request_options import pairs, request_options
from cortexd.cli.machine.last_answer import remember
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.terminal import is_terminal, print_json, print_note, print_text
from cortexd.cli.talking.answering import answer_at_once, answer_live, in_one_line
from cortexd.cli.talking.session import run

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, Completion


@click.command("ask")
@click.argument("prompt", nargs=-1)
@request_options
@click.option("--system", metavar="TEXT", help="A system message to go before the prompt.")
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PATH",
    help="A text file as context, by its name, or a PNG, JPEG, GIF or WebP image; may be repeated.",
)
@click.option("--request-id", metavar="ID", help="Your own id: repeating the call never pays twice.")
@click.option("--cache", is_flag=True, help="Take the answer that you got lately to an equal request, at no cost.")
@click.option(
    "--deadline",
    type=Seconds(),
    metavar="SECONDS",
    help="The longest that the request may take (default: 10 minutes).",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    callback=pairs,
    metavar="KEY=VALUE",
    help="Written to the ledger beside the cost; may be repeated.",
)
@click.option(
    "--stream/--no-stream",
    default=None,
    help="Print the answer as it arrives, or at its end (default: as it arrives on a terminal, but with --hedge).",
)
@json_option
@click.pass_obj
def command(
    settings: Settings,
    prompt: tuple[str, ...],
    task: str,
    options: dict[str, Any],
    system: str | None,
    files: tuple[Path, ...],
    request_id: str | None,
    cache: bool,
    deadline: float | None,
    labels: dict[str, str],
    stream: bool | None,
    as_json: bool,
) -> None:
    """Ask a model and print its answer.

    PROMPT is all remaining words. What is piped in goes below it, or is the prompt where there are no words; an image
    that is piped in counts as --file:

    \b
      cortexctl ask Why is the sky blue?
      journalctl -p err -b | cortexctl ask --task error_debugging What is wrong here?
      grim - | cortexctl ask What does this error window want of me?
      cortexctl ask --file report.txt --file chart.png Do the figures fit the chart?

    Ctrl-C ends the request at the provider too.
    """
    content = user_content(read_prompt(prompt), files)
    if not content:
        raise click.UsageError("Nothing to ask: give a prompt, or pipe one in.", click.get_current_context())
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": content})
    wanted = {
        **options,
        "request_id": request_id,
        "cache": cache or None,
        "deadline_ms": None if deadline is None else max(1, round(deadline * 1000)),
        "labels": labels or None,
    }
    wanted = {key: value for key, value in wanted.items() if value is not None}
    whole = settings.json or as_json
    if stream and options.get("hedge"):
        raise click.UsageError(
            "An answer that is printed as it arrives comes from one model. Leave out --stream or --hedge.",
            click.get_current_context(),
        )
    wants_live = not options.get("hedge") and is_terminal(sys.stdout)
    live = not whole and (wants_live if stream is None else stream)
    answer = answer_live if live else answer_at_once

    async def ask(client: AsyncClient) -> Completion:
        return await answer(client, task, messages, wanted)

    completion = run(settings.at_least(deadline), ask)
    remembered = remember(settings.bus, completion.request_id)
    if whole:
        print_json({"content": completion.content, **completion.metadata})
        return
    if not live:
        print_text(completion.content)
    print_note(in_one_line(completion))
    if completion.metadata.get("outcome_wanted") and is_terminal(sys.stdout):
        print_note(f"did it serve? cortexctl outcome {'last' if remembered else completion.request_id} good|bad")

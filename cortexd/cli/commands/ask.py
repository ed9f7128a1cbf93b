"""cortexctl ask"""

from __future__ import annotations

from typing import Any

import click

from cortexd.cli.failures import duration
from cortexd.cli.prompt import read_prompt
from cortexd.cli.request_options import request_options
from cortexd.cli.session import run
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.terminal import print_json, print_note, print_text
from cortexd.client import AsyncClient, Completion
from cortexd.money import format_usd


@click.command("ask")
@click.argument("prompt", nargs=-1)
@request_options
@click.option("--system", metavar="TEXT", help="A system message to go before the prompt.")
@click.option("--request-id", metavar="ID", help="Your own id: repeating the call never pays twice.")
@json_option
@click.pass_obj
def command(
    settings: Settings,
    prompt: tuple[str, ...],
    task: str,
    options: dict[str, Any],
    system: str | None,
    request_id: str | None,
    as_json: bool,
) -> None:
    """Ask a model and print its answer.

    PROMPT is all remaining words. What is piped in goes below it, or is the prompt where there are no words:

    \b
      cortexctl ask Why is the sky blue?
      journalctl -p err -b | cortexctl ask --task error_debugging What is wrong here?
    """
    text = read_prompt(prompt)
    if not text:
        raise click.UsageError("Nothing to ask: give a prompt, or pipe one in.", click.get_current_context())
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": text})

    async def ask(client: AsyncClient) -> Completion:
        return await client.complete(task, messages, request_id=request_id, **options)

    completion = run(settings, ask)
    if settings.json or as_json:
        print_json({"content": completion.content, **completion.metadata})
        return
    print_text(completion.content)
    print_note(in_one_line(completion))


def in_one_line(completion: Completion) -> str:
    """Who answered, with how many tokens, for how much, how fast, and what was out of the ordinary."""
    cost = format_usd(completion.cost_nano_usd)
    parts = [
        f"{completion.provider} {completion.model}",
        f"{completion.tokens.input} + {completion.tokens.output} tokens",
        cost if completion.cost_known else f"at most {cost}",
        duration(completion.latency_ms),
    ]
    parts += [f"{attempt.provider} failed: {attempt.outcome}" for attempt in completion.attempts[:-1]]
    if completion.dropped_options:
        parts.append(f"without {', '.join(completion.dropped_options)}")
    if completion.finish_reason not in ("stop", ""):
        parts.append(f"ended by {completion.finish_reason}")
    if not completion.settled:
        parts.append("not in the ledger")
    return ", ".join(parts)

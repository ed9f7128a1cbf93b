"""cortexctl route"""

from __future__ import annotations

from typing import Any

import click

from cortexd.cli.prompt import read_prompt
from cortexd.cli.request_options import request_options
from cortexd.cli.session import run
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.tables import Column, print_table
from cortexd.cli.terminal import one_line, print_json, print_text
from cortexd.client import AsyncClient, Decision
from cortexd.money import format_usd, from_usd

_CANDIDATES = (
    Column("#", right=True),
    Column("provider"),
    Column("model"),
    Column("state"),
    Column("prompt", right=True),
    Column("at most", right=True),
    Column("why"),
)
_LEFT_OUT = (Column("left out"), Column("model"), Column("why"))


@click.command("route")
@click.argument("prompt", nargs=-1)
@request_options
@json_option
@click.pass_obj
def command(settings: Settings, prompt: tuple[str, ...], task: str, options: dict[str, Any], as_json: bool) -> None:
    """Show which provider would answer, and why; spends nothing.

    PROMPT as in cortexctl ask; it counts for the costs and may be left out.
    """
    text = read_prompt(prompt)

    async def route(client: AsyncClient) -> Decision:
        return await client.route(task, text, **options)

    decision = run(settings, route)
    if settings.json or as_json:
        print_json(decision.raw)
        return
    print_text(one_line(f"{decision.task_type}: {decision.provider} {decision.model}, because {decision.reason}"))
    print_text(one_line(f"needs {decision.action}"))
    _print_candidates(decision)


def _print_candidates(decision: Decision) -> None:
    rows = [
        (
            str(item.rank),
            item.provider,
            item.model,
            item.state,
            "unknown" if item.prompt_cost_usd is None else _usd(item.prompt_cost_usd),
            _usd(item.worst_case_cost_usd),
            item.reason,
        )
        for item in decision.candidates
    ]
    print_table(_CANDIDATES, rows)
    if decision.left_out:
        print_text("")
        print_table(_LEFT_OUT, [(item.provider, item.model, item.reason) for item in decision.left_out])


def _usd(value: float) -> str:
    return format_usd(from_usd(value))

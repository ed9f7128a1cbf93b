"""cortexctl route"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from cortexd.cli.given.attachments import user_content
from cortexd.cli.given.prompt import read_prompt
from cortexd.cli.given.request_options import request_options
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import one_line, print_json, print_text
from cortexd.cli.talking.session import run
from cortexd.domain.money import format_usd, from_usd

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, Decision

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
_RANKED_BY = {
    "table": "in the order of the operator's routing table",
    "cost": "by cost, the cheapest first",
    "latency": "by speed of late, the quickest first",
    "quality": "by quality for the task type, the best first",
}
_IN_TABLE = frozenset({"rank", "provider", "model", "state", "reason", "prompt_cost_usd", "worst_case_cost_usd"})


@click.command("route")
@click.argument("prompt", nargs=-1)
@request_options
@click.option("--explain", is_flag=True, help="Also say how the candidates were ranked, with all figures behind it.")
@json_option
@click.pass_obj
def command(
    settings: Settings, prompt: tuple[str, ...], task: str, options: dict[str, Any], explain: bool, as_json: bool
) -> None:
    """Show which provider would answer, and why; spends nothing.

    PROMPT as in cortexctl ask; it counts for the costs and may be left out.
    """
    content = user_content(read_prompt(prompt))
    messages = [{"role": "user", "content": content}]

    async def route(client: AsyncClient) -> Decision:
        return await client.route(task, messages, **options)

    decision = run(settings, route)
    if settings.json or as_json:
        print_json(decision.raw)
        return
    print_text(one_line(f"{decision.task_type}: {decision.provider} {decision.model}, because {decision.reason}"))
    print_text(one_line(f"needs {decision.action}"))
    if explain:
        _explain_ranking(decision)
    _print_candidates(decision)
    if explain:
        _explain_candidates(decision)


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


def _explain_ranking(decision: Decision) -> None:
    strategy = decision.strategy or "table"
    how = _RANKED_BY.get(strategy, "by a strategy that this cortexctl does not know")
    print_text(one_line(f"strategy {strategy}: {how}; each is tried at most once, in this order"))


def _explain_candidates(decision: Decision) -> None:
    """What the service says beyond the table, such as scores; of a newer service also what we do not know."""
    lines = [
        f"{row.get('provider', '')} {row.get('model', '')}: {more}"
        for row in decision.raw.get("candidates", ())
        if (more := _figures(row))
    ]
    if lines:
        print_text("\n".join(["", *map(one_line, lines)]))


def _figures(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in row.items() if key not in _IN_TABLE)


def _usd(value: float) -> str:
    return format_usd(from_usd(value))

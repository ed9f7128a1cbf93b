"""cortexctl route"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cortexd.cli.given.attachments import user_content
from cortexd.cli.given.prompt import read_prompt
from cortexd.cli.given.request_options import request_options
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.learned import print_learned
from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import one_line, print_json, print_text
from cortexd.cli.talking.session import run
from cortexd.domain.money import format_dollars

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
_FIGURES = (
    Column("#", right=True),
    Column("tokens in", right=True),
    Column("cached", right=True),
    Column("tokens out", right=True),
    Column("likely cost", right=True),
    Column("first token", right=True),
    Column("tokens/s", right=True),
    Column("time", right=True),
    Column("quality", right=True),
    Column("score", right=True),
)
_LEFT_OUT = (Column("left out"), Column("model"), Column("why"))
_RANKED_BY = {
    "table": "in the order of the operator's routing table",
    "cost": "by likely cost, the cheapest first",
    "latency": "by likely time, the quickest first",
    "quality": "by quality for the task type, the best first",
    "balanced": "by points lost to the best in cost, time and quality, the fewest first",
    "learned": "by reported outcomes of such tasks less the likely cost, the best first",
}
_SCORES = {"latency": "{:.0f} ms"}
_UNKNOWN = "—"


@click.command("route")
@click.argument("prompt", nargs=-1)
@request_options
@click.option("--explain", is_flag=True, help="Also say how the candidates were ranked, with every figure of each.")
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
            "unknown" if item.prompt_cost_usd is None else format_dollars(item.prompt_cost_usd),
            format_dollars(item.worst_case_cost_usd),
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
    """Every figure that the service gives of each candidate."""
    rows = [
        (
            str(item.rank),
            _figure(item.input_tokens),
            _figure(item.cached_share, "{:.0%}"),
            _figure(item.output_tokens),
            _UNKNOWN if item.likely_cost_usd is None else format_dollars(item.likely_cost_usd),
            _figure(item.first_token_ms, "{:.0f} ms"),
            _figure(item.tokens_per_s, "{:g}"),
            _figure(item.likely_ms, "{:.0f} ms"),
            _figure(item.quality, "{:g}"),
            _UNKNOWN if item.score is None else _score(decision.strategy, item.score),
        )
        for item in decision.candidates
    ]
    print_text("")
    print_table(_FIGURES, rows)
    if decision.learned is not None:
        print_text("")
        print_learned(decision.learned)


def _figure(value: float | None, form: str = "{}") -> str:
    return _UNKNOWN if value is None else form.format(value)


def _score(strategy: str, value: float) -> str:
    """With the unit that the strategy ranks by."""
    return format_dollars(value) if strategy == "cost" else _SCORES.get(strategy, "{:g}").format(value)

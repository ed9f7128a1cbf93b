"""The options that a request, its dry run and a batch share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from cortexd.cli.given.numbers import Dollars, Whole
from cortexd.domain.messages import LearnedMode, OnBreak, Secrets, Strategy

_OPTIONS = (
    click.option("--task", default="user_chat", show_default=True, metavar="TYPE", help="What the request is for."),
    click.option("--provider", metavar="NAME", help="Ask this provider and no other."),
    click.option("--model", metavar="ID", help="Ask this model."),
    click.option(
        "--strategy", type=click.Choice([item.value for item in Strategy]), help="How to choose among the models."
    ),
    click.option(
        "--learned",
        type=click.Choice([item.value for item in LearnedMode]),
        help="Whether reported outcomes decide (apply), or what they would is only noted (observe).",
    ),
    click.option("--max-tokens", type=Whole(1), metavar="N", help="The longest answer, in tokens."),
    click.option("--max-cost", type=Dollars(), metavar="USD", help="Refuse models that could cost more than this."),
    click.option("--session", metavar="NAME", help="Stay with the provider that answered this session last."),
    click.option("--local", is_flag=True, help="Use only endpoints that are marked as local."),
    click.option(
        "--secrets",
        type=click.Choice([item.value for item in Secrets]),
        help="What is done about keys and passwords in the text, where the operator's setting is laxer.",
    ),
    click.option(
        "--on-break",
        type=click.Choice([item.value for item in OnBreak]),
        help="When a stream fails in the middle: another answers anew, goes on from there, or nobody does.",
    ),
    click.option(
        "--hedge/--no-hedge",
        default=None,
        help="Ask another model as well where the first is slower than usual, for a whole answer; the quicker counts.",
    ),
    click.option("--no-fallback", is_flag=True, help="Do not ask another provider when the first fails."),
)


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives the command `options`: those of the bus API that were set."""

    @wraps(command)
    def collected(
        *args: Any,
        provider: str | None,
        model: str | None,
        strategy: str | None,
        learned: str | None,
        max_tokens: int | None,
        max_cost: float | None,
        session: str | None,
        local: bool,
        secrets: str | None,
        on_break: str | None,
        hedge: bool | None,
        no_fallback: bool,
        **rest: Any,
    ) -> Any:
        options = {
            "provider": provider,
            "model": model,
            "strategy": strategy,
            "learned": learned,
            "max_tokens": max_tokens,
            "max_cost_usd": max_cost,
            "session": session,
            "privacy": "local" if local else None,
            "secrets": secrets,
            "on_break": on_break,
            "hedge": hedge,
            "fallback": False if no_fallback else None,
        }
        return command(*args, options={key: value for key, value in options.items() if value is not None}, **rest)

    wrapped: Callable[..., Any] = collected
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def pairs(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Callback for a repeatable KEY=VALUE. Raises click.BadParameter."""
    table: dict[str, str] = {}
    for text in values:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise click.BadParameter(f"expected KEY=VALUE, got {text!r}.", ctx, parameter)
        table[key] = value
    return table

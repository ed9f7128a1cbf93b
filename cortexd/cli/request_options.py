"""The options that a request and its dry run share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

_OPTIONS = (
    click.option("--task", default="user_chat", show_default=True, metavar="TYPE", help="What the request is for."),
    click.option("--provider", metavar="NAME", help="Ask this provider and no other."),
    click.option("--model", metavar="ID", help="Ask this model."),
    click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="The longest answer, in tokens."),
    click.option("--local", is_flag=True, help="Use only endpoints that are marked as local."),
    click.option("--no-fallback", is_flag=True, help="Do not ask another provider when the first fails."),
)


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives the command `options`: those of the bus API that were set."""

    @wraps(command)
    def collected(
        *args: Any,
        provider: str | None,
        model: str | None,
        max_tokens: int | None,
        local: bool,
        no_fallback: bool,
        **rest: Any,
    ) -> Any:
        options = {
            "provider": provider,
            "model": model,
            "max_tokens": max_tokens,
            "privacy": "local" if local else None,
            "fallback": False if no_fallback else None,
        }
        return command(*args, options={key: value for key, value in options.items() if value is not None}, **rest)

    wrapped: Callable[..., Any] = collected
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped

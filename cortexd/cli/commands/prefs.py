"""cortexctl prefs, prefs set, prefs clear"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from cortexd.cli.given.request_options import pairs
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import print_json, print_note, print_text
from cortexd.cli.talking.session import run
from cortexd.domain.messages import LearnedMode, OnBreak, Secrets, Strategy

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, Preferences

_COLUMNS = (Column("preference"), Column("value"))
_NAMES = {
    "strategy": "strategy",
    "learned": "learned",
    "local-only": "local_only",
    "secrets": "secrets",
    "excluded": "excluded",
    "on-break": "on_break",
}


@click.group("prefs", invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Show or change your own wishes, which hold where a request does not say otherwise."""
    if ctx.invoked_subcommand is not None:
        return

    async def read(client: AsyncClient) -> Preferences:
        return await client.preferences()

    preferences = run(ctx.obj, read)
    if ctx.obj.json or as_json:
        print_json(dict(preferences.raw))
        return
    rows = [(task, provider) for task, provider in sorted(preferences.providers.items())]
    rows += [("strategy", preferences.strategy)] if preferences.strategy else []
    rows += [("learned", preferences.learned)] if preferences.learned else []
    rows += [("local-only", "yes")] if preferences.local_only else []
    rows += [("secrets", preferences.secrets)] if preferences.secrets else []
    rows += [("excluded", ", ".join(preferences.excluded))] if preferences.excluded else []
    rows += [("on-break", preferences.on_break)] if preferences.on_break else []
    if rows:
        print_table(_COLUMNS, rows)
    else:
        print_text("none: the operator's routing holds")


@command.command("set")
@click.argument("providers", nargs=-1, callback=pairs, metavar="[TASK=PROVIDER]...")
@click.option(
    "--strategy", type=click.Choice([item.value for item in Strategy]), help="How to choose among the models."
)
@click.option(
    "--learned",
    type=click.Choice([item.value for item in LearnedMode]),
    help="Whether reported outcomes decide (apply), or what they would is only noted (observe).",
)
@click.option("--local-only/--no-local-only", default=None, help="Whether only local endpoints may be asked.")
@click.option("--secrets", type=click.Choice([item.value for item in Secrets]), help="What is done about secrets.")
@click.option(
    "--exclude",
    metavar="PROVIDER,...",
    help="Providers, or single models (PROVIDER/MODEL), that are asked only where a request names them.",
)
@click.option(
    "--on-break",
    type=click.Choice([item.value for item in OnBreak]),
    help="When a stream fails in the middle: another answers anew, goes on from there, or nobody does.",
)
@click.pass_obj
def set_command(
    settings: Settings,
    providers: Mapping[str, str],
    strategy: str | None,
    learned: str | None,
    local_only: bool | None,
    secrets: str | None,
    exclude: str | None,
    on_break: str | None,
) -> None:
    """Change what is given and keep the rest.

    \b
      cortexctl prefs set code_generation=kimi_k2 --strategy cost
      cortexctl prefs set code_generation=kimi_k2/kimi-k2.7-code,claude
      cortexctl prefs set --exclude deepseek,claude/claude-opus-5-5
    """
    excluded = None if exclude is None else [item.strip() for item in exclude.split(",")]
    changes: dict[str, Any] = {
        "strategy": strategy,
        "learned": learned,
        "local_only": local_only,
        "secrets": secrets,
        "excluded": excluded,
        "on_break": on_break,
    }
    changes = {key: value for key, value in changes.items() if value is not None}
    if not providers and not changes:
        raise click.UsageError("Nothing to set.", click.get_current_context())

    async def change(client: AsyncClient) -> None:
        old = await _plain(client)
        await client.set_preferences(**{**old, **changes, "providers": {**old["providers"], **providers}})

    run(settings, change)
    print_note("kept; cortexctl prefs shows them all")


@command.command("clear")
@click.argument("names", nargs=-1, metavar="[TASK|strategy|learned|local-only|secrets|excluded|on-break]...")
@click.pass_obj
def clear_command(settings: Settings, names: tuple[str, ...]) -> None:
    """Give up the preferences named, or all of them."""

    async def clear(client: AsyncClient) -> None:
        kept = await _plain(client) if names else {}
        for name in names:
            kept.pop(_NAMES.get(name, ""), None)
            kept["providers"].pop(name, None)
        await client.set_preferences(**kept)

    run(settings, clear)
    print_note(f"given up: {', '.join(names) if names else 'all preferences'}")


async def _plain(client: AsyncClient) -> dict[str, Any]:
    """What is set now, as set_preferences takes it."""
    now = await client.preferences()
    plain: dict[str, Any] = {"providers": dict(now.providers)}
    if now.strategy:
        plain["strategy"] = now.strategy
    if now.learned:
        plain["learned"] = now.learned
    if now.local_only:
        plain["local_only"] = True
    if now.secrets:
        plain["secrets"] = now.secrets
    if now.excluded:
        plain["excluded"] = now.excluded
    if now.on_break:
        plain["on_break"] = now.on_break
    return plain

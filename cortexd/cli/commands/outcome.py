"""cortexctl outcome"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from cortexd.cli.given.numbers import Part, Whole
from cortexd.cli.given.request_options import pairs
from cortexd.cli.machine.last_answer import recall
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.failures import duration
from cortexd.cli.shown.terminal import print_json, print_note, print_notice
from cortexd.cli.talking.session import run
from cortexd.domain.outcomes import REPORTED, Source

if TYPE_CHECKING:
    from cortexd.client import AsyncClient, RequestRecord

_WORDS = {"good": 1.0, "bad": 0.0}
# what a shell says of a test that did not come to its end: skipped, not to be run, not found, Ctrl-C, terminated
_NO_TEST = frozenset({125, 126, 127, 130, 143})


def _score(ctx: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Callback: a word or a number. Raises click.BadParameter."""
    if value is None or value in _WORDS:
        return None if value is None else _WORDS[value]
    try:
        return float(click.FloatRange(0, 1)(value, parameter, ctx))
    except click.BadParameter:
        words = f"expected good, bad or a number from 0 to 1, got {value!r}."
        raise click.BadParameter(words, ctx, parameter) from None


@click.command("outcome")
@click.argument("request_id", metavar="ID|last")
@click.argument("score", callback=_score, metavar="good|bad|SCORE", required=False)
@click.option("--exit-status", type=Whole(0, 255), metavar="N", help="In place of SCORE: a test's, good where it is 0.")
@click.option(
    "--source",
    type=click.Choice([source.value for source in REPORTED]),
    help="Whose word it is (default: user; test with --exit-status).",
)
@click.option("--weight", type=Part(), metavar="PART", help="The part of its source's weight that it has.")
@click.option("--reason", default="", metavar="TEXT", help="Why, in up to 256 characters.")
@click.option(
    "--label", "labels", multiple=True, callback=pairs, metavar="KEY=VALUE", help="Kept beside it; may be repeated."
)
@json_option
@click.pass_obj
def command(
    settings: Settings,
    request_id: str,
    score: float | None,
    exit_status: int | None,
    source: str | None,
    weight: float | None,
    reason: str,
    labels: dict[str, str],
    as_json: bool,
) -> None:
    """Say how well an answer served: good, bad, or a SCORE from 0 (useless) to 1 (just right).

    ID is one of your own requests, also one of long ago; last is the one that this terminal had its last answer from,
    or else your last. A later word from the same source replaces the earlier one:

    \b
      cortexctl outcome last good
      make test; cortexctl outcome last --exit-status $?
    """
    if (score is None) == (exit_status is None):
        raise click.UsageError("Give good, bad or a score, or --exit-status.", click.get_current_context())
    if exit_status in _NO_TEST:
        print_notice(f"the test did not run to its end (exit status {exit_status}): nothing is reported")
        return
    given = float(not exit_status) if score is None else score
    word = source or (Source.USER if exit_status is None else Source.TEST).value

    async def report(client: AsyncClient) -> RequestRecord | None:
        record = await client.request(recall(settings.bus)) if request_id == "last" else None
        named = request_id if record is None else record.request_id
        await client.report_outcome(named, given, reason=reason, labels=labels or None, source=word, weight=weight)
        return record

    record = run(settings, report)
    if settings.json or as_json:
        named = request_id if record is None else record.request_id
        print_json({"request_id": named, "score": given, "source": word, "request": record and record.raw})
        return
    print_note(f"{request_id if record is None else _which(record)}: {_in_words(given)}, thank you")


def _in_words(score: float) -> str:
    return next((word for word, of in _WORDS.items() if of == score), f"{score:g}")


def _which(record: RequestRecord) -> str:
    """The request in words that its user knows it by."""
    who = f"{record.provider} {record.model}" if record.provider else "the cache, which nothing is learned of"
    return f"{record.task_type} by {who}, {_ago(record.started_at)} ({record.request_id})"


def _ago(moment: str) -> str:
    try:
        passed = datetime.now(UTC) - datetime.fromisoformat(moment)
    except (ValueError, TypeError):
        return "at an unknown time"
    if passed.days:
        return f"{passed.days} days ago"
    return f"{duration(max(0, passed.seconds * 1000))} ago"

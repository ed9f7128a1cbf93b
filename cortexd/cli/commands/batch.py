"""cortexctl batch"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cortexd.cli.given.numbers import Whole
from cortexd.cli.given.request_options import request_options
from cortexd.cli.settings import Settings
from cortexd.cli.shown.failures import PARTLY, duration
from cortexd.cli.shown.terminal import is_terminal, print_error, print_note
from cortexd.cli.talking.session import run
from cortexd.domain.money import format_usd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from typing import BinaryIO

    from cortexd.cli.batch.in_flight import Tally
    from cortexd.cli.batch.items import Defaults, Item
    from cortexd.cli.batch.output import Output
    from cortexd.cli.batch.progress import ProgressBar
    from cortexd.client import AsyncClient


@click.command("batch")
@click.argument(
    "input_path",
    required=False,
    metavar="[FILE]",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@request_options
@click.option("--parallel", type=Whole(1, 64), default=8, show_default=True, metavar="N", help="Requests at a time.")
@click.option(
    "--output",
    "output_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the answers go (default: standard output).",
)
@click.option("--resume", is_flag=True, help="Go on with --output: ask only what is not answered there.")
@click.option("--overwrite", is_flag=True, help="Begin --output anew, where it exists.")
@click.option(
    "--run-id",
    default="",
    metavar="ID",
    help="Start of each request id. With another ID everything is asked, and paid for, again.",
)
@click.option("--ask-again", is_flag=True, help="Ask, and pay, again where an earlier answer is no longer held.")
@click.pass_obj
def command(
    settings: Settings,
    input_path: Path | None,
    task: str,
    options: dict[str, Any],
    parallel: int,
    output_path: Path | None,
    resume: bool,
    overwrite: bool,
    run_id: str,
    ask_again: bool,
) -> None:
    """Answer many requests: JSON lines in, JSON lines out, in the same order.

    Each line of FILE, or of standard input, has a prompt or messages, and may have an id, a task_type and any option
    of the bus API; what it does not say the options here say:

    \b
      {"id": "a1", "prompt": "Translate to French: good morning"}
      {"id": "a2", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 50}

    Each line of the output has line, id and request_id, and content and metadata, or error. Running the same batch
    again pays for no answer twice: cortexd gives it again while it holds it, --output FILE --resume skips what FILE
    has and tries again what failed. Ctrl-C ends what is under way. Status 8 says that some lines failed.
    """
    from cortexd.cli.batch.items import Defaults

    if resume and overwrite:
        raise click.UsageError("Give --resume or --overwrite, not both.", click.get_current_context())
    output = _output(output_path, resume, overwrite)
    defaults = Defaults(task, options, run_id)
    begun = time.monotonic()
    elsewhere = output_path is not None or not is_terminal(sys.stdout)  # a bar and answers would overwrite each other
    finished = False
    try:
        tally = _work(settings, input_path, output, parallel, defaults, ask_again, shows=elsewhere)
        finished = True
    finally:
        output.close(finished=finished)
        if not finished and output_path is not None and output_path.exists():
            print_note(f"{output_path} holds what was answered; --resume goes on with it")
    _report(tally, time.monotonic() - begun)


def _work(
    settings: Settings,
    input_path: Path | None,
    output: Output,
    parallel: int,
    defaults: Defaults,
    ask_again: bool,
    *,
    shows: bool,
) -> Tally:
    from cortexd.cli.batch.in_flight import InFlight
    from cortexd.cli.batch.lines import count_lines
    from cortexd.cli.batch.progress import ProgressBar

    named = input_path is not None and str(input_path) != "-"
    opened = input_path.open("rb") if named and input_path else nullcontext(sys.stdin.buffer)
    with opened as source, _ended(ProgressBar(count_lines(source), wanted=shows)) as bar:
        in_flight = InFlight(_items(source, defaults), output, parallel, bar.show, ask_again=ask_again)

        async def answer(client: AsyncClient) -> None:
            await client.properties()  # where nobody serves say so at once, before patience begins
            if client.interactive:
                bar.end()
            await in_flight.run(client)

        run(settings, answer)
        return in_flight.tally


@contextmanager
def _ended(bar: ProgressBar) -> Iterator[ProgressBar]:
    try:
        yield bar
    finally:
        bar.end()


async def _items(source: BinaryIO, defaults: Defaults) -> AsyncIterator[Item]:
    from cortexd.cli.batch.items import item_of
    from cortexd.cli.batch.lines import lines_of

    async for number, text in lines_of(source):
        yield item_of(number, text, defaults)


def _output(path: Path | None, resume: bool, overwrite: bool) -> Output:
    from cortexd.cli.batch.output import ToFile, ToStdout

    context = click.get_current_context()
    if path is None:
        if resume or overwrite:
            raise click.UsageError("--resume and --overwrite are about --output FILE.", context)
        return ToStdout()
    if path.exists() and not (resume or overwrite):
        raise click.UsageError(f"{path} exists: --resume goes on with it, --overwrite begins it anew.", context)
    return ToFile(path, resume=resume)


def _report(tally: Tally, seconds: float) -> None:
    parts = [
        f"{tally.answered} answered",
        f"{tally.skipped} had answers already" * bool(tally.skipped),
        f"{tally.failed} failed" * bool(tally.failed),
        format_usd(tally.cost_nano_usd),
        duration(round(seconds * 1000)),
    ]
    print_note(", ".join(part for part in parts if part))
    if tally.expired:
        print_error(
            f"{tally.expired} of them were answered before, and cortexd no longer holds the answers; "
            f"--ask-again asks and pays for them again"
        )
    if tally.failed:
        print_error(f"{tally.failed} of {tally.failed + tally.answered} requests failed; their lines say why")
        raise click.exceptions.Exit(PARTLY)

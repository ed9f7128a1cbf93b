"""The command line as a whole: global options, the commands' names, and what every ending looks like."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from cortexd import __version__
from cortexd.cli.given.command_line import hide_content
from cortexd.cli.given.numbers import Seconds
from cortexd.cli.lazy import LazyGroup
from cortexd.cli.settings import Settings
from cortexd.cli.shown import failures
from cortexd.cli.shown.terminal import prepare_streams, print_error
from cortexd.errors import ConfigError, CortexError

_COMMANDS = {
    "ask": "Ask a model and print its answer.",
    "chat": "Talk with a model at the terminal.",
    "batch": "Answer many requests: JSON lines in, JSON lines out.",
    "requests": "Show your requests that are under way.",
    "cancel": "End requests of yours.",
    "outcome": "Say how well an answer served.",
    "learn": "See what outcomes have taught, and would give; keep, carry or forget it.",
    "run": "Run a program that speaks a vendor's API on this machine's models.",
    "bridge": "See to your endpoint for such programs: its state, its port.",
    "connect": "Let a program use this machine's models from now on, without a key.",
    "disconnect": "Take that out of a program's settings again.",
    "route": "Show which provider would answer, and why; spends nothing.",
    "usage": "Show what your requests used and cost.",
    "budget": "Show the limits that bind you, or set them.",
    "watch": "Show the cost of each of your requests as it arises.",
    "prefs": "Show or change your own wishes.",
    "status": "Say whether all is well with cortexd.",
    "providers": "Show the providers and their state.",
    "credentials": "Give providers their keys, or take them away.",
    "reload": "Let cortexd read its configuration again.",
    "config": "Check or show the configuration.",
    "ledger": "Copy, check or write out the ledger.",
    "fleet": "See to the machines that share a ledger.",
    "service": "Run cortexd on a machine that has no package of it.",
    "debug-report": "Gather what a bug report needs, without secrets.",
    "completion": "Print a completion script for bash or zsh.",
}
_STATUSES = "\b\nExit status:\n" + "\n".join(
    f"  {status:<4} {meaning}" for status, meaning in failures.MEANINGS.items()
)


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    click.echo(f"cortexctl {__version__}")
    ctx.exit()


@click.group(
    cls=LazyGroup,
    lazy=_COMMANDS,
    package="cortexd.cli.commands",
    epilog=_STATUSES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--bus",
    default="system",
    show_default=True,
    metavar="system|session|ADDRESS",
    help="The bus that cortexd serves on.",
)
@click.option(
    "--timeout",
    type=Seconds(),
    metavar="SECONDS",
    help="Give up after this long, and let the request end too (default: 10 minutes).",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts; also after the command.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
@click.pass_context
def cortexctl(ctx: click.Context, bus: str, timeout: float | None, as_json: bool) -> None:
    """Language models as a service of this machine: ask them, and see what they cost.

    Talks to cortexd over D-Bus; keys and providers are the service's, see cortexctl providers.
    """
    ctx.obj = Settings(bus, timeout, as_json)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; the exit status."""
    prepare_streams()
    if arguments is None:
        hide_content()
    try:
        status = _run(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever read our output has seen enough; what is left in the buffer must not be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return failures.OK
    except OSError as error:
        print_error(f"{error.strerror or error}")
        return failures.OTHER
    return status


def _run(arguments: list[str]) -> int:
    context = None
    try:
        with cortexctl.make_context("cortexctl", arguments) as context:
            cortexctl.invoke(context)
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return failures.USAGE
    except click.UsageError as error:
        print_error(_wrong_use(error, arguments))
        return failures.USAGE
    except CortexError as error:
        print_error(failures.told(error, context.obj.bus if context and context.obj else ""))
        return failures.exit_status(error)
    except ConfigError as error:
        for problem in error.problems:
            print_error(str(problem))
        return failures.DENIED if any(problem.forbidden for problem in error.problems) else failures.OTHER
    except (KeyboardInterrupt, click.Abort):
        print_error("interrupted")
        return failures.INTERRUPTED
    return failures.OK


def _wrong_use(error: click.UsageError, arguments: Sequence[str]) -> str:
    """A whole sentence, and the command whose help says more."""
    said = " ".join(error.format_message().split())  # click lists what may be chosen in a line each
    stop = "" if said.endswith((".", "?", "?)")) else "."
    return f"{said}{stop} Try: {error.ctx.command_path if error.ctx else _path(arguments)} --help"


def _path(arguments: Sequence[str]) -> str:
    """The command that is meant: click does not say where an option lacks its value."""
    command: click.Command = cortexctl
    path = ["cortexctl"]
    for word in arguments:
        if isinstance(command, click.Group) and (found := command.get_command(click.Context(command), word)):
            command = found
            path.append(word)
    return " ".join(path)

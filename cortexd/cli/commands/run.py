"""cortexctl run"""

from __future__ import annotations

import os
import secrets
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from cortexd.cli.given.tasks import task_option
from cortexd.cli.settings import Settings
from cortexd.domain.apps import program_of_command, shown_app
from cortexd.errors import InvalidArgument, ServiceUnavailable

_START_S = 30.0
_STOP_S = 10.0
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # as shells say it
_SIGNALLED = 128


@click.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--model", metavar="NAME", help="Answers where the program asks for a model that is not here, such as auto."
)
@task_option("What its requests are for, where they do not say (user_chat).")
@click.argument("words", nargs=-1, required=True, metavar="-- COMMAND...")
@click.pass_obj
def command(settings: Settings, model: str | None, task: str | None, words: tuple[str, ...]) -> None:
    """Run a program that speaks OpenAI's or Anthropic's API on this machine's models, without a key.

    \b
      cortexctl run -- llm "Why is the sky blue?"
      cortexctl run --model task/code_generation -- aider

    For as long as it runs an endpoint of its own listens on the loopback, which takes your programs alone; the usual
    environment variables tell it where. Its costs are yours, with its name as the label app.
    """
    if words[0].startswith("-"):  # click gives to the program what it does not know itself
        raise click.exceptions.NoSuchOption(words[0], ctx=click.get_current_context())
    app = shown_app(program_of_command(words[0], words).name)
    with _bridge(settings.bus, app, model, task) as (port, token):
        _refuse_unknown(port, token, model)
        status = _run(words, {**os.environ, **_told(port, token)})
    raise click.exceptions.Exit(status)


def _refuse_unknown(port: int, token: str, model: str | None) -> None:
    """Before the program begins, which would be told later, in its own words. Raises InvalidArgument."""
    from cortexd.cli.connecting.trying import why_unknown

    if model and (why := why_unknown(f"http://127.0.0.1:{port}", token, model)):
        raise InvalidArgument(f"--model: {why}")


def _told(port: int, token: str) -> dict[str, str]:
    """Where to ask, in the words of the vendors' SDKs and of the programs above them."""
    url = f"http://127.0.0.1:{port}"
    return {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_BASE": f"{url}/v1",  # LiteLLM, aider
        "OPENAI_API_KEY": token,
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": token,
        "ANTHROPIC_AUTH_TOKEN": token,  # Claude Code
    }


@contextmanager
def _bridge(bus: str, app: str, model: str | None, task: str | None) -> Iterator[tuple[int, str]]:
    """A bridge for one program: its port and token. Raises ServiceUnavailable."""
    token = secrets.token_urlsafe(24)
    read, write = os.pipe()
    wishes = [f"{name}={value}" for name, value in (("--app", app), ("--model", model), ("--task", task)) if value]
    isolation = "-I" if sys.flags.isolated else "-P"  # no module of the directory that it is run in
    command = [sys.executable, isolation, "-m", "cortexd.bridge", "--bus", bus, *wishes]
    process = subprocess.Popen(  # noqa: S603 - our own module
        [*command, "--port", "0", "--port-fd", str(write), "--while-stdin"],
        pass_fds=(write,),
        env={**os.environ, "PYTHONPATH": _modules(), "CORTEX_LLM_TOKEN": token},
        stdin=subprocess.PIPE,  # ends with us, however we end
        start_new_session=True,  # the terminal's Ctrl-C is the program's alone
    )
    os.close(write)
    try:
        yield _port(read), token
    finally:
        os.close(read)
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _modules() -> str:
    """Where this very cortexd is, before what is there already."""
    before = os.environ.get("PYTHONPATH")
    here = str(Path(__file__).parents[3])
    return f"{here}{os.pathsep}{before}" if before else here


def _port(read: int) -> int:
    ready, _, _ = select.select([read], [], [], _START_S)
    told = os.read(read, 16) if ready else b""
    if not told.strip().isdigit():
        raise ServiceUnavailable("The bridge did not start.")
    return int(told)


def _run(words: tuple[str, ...], environment: dict[str, str]) -> int:
    """The program's exit status; 128 and the signal's number where one ended it."""
    try:
        program = subprocess.Popen(words, env=environment)  # noqa: S603 - what was asked for
    except FileNotFoundError:
        click.echo(f"cortexctl: {words[0]}: command not found", err=True)
        return _NOT_FOUND
    except OSError as error:
        click.echo(f"cortexctl: {words[0]}: cannot be run: {error.strerror}", err=True)
        return _NOT_EXECUTABLE
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the program's to say what it means
    try:
        status = program.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    return status if status >= 0 else _SIGNALLED - status

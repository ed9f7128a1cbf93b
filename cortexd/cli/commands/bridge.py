"""cortexctl bridge port, bridge status, bridge check"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.failures import OTHER, told
from cortexd.cli.shown.terminal import one_line, print_json, print_notice, print_text
from cortexd.cli.talking.session import run
from cortexd.errors import CortexError

if TYPE_CHECKING:
    from cortexd.bridge.wishes import Wishes
    from cortexd.cli.bridge.state import State
    from cortexd.client import AsyncClient, Properties

_ANSWER_S = 30.0
_OFF = "off. To open one: cortexctl bridge port on"
_NO_FILES = "There is no bridge.toml: programs get what they ask for. To write one: ~/.config/cortex-llm/bridge.toml"
_NONE = "none is connected: cortexctl connect PROGRAM"


@click.group("bridge")
def command() -> None:
    """See to your bridge: the endpoint for programs that speak OpenAI's or Anthropic's API.

    It listens on a socket of yours, and on a port of this computer where you say so. It starts with a program's first
    request, and asks cortexd as you.
    """


@command.group("port")
def port_group() -> None:
    """Open a port for programs that know no Unix socket, or close it."""


@port_group.command("on", short_help="Open the port, and say its address and key.")
@click.option(
    "--port", type=click.IntRange(1024, 65_535), metavar="N", help="Which (default: the last one, or a free one)."
)
@click.option("--new-key", is_flag=True, help="Make a new key; programs with the old one are refused then.")
def on_command(port: int | None, new_key: bool) -> None:
    """Open a port on 127.0.0.1 that takes your programs alone, with a key. It stays open until `bridge port off`.

    \b
      export OPENAI_BASE_URL=http://127.0.0.1:PORT/v1
      export OPENAI_API_KEY=$(cat ~/.local/state/cortex-llm/bridge-key)
    """
    from cortexd.bridge.places import key_path
    from cortexd.cli.bridge.port import turn_on

    address, changed = turn_on(port, new_key=new_key)
    print_text(f"the port is open{'' if changed else ' already'}: {address.url}")
    print_text(f"its key is in {key_path()}")


@port_group.command("off")
def off_command() -> None:
    """Close the port. Your socket stays, and so does the key, for the next time."""
    from cortexd.cli.bridge.port import turn_off

    print_text("the port is closed" if turn_off() else "the port is closed already")


@command.command("status", short_help="Say whether your bridge answers, and where.")
@json_option
@click.pass_obj
def status_command(settings: Settings, as_json: bool) -> None:
    """Say whether your bridge answers, where, and what to do where it does not.

    The status is 0 where all is well, 1 where something is not.
    """
    from cortexd.cli.bridge.state import look

    state = look()
    service, failed = _service(settings)
    problems = [problem.text for problem in state.problems] + ([failed] if failed else [])
    if settings.json or as_json:
        print_json(_as_json(state, service, problems))
    else:
        _show(state, service, problems)
    if problems:
        raise click.exceptions.Exit(OTHER)


@command.command("check", short_help="Say what is wrong in bridge.toml.")
@click.pass_obj
def check_command(settings: Settings) -> None:
    """Say what is wrong in the files that say what is wished of your bridge, and which names in them lead nowhere.

    /etc/cortexd/bridge.toml is the computer's; ~/.config/cortex-llm/bridge.toml is yours, and stands above it. The
    status is 0 where all is well, 1 where something is not.
    """
    from cortexd.bridge.places import settings_paths
    from cortexd.bridge.wishes import read_wishes

    files = settings_paths()
    wishes = read_wishes(files)
    amiss = [str(problem) for problem in wishes.problems] or _leading_nowhere(settings, wishes)
    for problem in amiss:
        print_notice(problem)
    if amiss:
        raise click.exceptions.Exit(OTHER)
    print_text("\n".join(f"{file}: OK" for file in files if file.exists()) or _NO_FILES)


def _leading_nowhere(settings: Settings, wishes: Wishes) -> list[str]:
    from cortexd.bridge.names import Names

    async def read(client: AsyncClient) -> list[str]:
        names = Names(client)
        return [setting for setting, name in wishes.targets.items() if not await names.known(name)]

    try:
        return (
            [
                f"{setting}: there is no {wishes.targets[setting]!r}. To see what there is: cortexctl providers"
                for setting in run(settings, read)
            ]
            if wishes.targets
            else []
        )
    except CortexError as error:
        return [f"Whether the names are there nobody can say. {told(error, settings.bus)}"]


def _service(settings: Settings) -> tuple[Properties | None, str]:
    """The service that the bridge asks, or why there is none."""

    async def read(client: AsyncClient) -> Properties:
        return await client.properties()

    try:
        return run(replace(settings, timeout_s=settings.timeout_s or _ANSWER_S), read), ""
    except CortexError as error:
        return None, told(error, settings.bus)


def _as_json(state: State, service: Properties | None, problems: list[str]) -> dict[str, Any]:
    return {
        "status": "degraded" if problems else "healthy",
        "problems": problems,
        **state.as_json(),
        "cortexd": service.version if service else "",
    }


def _show(state: State, service: Properties | None, problems: list[str]) -> None:
    by_hand = "was started by hand" if state.socket.answers else "does not run"
    lines = {
        "socket": f"{state.socket.name or 'none'}{', answers' * state.socket.answers}",
        "port": f"{state.port.name}{', answers' * state.port.answers}" if state.port.name else _OFF,
        "bridge": f"runs as process {state.pid}" if state.pid else by_hand,
        "cortexd": service.version if service else "does not answer",
        "programs": ", ".join(program.name for program in state.programs) or _NONE,
    }
    print_text("\n".join(f"{name + ':':<10} {one_line(value)}" for name, value in lines.items()))
    for problem in problems:
        print_notice(problem)

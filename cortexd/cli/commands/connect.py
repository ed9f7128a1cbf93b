"""cortexctl connect"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from cortexd.cli.connecting import record
from cortexd.cli.connecting.asking import agreed, dry_run_option, yes_option
from cortexd.cli.connecting.bridge import address_by_hand, address_to_be, bridge_address, open_port
from cortexd.cli.connecting.obstacles import Obstacle, refusal
from cortexd.cli.connecting.programs import PROGRAMS, Home, Program, home_of_user
from cortexd.cli.connecting.record import USUAL_MODEL
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import print_json, print_text
from cortexd.errors import CortexError

if TYPE_CHECKING:
    from cortexd.cli.connecting.bridge import Address
    from cortexd.cli.connecting.plan import Step

_COLUMNS = (Column("program"), Column("installed"), Column("state"), Column("settings"))


@click.command("connect")
@click.argument("program", required=False, type=click.Choice(list(PROGRAMS)), metavar="[PROGRAM]")
@click.option("--model", metavar="NAME", help="The model that it asks for (default: the one of before, or auto).")
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    metavar="N",
    help="Of a bridge that was started by hand (default: that of cortexctl bridge port).",
)
@click.option("--try", "ask", is_flag=True, help="Also ask one small question, which costs what it costs.")
@yes_option
@dry_run_option
@json_option
@click.pass_obj
def command(
    settings: Settings,
    program: str | None,
    model: str | None,
    port: int | None,
    ask: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Let a program use this machine's models from now on, without a key of its own; alone, list the programs.

    Shows what it would change of the program's settings and asks. The rest of the file stays as it is, and a copy of it
    beside it. `cortexctl disconnect` takes it out again.

    \b
      cortexctl connect claude-code
      cortexctl connect aider --model task/code_generation
    """
    home = home_of_user()
    if program is None:
        return _list(home, as_json=settings.json or as_json)
    known = PROGRAMS[program]
    model = model or record.read(home, known).model
    address = address_by_hand(port) if port else _address(yes=yes, dry_run=dry_run)
    if _connected(home, known, address, model, yes=yes, dry_run=dry_run):
        _try(known, address, model, ask=ask)
        print_text(known.then.format(model=model, token_file=address.token_file))
    return None


def _list(home: Home, *, as_json: bool) -> None:
    address = _address_now()
    rows = [_row(home, program, address) for program in PROGRAMS.values()]
    if as_json:
        print_json(rows)
        return
    shown = [(row["program"], "yes" if row["installed"] else "no", row["state"], row["files"]) for row in rows]
    print_table(_COLUMNS, [(name, there, state, ", ".join(files)) for name, there, state, files in shown])


def _address_now() -> Address | None:
    try:
        return bridge_address()
    except CortexError:  # bridge status says what is amiss
        return None


def _row(home: Home, program: Program, address: Address | None) -> dict[str, Any]:
    from cortexd.cli.connecting.plan import paths_of, state_of

    paths = paths_of(home, program) or [item.path for item in program.files(home, address_to_be(), USUAL_MODEL)]
    installed = any(shutil.which(name) for name in program.commands)
    state = state_of(home, program, address)
    return {"program": program.name, "installed": installed, "state": str(state), "files": list(map(str, paths))}


def _address(*, yes: bool, dry_run: bool) -> Address:
    """Of the port, which is opened where it is closed and may be. Raises CortexError."""
    address = bridge_address()
    if address is not None:
        return address
    if not agreed("Programs need the bridge's port, which is off. Open it, for your programs alone?", yes, dry_run):
        return address_to_be()
    return open_port()


def _connected(home: Home, program: Program, address: Address, model: str, *, yes: bool, dry_run: bool) -> bool:
    """Whether it is now. Raises CortexError."""
    from cortexd.cli.connecting.plan import connect, connecting

    steps = connecting(home, program, address, model)
    if not steps:
        print_text(f"{program.title} is connected already")
        return not dry_run
    print_text(address.hidden("".join(step.diff() for step in steps)))
    if not agreed("Change it so?" if len(steps) == 1 else "Change them so?", yes, dry_run):
        return False
    connect(home, program, steps, model)
    print_text(f"{program.title} is connected{_kept(steps)}")
    return True


def _kept(steps: Sequence[Step]) -> str:
    copies = [str(step.file.backup) for step in steps if step.file.data is not None and not step.again]
    return f"; what stood there before is in {' and '.join(copies)}" if copies else ""


def _try(program: Program, address: Address, model: str, *, ask: bool) -> None:
    """Raises CortexError."""
    from cortexd.cli.connecting import trying

    found = len(trying.models(address))
    print_text(f"the bridge answers at {address.url}: {found} names of models")
    if why := trying.why_unknown(address.url, address.token, model):
        raise refusal(Obstacle.UNKNOWN, reason=why)
    if ask:
        seen = trying.chat(address, program.api, model)
        print_text(f"{seen.provider} ({seen.model}) answers for ${seen.cost_usd}: {seen.text}")

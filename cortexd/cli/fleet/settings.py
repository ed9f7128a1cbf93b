"""cortexctl fleet settings show, set, history, revert"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cortexd.cli.connecting.asking import agreed, dry_run_option, yes_option
from cortexd.cli.fleet.place import config_option, ledger_of
from cortexd.cli.fleet.revisions import (
    NOTHING_YET,
    as_file,
    in_json,
    print_difference,
    print_history,
    print_who_takes_it,
    text_of,
    warn_of_doubts,
)
from cortexd.cli.fleet.role import by_role, role_options, who_asks
from cortexd.cli.given.numbers import Whole
from cortexd.cli.settings import Settings, json_option
from cortexd.cli.shown.terminal import print_json, print_notice, print_text
from cortexd.errors import InvalidArgument

if TYPE_CHECKING:
    from cortexd.domain.fleet import Revision

_NUMBER = Whole(1)
_comment_option = click.option("--comment", default="", metavar="TEXT", help="Why, for who reads the history.")


@click.group("settings", short_help="See and change what the machines have in common.")
def command() -> None:
    """See and change the settings that the fleet's machines have in common.

    A revision is TOML as in conf.d, of [budgets], [routing], [privacy], and of providers what they cost and know.
    It stands above the files of every machine; each takes it within half a minute, or says why it cannot.
    """


@command.command("show", short_help="Print the settings in common.")
@click.argument("revision", type=_NUMBER, required=False)
@config_option
@json_option
@click.pass_obj
def show_command(settings: Settings, /, revision: int | None, config: Path | None, as_json: bool) -> None:
    """Print the newest revision, or the one of that number, as a file that fleet settings set takes again.

    Its first line says when it was made, and by whom.
    """
    from cortexd.ledger.keeping import fleet_settings

    ledger = ledger_of(config)
    found = _revision(ledger, revision)
    if settings.json or as_json:
        print_json(None if found is None else in_json(found) | {"text": found.text})
        return
    print_text(NOTHING_YET if found is None else as_file(found))
    if fleet_settings.open_to_all(ledger):
        print_notice("warning: every machine may change these settings; docs/fleet.md says how to leave that to a role")


@command.command("history", short_help="Show who changed them, and when.")
@config_option
@json_option
@click.pass_obj
def history_command(settings: Settings, /, config: Path | None, as_json: bool) -> None:
    """Show every revision that is kept, the newest first."""
    from cortexd.ledger.keeping import fleet_settings

    found = fleet_settings.history(ledger_of(config))
    if settings.json or as_json:
        print_json([in_json(each) for each in found])
    else:
        print_history(found)


@command.command("set", short_help="Give all machines the settings in a file.")
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path))
@_comment_option
@role_options
@config_option
@yes_option
@dry_run_option
def set_command(file: Path, comment: str, config: Path | None, **options: Any) -> None:
    """Make FILE (- for standard input) the fleet's settings, after a look at what changes.

    It is checked as a file of conf.d on this machine would be. It replaces the revision before as a whole.

    \b
      cortexctl fleet settings show > fleet.toml
      cortexctl fleet settings set fleet.toml --role cortexd_admin --comment "more for the labs"
    """
    _change(text_of(file), str(file), comment, config, **options)


@command.command("revert", short_help="Go back to an earlier revision.")
@click.argument("revision", type=_NUMBER)
@_comment_option
@role_options
@config_option
@yes_option
@dry_run_option
def revert_command(revision: int, comment: str, config: Path | None, **options: Any) -> None:
    """Make the text of that revision the newest one's; what came between stays in the history."""
    earlier = _revision(ledger_of(config), revision)
    assert earlier is not None
    _change(earlier.text, f"revision {revision}", comment or f"as revision {revision}", config, **options)


def _change(text: str, name: str, comment: str, config: Path | None, yes: bool, dry_run: bool, **role: Any) -> None:
    from cortexd.ledger.keeping import fleet_settings

    ledger = ledger_of(config)
    before = fleet_settings.read(ledger)
    number = before.number if before else 0
    warn_of_doubts(text, name, number + 1, config)
    if before is not None and before.text == text:
        print_text(f"nothing changes: revision {number} says the same")
        return
    print_difference(before, text, name)
    print_who_takes_it(ledger)
    if agreed(f"Make it revision {number + 1}?", yes, dry_run):
        made = fleet_settings.add(by_role(ledger, **role), text, comment, who_asks(), number)
        print_text(f"revision {made.number} holds; cortexctl fleet hosts shows which machines run it")


def _revision(ledger: Any, number: int | None) -> Revision | None:
    """The one of that number, or the newest if there is any."""
    from cortexd.ledger.keeping import fleet_settings

    found = fleet_settings.read(ledger, number)
    if found is None and number is not None:
        raise InvalidArgument(f"There is no revision {number}. Look at cortexctl fleet settings history.")
    return found

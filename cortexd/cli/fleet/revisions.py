"""Revisions of a fleet's settings as a person reads them: as a file, beside the one before, in a history."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortexd import __version__
from cortexd.cli.shown.tables import Column, print_table
from cortexd.cli.shown.terminal import one_line, print_note, print_notice, print_text
from cortexd.domain.fleet import Revision
from cortexd.errors import ConfigError, InvalidArgument

if TYPE_CHECKING:
    from cortexd.config.settings import LedgerSettings
    from cortexd.ledger.reading.fleet import HostState

_COLUMNS = (Column("revision", right=True), Column("made"), Column("by"), Column("as role"), Column("why"))
NOTHING_YET = "# the fleet's machines have no settings in common yet"


def as_file(revision: Revision) -> str:
    """Its text below a line that says whose it is."""
    why = f": {one_line(revision.comment)}" if revision.comment else ""
    return f"# revision {revision.number}, {_made(revision)}, by {_whose(revision)}{why}\n{revision.text}"


def in_json(revision: Revision) -> dict[str, Any]:
    """All but the text. The time is ISO 8601 in UTC."""
    return {
        "revision": revision.number,
        "at": revision.at.isoformat(),
        "author": revision.author,
        "role": revision.role,
        "comment": revision.comment,
    }


def print_history(revisions: Sequence[Revision]) -> None:
    if not revisions:
        print_note(NOTHING_YET.removeprefix("# "))
        return
    rows = [(str(each.number), _made(each), each.author, each.role, one_line(each.comment)) for each in revisions]
    print_table(_COLUMNS, rows)


def text_of(file: Path) -> str:
    """What somebody hands in. Raises InvalidArgument."""
    from cortexd.config.fleet import MAX_TEXT_BYTES

    try:
        data = sys.stdin.buffer.read(MAX_TEXT_BYTES + 1) if str(file) == "-" else file.read_bytes()
        text = data.decode("utf-8")
    except OSError as error:
        raise InvalidArgument(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidArgument(f"{file} is not UTF-8 text") from None
    if len(data) > MAX_TEXT_BYTES or "\0" in text:
        raise InvalidArgument(f"{file} is no file of settings: they are text of at most {MAX_TEXT_BYTES} bytes")
    return _without_head(text)


def warn_of_doubts(text: str, name: str, number: int, config: Path | None) -> None:
    """See that this machine could take it. Raises ConfigError, whose places are in `name`."""
    from cortexd.catalog.doubts import doubts_of
    from cortexd.config import load_config
    from cortexd.config.fleet import named

    revision = Revision(number, datetime.now(UTC), "", "", "", text)
    try:
        read = load_config(config, revision)
    except ConfigError as error:
        own = str(named(number))
        problems = (replace(each, file=name) if each.file == own else each for each in error.problems)
        raise ConfigError(*problems) from None
    for doubt in doubts_of(read):
        print_notice(f"warning: {doubt}")


def print_difference(before: Revision | None, text: str, name: str) -> None:
    """As diff -u has it."""
    old, said = (before.text, f"revision {before.number}") if before else ("", "nothing")
    print_text("\n".join(difflib.unified_diff(old.splitlines(), text.splitlines(), said, name, lineterm="")))


def print_who_takes_it(ledger: LedgerSettings) -> None:
    """Which machines will take a revision, as far as one can know from here."""
    from cortexd.ledger.reading.fleet import look

    hosts = look(ledger).hosts
    running = [each for each in hosts if not each.silent]
    print_notice(f"{_machines(len(running))} will look at it within half a minute")
    if silent := len(hosts) - len(running):
        print_notice(f"{_machines(silent)} not running now will look at it at the next start")
    if others := [each for each in hosts if each.host.version != __version__]:
        print_notice(f"of another version than this {__version__}, so perhaps unable to take it: {_named(others)}")


def _named(hosts: Sequence[HostState], most: int = 5) -> str:
    shown = ", ".join(f"{each.host.name} ({each.host.version})" for each in hosts[:most])
    return shown if len(hosts) <= most else f"{shown} and {len(hosts) - most} more"


def _machines(number: int) -> str:
    return "1 machine" if number == 1 else f"{number} machines"


def _without_head(text: str) -> str:
    """Without what `settings show` put above it, so that what is shown, changed and set again has one head at most."""
    first, _, rest = text.partition("\n")
    return rest if first.startswith("# revision ") or first == NOTHING_YET else text


def _made(revision: Revision) -> str:
    return f"{revision.at.astimezone():%Y-%m-%d %H:%M}"


def _whose(revision: Revision) -> str:
    return f"{revision.author} as {revision.role}"

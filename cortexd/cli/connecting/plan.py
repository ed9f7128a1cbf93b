"""What connecting or disconnecting a program would change of its files: worked out whole before anything is written."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from cortexd.cli.connecting import files, record
from cortexd.cli.connecting.bridge import Address
from cortexd.cli.connecting.changes import Change, Setting, put_all, says, undo
from cortexd.cli.connecting.files import File
from cortexd.cli.connecting.formats import FORMATS, Format
from cortexd.cli.connecting.obstacles import Obstacle, refusal
from cortexd.cli.connecting.places import CannotEdit, Unreadable
from cortexd.cli.connecting.programs import Home, Program, Wanted
from cortexd.cli.connecting.record import Record, Written
from cortexd.errors import CortexError


class State(StrEnum):
    CONNECTED = "connected"
    CHANGED = "changed"  # somebody has changed what was written
    UNREADABLE = "cannot be read"
    OLD = "out of date"  # the bridge has another port or key by now
    NOT = "not connected"


@dataclass(frozen=True, slots=True)
class Step:
    """One file: what it says, is to say, and what of ours is in it then. `again`: there was something of ours already;
    `kept`: what somebody has changed since."""

    file: File
    text: str
    written: Written
    by_hand: str = ""
    again: bool = False
    kept: tuple[Change, ...] = ()

    @property
    def changes(self) -> bool:
        return self.text != self.file.text

    def diff(self) -> str:
        before, after = (text.splitlines(keepends=True) for text in (self.file.text, self.text))
        name = str(self.file.path)
        lines = difflib.unified_diff(before, after, name if self.file.data is not None else "/dev/null", name)
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def state_of(home: Home, program: Program, address: Address | None) -> State:
    """By what was written, what the files say now, and what they would have to."""
    try:
        known = record.read(home, program)
        if not known.files:
            return State.NOT
        if not all(_says(item) for item in known.files):
            return State.CHANGED
        return State.OLD if address and connecting(home, program, address, known.model) else State.CONNECTED
    except CortexError:
        return State.UNREADABLE


def paths_of(home: Home, program: Program) -> list[Path]:
    """The files that something was written into."""
    try:
        return [item.path for item in record.read(home, program).files]
    except CortexError:
        return [record.path_of(home, program)]


def _says(written: Written) -> bool:
    form = FORMATS[written.form]
    file = files.read(written.path)
    with _told(file, form):
        return says(form, file.text, written.changes)


def connecting(home: Home, program: Program, address: Address, model: str) -> list[Step]:
    """The files that have to change; none where all is there. Raises CortexError."""
    before = {item.path: item for item in record.read(home, program).files}
    wanted = program.files(home, address, model)
    hidden = program.files(home, replace(address, token=f"(the text in {address.token_file})"), model)
    by_hand = "\n".join(map(_by_hand, hidden))
    if reason := program.blocked(home):
        raise refusal(Obstacle.IN_VAIN, title=program.title, path=reason[0], reason=reason[1], by_hand=by_hand)
    steps = [_connecting(item, before, by_hand) for item in wanted]
    return [step for step in steps if step.changes]


def _connecting(wanted: Wanted, before: Mapping[Path, Written], by_hand: str) -> Step:
    """Values of an earlier time are taken out first, so that what stood there before them is not forgotten."""
    file, form = files.read(wanted.path), wanted.form
    known = before.get(file.path, Written(file.path, form.name, file.data is None, ()))
    with _told(file, form, by_hand):
        base = undo(form, file.text, known.changes, force=True).text
        settings = wanted.settings(form.parse(base))
        if says(form, file.text, settings):
            return Step(file, file.text, known)
        text, changes = put_all(form, base, settings)
    files.refuse_unwritable(file, by_hand)
    return Step(file, text, replace(known, changes=tuple(changes)), by_hand, again=bool(known.changes))


def disconnecting(home: Home, program: Program, *, force: bool) -> list[Step]:
    """A step for each file that was written. Raises CortexError."""
    written = record.read(home, program).files
    if not written:
        raise refusal(Obstacle.NOT_CONNECTED, title=program.title)
    return [_disconnecting(item, force=force) for item in written]


def _disconnecting(written: Written, *, force: bool) -> Step:
    file, form = files.read(written.path), FORMATS[written.form]
    by_hand = f"{file.path}: take out\n{_indented(_shown(form, _settings(written)))}"
    with _told(file, form, by_hand):
        undone = undo(form, file.text, written.changes, force=force)
    step = Step(file, undone.text, replace(written, changes=undone.kept), by_hand, kept=undone.kept)
    if step.changes:
        files.refuse_unwritable(file, by_hand)
    return step


def connect(home: Home, program: Program, steps: Sequence[Step], model: str) -> None:
    """Write down what will be written, then write it. Raises CortexError."""
    record.write(home, program, Record(model, _remaining(home, program, steps)))
    for step in steps:
        files.write(step.file, step.text, copy=not step.again, by_hand=step.by_hand)


def disconnect(home: Home, program: Program, steps: Sequence[Step]) -> None:
    """Write the files, then down what is left. Raises CortexError."""
    for step in steps:
        if step.changes:
            files.write_back(step.file, step.text, created=step.written.created, by_hand=step.by_hand)
    model = record.read(home, program).model
    record.write(home, program, Record(model, _remaining(home, program, steps)))


def _remaining(home: Home, program: Program, steps: Sequence[Step]) -> tuple[Written, ...]:
    before = {item.path: item for item in record.read(home, program).files}
    after = {**before, **{step.written.path: step.written for step in steps}}
    return tuple(item for item in after.values() if item.changes)


def _by_hand(wanted: Wanted) -> str:
    return f"{wanted.path}:\n{_indented(_shown(wanted.form, wanted.settings(None)))}"


def _shown(form: Format, settings: Sequence[Setting]) -> str:
    return put_all(form, "", settings)[0]


def _settings(written: Written) -> list[Setting]:
    return [Setting(change.place, change.value) for change in written.changes]


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


@contextmanager
def _told(file: File, form: Format, by_hand: str = "") -> Iterator[None]:
    try:
        yield
    except Unreadable as error:
        line = f" (line {error.line})" if error.line else ""
        raise refusal(Obstacle.UNREADABLE, path=file.path, form=form.name, line=line, reason=error.reason) from None
    except CannotEdit as error:
        raise refusal(Obstacle.ODD_STYLE, path=file.path, place=error, by_hand=by_hand) from None

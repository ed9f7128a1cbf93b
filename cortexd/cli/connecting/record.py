"""What was written into a program's settings, so that taking it out touches nothing else: a JSON file of the user's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortexd.cli.connecting.changes import Change, Splice
from cortexd.cli.connecting.obstacles import Obstacle, refusal
from cortexd.cli.connecting.places import ABSENT, Entry, Place
from cortexd.cli.connecting.programs import PROGRAMS, Home, Program
from cortexd.config.whole_file import replace

USUAL_MODEL = "auto"


@dataclass(frozen=True, slots=True)
class Written:
    """One file. `created`: it was not there before."""

    path: Path
    form: str
    created: bool
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """`model`: what the program was told to ask for. Without files it is not connected."""

    model: str = USUAL_MODEL
    files: tuple[Written, ...] = ()


def path_of(home: Home, program: Program) -> Path:
    state = home.of("XDG_STATE_HOME", home.below(".local", "state"))
    return state / "cortexctl" / "connected" / f"{program.name}.json"


def connected(home: Home) -> list[str]:
    """The names of the programs that something was written for."""
    return [name for name, program in PROGRAMS.items() if path_of(home, program).is_file()]


def read(home: Home, program: Program) -> Record:
    """Raises CortexError."""
    path = path_of(home, program)
    try:
        document = json.loads(path.read_bytes())
        return Record(str(document["model"]), tuple(_written(item) for item in document["files"]))
    except FileNotFoundError:
        return Record()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise refusal(Obstacle.DAMAGED_RECORD, path=path, title=program.title, reason=error) from None


def write(home: Home, program: Program, record: Record) -> None:
    """Raises CortexError. It holds what the files hold, the key too: for the user alone."""
    path = path_of(home, program)
    try:
        if not record.files:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        document = {"model": record.model, "files": [_document(item) for item in record.files]}
        text = json.dumps(document, indent=1, ensure_ascii=False, default=str)
        replace(path, f"{text}\n".encode(), 0o600, path.parent)
    except OSError as error:
        raise refusal(Obstacle.NOT_WRITTEN, path=path, reason=error.strerror or error) from None


def _document(written: Written) -> dict[str, Any]:
    changes = [_change_document(change) for change in written.changes]
    return {"path": str(written.path), "form": written.form, "created": written.created, "changes": changes}


def _change_document(change: Change) -> dict[str, Any]:
    steps = [[step.key, step.value] if isinstance(step, Entry) else step for step in change.place]
    splice = change.splice
    document = {
        "place": steps,
        "value": change.value,
        "made": change.made,
        "at": splice.at,
        "put": splice.put,
        "out": splice.out,
    }
    return document if change.before is ABSENT else {**document, "before": change.before}


def _written(document: Mapping[str, Any]) -> Written:
    changes = tuple(_change(item) for item in document["changes"])
    return Written(Path(document["path"]), str(document["form"]), bool(document["created"]), changes)


def _change(document: Mapping[str, Any]) -> Change:
    place: Place = tuple(Entry(*step) if isinstance(step, list) else str(step) for step in document["place"])
    splice = Splice(int(document["at"]), str(document["put"]), str(document["out"]))
    return Change(place, document["value"], document.get("before", ABSENT), int(document["made"]), splice)

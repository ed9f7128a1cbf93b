"""What an installation has written, so that removing it touches nothing else: a JSON file of root's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortexd.cli.service.obstacles import Obstacle, refusal
from cortexd.cli.service.places import below

PATH = Path("/usr/local/lib/cortexd/installed.json")


@dataclass(frozen=True, slots=True)
class Record:
    """`files`: SHA-256 of what was written, two while an update is under way; `directories` in the order of making."""

    version: str = ""
    files: Mapping[Path, frozenset[str]] = field(default_factory=dict)
    directories: tuple[Path, ...] = ()

    def to_json(self) -> bytes:
        files = {str(path): sorted(digests) for path, digests in sorted(self.files.items())}
        made = [str(path) for path in self.directories]
        document = {"version": self.version, "files": files, "directories": made}
        return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape")


def read(root: Path) -> Record | None:
    """None where nothing is installed. Raises CortexError."""
    file = below(root, PATH)
    try:
        return _of(json.loads(file.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise refusal(Obstacle.DAMAGED_RECORD, path=file, reason=error) from None


def _of(document: Any) -> Record:
    files = {_absolute(path): frozenset(map(str, digests)) for path, digests in document["files"].items()}
    return Record(str(document["version"]), files, tuple(map(_absolute, document["directories"])))


def _absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{text!r} is no whole path")
    return path

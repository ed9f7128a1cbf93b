"""What belongs on a machine, and where: the table that Debian's package is made from too.

Paths are absolute, as they are on the machine; `below` finds them under another root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cortexd
from cortexd.bridge.places import PROGRAM

SOURCES = Path(cortexd.__file__).parent / "files"
TABLE = SOURCES / "places"
# What people and the service put there: kept unless it is to be purged.
SETTINGS = Path("/etc/cortexd")
KEPT = (SETTINGS, Path("/var/lib/cortexd"), Path("/var/cache/cortexd"))
_COMPLETION = "completion:"
# Of the units, for the bus and for systemd: the package's paths, which are others here.
_UNITS = (".service", ".socket")
_PROGRAM, _BRIDGE = b"/usr/bin/cortexd", b"/usr/bin/cortex-llm-bridge"
_DOCUMENTS = (b"/usr/share/doc/", b"/usr/local/share/doc/")


@dataclass(frozen=True, slots=True)
class Row:
    """`source`: a pattern below the sources; `package` and `here`: a file, or with a slash at its end a directory."""

    mode: int
    source: str
    package: str
    here: str

    @property
    def is_directory(self) -> bool:
        return self.source == "-"

    @property
    def completion(self) -> str:
        """The shell whose completion script it is, or ""."""
        return self.source.removeprefix(_COMPLETION) if self.source.startswith(_COMPLETION) else ""


@dataclass(frozen=True, slots=True)
class File:
    path: Path
    mode: int
    data: bytes

    @property
    def digest(self) -> str:
        return digest(self.data)


@dataclass(frozen=True, slots=True)
class Directory:
    path: Path
    mode: int


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def is_setting(path: Path) -> bool:
    return SETTINGS in path.parents


def is_kept(path: Path) -> bool:
    return any(path == kept or kept in path.parents for kept in KEPT)


def below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def rows(table: Path = TABLE) -> list[Row]:
    lines = (line.split() for line in table.read_text("utf-8").splitlines() if not line.startswith("#"))
    return [Row(int(mode, 8), source, package, here) for mode, source, package, here in lines]


def is_of_package(path: Path) -> bool:
    """Whether a package of cortexd, if there is one, puts a file there."""
    return any(Path("/", row.package) in (path, path.parent) for row in rows() if not row.is_directory)


def wanted(program: Path, completion: Callable[[str], str]) -> list[File | Directory]:
    """All that belongs here, in the table's order. `program`: what the units start; `completion`: of a shell."""
    found: list[File | Directory] = []
    for row in rows():
        if row.is_directory:
            found.append(Directory(Path("/", row.here), row.mode))
        elif row.completion:
            found.append(File(Path("/", row.here), row.mode, completion(row.completion).encode()))
        else:
            sources = (path for path in sorted(SOURCES.glob(row.source)) if path.is_file())
            found += [File(_target(row.here, source), row.mode, _read(source, program)) for source in sources]
    return found


def _target(place: str, source: Path) -> Path:
    return Path("/", place, source.name) if place.endswith("/") else Path("/", place)


def _read(source: Path, program: Path) -> bytes:
    data = source.read_bytes()
    if source.suffix not in _UNITS:
        return data
    bridge = program.with_name(PROGRAM)
    return data.replace(_PROGRAM, bytes(program)).replace(_BRIDGE, bytes(bridge)).replace(*_DOCUMENTS)

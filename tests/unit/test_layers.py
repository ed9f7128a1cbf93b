"""The floors of the house: imports go only downward, and some libraries stay in their room."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# From the ground up. A room may import rooms on lower floors and, within itself, what it likes.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "vendored"),
    ("faults", "messages", "tasks", "untrusted", "notify", "journal"),
    ("money",),
    ("validation",),
    ("config",),
    ("catalog", "ledger"),
    ("providers",),
    ("routing", "access"),
    ("kept",),
    ("inflight", "outcome", "answer_cache", "housekeeping", "idle"),
    ("attempts", "accounts", "metrics", "request_log"),
    ("fulfilment", "streaming"),
    ("service", "library"),
    ("batches",),
    ("wire", "connection"),
    ("bus", "client"),
    ("cli", "bus_library"),
    ("demo",),
    ("daemon",),
    ("__main__",),
)
HEIGHT = {room: height for height, floor in enumerate(FLOORS) for room in floor}
# library -> the rooms that may import it
LIBRARIES = {
    "dbus_next": {"bus", "wire", "connection", "client", "daemon"},
    "anthropic": {"providers"},
    "openai": {"providers"},
    "sqlalchemy": {"ledger"},
    "alembic": {"ledger"},
    "click": {"cli"},
    "rich": {"cli", "demo"},
    "aiohttp": {"demo", "providers"},
}
# what a client program must be able to import with nothing but the standard library and dbus-next
CLIENT_SIDE = {"errors", "messages", "tasks", "untrusted", "money", "validation", "wire", "connection", "client"}


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted((ROOT / "cortexd").rglob("*.py")):
        parts = path.relative_to(ROOT / "cortexd").with_suffix("").parts
        if parts != ("__init__",):
            found.append((parts[0], path))
    return found


def imports(path: Path) -> set[str]:
    """Dotted names of every module that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def rooms_imported(path: Path) -> set[str]:
    rooms = set()
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "cortexd" and len(parts) > 1 and parts[1] != "__version__":
            rooms.add(parts[1])
    return rooms


@pytest.mark.parametrize(("room", "path"), modules(), ids=lambda value: str(value).rpartition("cortexd/")[2])
class TestFloors:
    def test_imports_go_downward_only(self, room: str, path: Path) -> None:
        """A room imports what stands below it, never above, never beside."""
        upward = {other for other in rooms_imported(path) - {room} if HEIGHT[other] >= HEIGHT[room]}
        assert not upward, f"{path.relative_to(ROOT)} ({room}) imports {sorted(upward)}"

    def test_no_relative_imports(self, room: str, path: Path) -> None:
        """Imports name their room in full, so that the floors can be read."""
        relative = [node for node in ast.walk(ast.parse(path.read_text("utf-8")))
                    if isinstance(node, ast.ImportFrom) and node.level]  # fmt: skip
        assert not relative

    def test_libraries_stay_in_their_rooms(self, room: str, path: Path) -> None:
        """The SDKs, SQLAlchemy, dbus-next and the terminal libraries are each known to few rooms."""
        used = {name.partition(".")[0] for name in imports(path)}
        strayed = {library for library in used & LIBRARIES.keys() if room not in LIBRARIES[library]}
        assert not strayed, f"{path.relative_to(ROOT)} imports {sorted(strayed)}"


class TestRooms:
    def test_every_room_has_a_floor(self) -> None:
        """A new room must be put on a floor here."""
        assert {room for room, _ in modules()} <= HEIGHT.keys()

    def test_client_side_needs_no_daemon_library(self) -> None:
        """What a client imports stands on client-side rooms alone."""
        for room, path in modules():
            if room in CLIENT_SIDE:
                assert rooms_imported(path) <= CLIENT_SIDE, path

"""The floors of the house: imports go only downward, and some libraries stay in their room."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# From the ground up. A room may import rooms on lower floors and, within itself, what it likes.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "vendored"),
    ("domain",),
    ("validation", "connection"),
    ("config", "formats"),
    ("catalog", "ledger", "access", "privacy"),
    ("providers", "authority", "client"),
    ("routing", "pool"),
    ("accounts",),
    ("requests", "library", "bridge"),
    ("telemetry", "bus", "cli"),
    ("daemon",),
    ("__main__",),
)
HEIGHT = {room: height for height, floor in enumerate(FLOORS) for room in floor}
# library -> the rooms that may import it
LIBRARIES = {
    "dbus_next": {"connection"},
    "anthropic": {"providers"},
    "openai": {"providers"},
    "sqlalchemy": {"ledger"},
    "alembic": {"ledger"},
    "click": {"cli"},
    "rich": {"cli"},
    "yaml": {"cli"},
    "aiohttp": {"providers", "bridge"},
}
# what a client program must be able to import with nothing but the standard library and dbus-next
CLIENT_SIDE = {"errors", "domain", "validation", "connection", "client"}
# what runs in a user's own process never imports the daemon's side
DAEMON_SIDE = {"daemon", "bus", "telemetry", "requests", "accounts", "authority", "access"}
USERS_SIDE = {"client", "library", "cli", "bridge"}
MAX_FLOORS, MAX_LOOSE_MODULES, MAX_LINES = 12, 8, 400
NOT_SHIPPED = "demo"  # the old address of simulated/


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted((ROOT / "cortexd").rglob("*.py")):
        parts = path.relative_to(ROOT / "cortexd").with_suffix("").parts
        if parts != ("__init__",) and parts[0] != NOT_SHIPPED:
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

    def test_users_side_knows_no_daemon(self) -> None:
        """The client, the library and cortexctl reach the daemon over the bus alone."""
        for room, path in modules():
            if room in USERS_SIDE:
                assert not rooms_imported(path) & DAEMON_SIDE, path

    def test_requests_know_no_bus(self) -> None:
        """A request's life is told in domain words: no D-Bus type reaches it."""
        for room, path in modules():
            if room == "requests":
                assert not rooms_imported(path) & {"connection", "bus", "client"}, path

    def test_house_is_small_enough_to_overlook(self) -> None:
        """Few floors, few modules beside the rooms, no module that wants a wall."""
        loose = [path.name for path in (ROOT / "cortexd").glob("*.py")]
        long = [path for _, path in modules() if path.read_text("utf-8").count("\n") > MAX_LINES]
        assert len(FLOORS) <= MAX_FLOORS
        assert len(loose) <= MAX_LOOSE_MODULES
        assert not long


def test_imports_leave_the_environment_as_it_is() -> None:
    """Whoever imports a module of ours, a test of another one included, goes on with the variables that were there."""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for _, path in modules()
        if "migrations" not in path.parts
    ]
    code = "import importlib, os, sys; before = dict(os.environ)\n"
    code += "for name in sys.argv[1:]: importlib.import_module(name.removesuffix('.__init__'))\n"
    code += "sys.exit(before != dict(os.environ))"
    subprocess.run([sys.executable, "-c", code, *names], check=True, cwd=ROOT, timeout=120)

"""cortexctl service: what it would put on a machine and take away again, in the files of a root of its own."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path

import pytest

from cortexd.cli.app import cortexctl, main
from cortexd.cli.machine import others as beside
from cortexd.cli.service import carrying_out, places, record
from cortexd.cli.service.obstacles import _SENTENCES, Obstacle
from cortexd.cli.service.places import Directory, File, below, rows, wanted
from cortexd.cli.service.plan import Change, Run, Step, installation, removal
from cortexd.cli.service.program import check, refuse_unspeakable
from cortexd.cli.service.record import Record
from cortexd.cli.shown import failures
from cortexd.errors import CortexError

DOCUMENTS = Path(__file__).resolve().parents[2] / "docs"
PROGRAM = Path("/opt/cortexd/bin/cortexd")
ALL = wanted(PROGRAM, lambda shell: f"# for {shell}\n")
FILES = {item.path: item for item in ALL if isinstance(item, File)}
UNIT = next(path for path in FILES if path.name == "cortex-llm-router.service")
POLICY = next(path for path in FILES if path.suffix == ".conf" and "dbus-1" in path.parts)
SETTINGS = Path("/etc/cortexd/config.toml")


def service(*arguments: str, root: Path) -> None:
    cortexctl.main(["service", *arguments, "--root", str(root)], standalone_mode=False)


def install(root: Path, program: Path = PROGRAM) -> None:
    service("install", "--yes", "--program", str(program), root=root)


def remove(root: Path, *options: str) -> None:
    service("remove", "--yes", *options, root=root)


def refused(arguments: list[str], root: Path) -> str:
    with pytest.raises(CortexError) as caught:
        service(*arguments, root=root)
    return str(caught.value.details["cause"])


def refused_install(root: Path) -> str:
    return refused(["install", "--yes", "--program", str(PROGRAM)], root)


def put(root: Path, path: Path, text: str) -> Path:
    file = below(root, path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def tree(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything below: its mode, and of files when they were written, and their content."""
    found = {}
    for path in sorted(root.rglob("*")):
        status, is_file = path.lstat(), path.is_file()
        written, data = (status.st_mtime_ns, path.read_bytes()) if is_file else (0, b"")
        found[str(path.relative_to(root))] = (status.st_mode, written, data)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system with something in it."""
    directory = tmp_path / "root"
    put(directory, Path("/usr/local/share/man/man1/other.1"), "of somebody else")
    put(directory, Path("/etc/dbus-1/system.d/other.conf"), "of somebody else")
    put(directory, Path("/usr/share/polkit-1/actions/other.policy"), "of somebody else")
    put(directory, Path("/var/lib/other"), "of somebody else")
    return directory


class TestTable:
    def test_every_row_has_sources(self) -> None:
        """Nothing in the table is missing from what is shipped, and no place is taken twice."""
        assert len(FILES) == len([item for item in ALL if isinstance(item, File)]) > len(rows()) - 2
        for row in rows():
            if not (row.is_directory or row.completion):
                assert any(places.SOURCES.glob(row.source)), row

    def test_distributions_own_directories(self) -> None:
        """Of the distribution's directories it needs one, the only one that polkit 122 reads actions from."""
        own = {path.parent for path in FILES if path.parts[1] == "usr" and path.parts[2] != "local"}
        assert own == {Path("/usr/share/polkit-1/actions")}

    def test_units_name_this_installation(self) -> None:
        """systemd and the bus start the program that is given, and what they say is where this installation has it."""
        units = [item.data.decode() for path, item in FILES.items() if path.suffix in (".service", ".socket")]
        bridge = PROGRAM.with_name("cortex-llm-bridge")
        started = re.findall(r"^Exec(?:Start)?=(\S+)", "\n".join(units), re.MULTILINE)
        assert sorted(started) == sorted(map(str, (bridge, PROGRAM, PROGRAM)))
        assert not re.search(r"/usr/(?!local/)", "\n".join(units).replace("Installed to /usr/share", ""))
        documents = re.findall(r"file://(\S+)", "\n".join(units))
        assert len(documents) == 3
        assert {Path(document) for document in documents} <= FILES.keys()


class TestInstalling:
    def test_writes_all(self, root: Path) -> None:
        """Every file with its content and mode, the keys' directory for root alone, whatever the umask."""
        before = os.umask(0o077)
        try:
            install(root)
        finally:
            os.umask(before)
        for item in ALL:
            path = below(root, item.path)
            assert stat.S_IMODE(path.stat().st_mode) == item.mode, path
            if isinstance(item, File) and not item.path.name.endswith("cortexctl"):
                assert path.read_bytes() == item.data
        modes = {oct(stat.S_IMODE(path.stat().st_mode)) for path in root.rglob("*") if path.is_dir()}
        assert modes == {"0o755", "0o700"}
        assert Directory(Path("/etc/cortexd/credentials"), 0o700) in ALL

    def test_dry_run(self, root: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        """It names every file that it would write, and writes none."""
        before = tree(root)
        assert main(["service", "install", "--dry-run", "--root", str(root), "--program", str(PROGRAM)]) == failures.OK
        shown = set(re.findall(r"^  write +(\S+)$", capfdbinary.readouterr().out.decode(), re.MULTILINE))
        assert shown == set(map(str, FILES))
        assert tree(root) == before

    def test_again(self, root: Path) -> None:
        """A second time it changes nothing but its record."""
        install(root)
        before = tree(root)
        install(root)
        after = tree(root)
        assert {path for path in before | after if before.get(path) != after.get(path)} == {str(record.PATH)[1:]}

    def test_update(self, root: Path) -> None:
        """Another version writes what differs, takes away what it no longer has, and knows both afterwards."""
        install(root)
        known = record.read(root)
        assert known is not None
        old = put(root, Path("/usr/local/share/man/man1/old.1"), "of the version before")
        files = {**known.files, Path("/usr/local/share/man/man1/old.1"): frozenset({places.digest(old.read_bytes())})}
        put(root, record.PATH, Record("0", files, known.directories).to_json().decode())
        before = tree(root)
        install(root, Path("/opt/other/bin/cortexd"))
        after = tree(root)
        changed = {Path("/", path) for path in before | after if before.get(path) != after.get(path)}
        assert changed == {path for path in FILES if path.suffix == ".service"} | {
            record.PATH,
            Path("/usr/local/share/man/man1/old.1"),
        }
        assert not old.exists()

    def test_what_a_person_changed_stays(self, root: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        """A unit and settings that somebody edited are named and kept; settings that were deleted stay away."""
        install(root)
        unit = put(root, UNIT, "[Service]\n# mine\n")
        below(root, SETTINGS).unlink()
        capfdbinary.readouterr()
        install(root, Path("/opt/other/bin/cortexd"))
        kept = re.findall(r"^  keep +(\S+)$", capfdbinary.readouterr().out.decode(), re.MULTILINE)
        assert set(kept) == {str(UNIT), str(SETTINGS)}
        assert unit.read_text() == "[Service]\n# mine\n"
        assert not below(root, SETTINGS).exists()
        remove(root)
        assert unit.exists()

    def test_settings_that_were_there_before(self, root: Path) -> None:
        """Settings of an administrator, or of an installation before, are taken over as they are."""
        settings = put(root, SETTINGS, "# mine\n")
        install(root)
        assert settings.read_text() == "# mine\n"

    @pytest.mark.parametrize("as_link", [False, True])
    def test_anothers_file_in_the_way(self, root: Path, as_link: bool) -> None:
        """A file or link that it did not write stops it before it has written anything."""
        if as_link:
            below(root, UNIT.parent).mkdir(parents=True)
            below(root, UNIT).symlink_to("/dev/null")
        else:
            put(root, UNIT, FILES[UNIT].data.decode())
        before = tree(root)
        assert refused_install(root) == Obstacle.IN_THE_WAY
        assert tree(root) == before

    def test_beside_the_package(self, root: Path) -> None:
        """Where a distribution's package has its unit there is nothing to install."""
        put(root, Path("/usr/lib/systemd/system/cortex-llm-router.service"), "of the package")
        before = tree(root)
        assert refused_install(root) == Obstacle.PACKAGE
        assert tree(root) == before

    def test_stopped_half_way(self, root: Path) -> None:
        """What stops it is named; then it can go on, and can be taken away."""
        before = tree(root)
        obstacle = put(root, Path("/usr/local/share/dbus-1/system-services"), "no directory")
        assert refused_install(root) == Obstacle.NOT_WRITTEN
        remove(root)
        assert not below(root, UNIT).exists()
        assert refused_install(root) == Obstacle.NOT_WRITTEN
        obstacle.unlink()
        install(root)
        assert below(root, UNIT).exists()
        remove(root, "--purge")
        assert set(tree(root)) - set(before) == {"usr/local/share/dbus-1"}

    def test_links_out_of_the_root(self, root: Path, tmp_path: Path) -> None:
        """A link of an image may not have this machine's files written, or purged."""
        (tmp_path / "outside").mkdir()
        below(root, UNIT.parent.parent).mkdir(parents=True)
        below(root, UNIT.parent).symlink_to(tmp_path / "outside")
        assert refused_install(root) == Obstacle.OUTSIDE
        assert not any((tmp_path / "outside").iterdir())
        (tmp_path / "outside/cortexd").mkdir()
        (root / "var/cache").symlink_to(tmp_path / "outside")
        assert refused(["remove", "--yes", "--purge"], root) == Obstacle.OUTSIDE
        assert (tmp_path / "outside/cortexd").is_dir()

    def test_nobody_to_ask(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a terminal and --yes it changes nothing, and the status says that the call was wrong."""
        before = tree(root)
        with open(os.devnull) as nothing:
            monkeypatch.setattr("sys.stdin", nothing)
            assert refused(["install", "--program", str(PROGRAM)], root) == Obstacle.NOT_CONFIRMED
        assert tree(root) == before

    @pytest.mark.parametrize("text", ["relative/cortexd", "/opt/a b/cortexd", "/opt/%i/cortexd", '/opt/"/cortexd'])
    def test_program_that_no_unit_can_name(self, text: str) -> None:
        """Blanks, quotes and systemd's specifiers have no place in the units."""
        with pytest.raises(CortexError) as caught:
            refuse_unspeakable(Path(text))
        assert caught.value.details == {"cause": "odd_path"}


class TestRemoving:
    def test_leaves_nothing(self, root: Path) -> None:
        """With --purge the system is what it was, whatever the service has written meanwhile."""
        before = tree(root)
        install(root)
        put(root, Path("/etc/cortexd/credentials/claude"), "sk-simulated")
        put(root, Path("/var/lib/cortexd/ledger.sqlite3"), "rows")
        put(root, Path("/etc/systemd/system/cortex-llm-router.service.d/key-claude.conf"), "[Service]")
        remove(root, "--purge")
        after = tree(root)
        assert set(after) - set(before) == {"etc/systemd", "etc/systemd/system"}
        assert {path: after[path] for path in before} == before

    def test_keeps_settings_keys_and_ledger(self, root: Path) -> None:
        """Without --purge what people and the service put there stays, and can be purged later."""
        install(root)
        key = put(root, Path("/etc/cortexd/credentials/claude"), "sk-simulated")
        ledger = put(root, Path("/var/lib/cortexd/ledger.sqlite3"), "rows")
        remove(root)
        assert {key.exists(), ledger.exists(), below(root, SETTINGS).exists()} == {True}
        assert not any(below(root, path).exists() for path in FILES if path != SETTINGS)
        remove(root, "--purge")
        assert {key.exists(), ledger.exists(), below(root, SETTINGS).exists()} == {False}

    def test_packages_files_stay(self, root: Path) -> None:
        """A package that was installed above it keeps its files, those too that are the same."""
        install(root)
        put(root, Path("/usr/lib/systemd/system/cortex-llm-router.service"), "of the package")
        remove(root)
        left = [path for path in FILES if below(root, path).exists()]
        assert [path.parent for path in left if path != SETTINGS] == [Path("/usr/share/polkit-1/actions")]
        assert refused(["remove", "--yes", "--purge"], root) == Obstacle.PACKAGE

    def test_nothing_installed(self, root: Path) -> None:
        """There is nothing to remove where there is no record."""
        assert refused(["remove", "--yes"], root) == Obstacle.NOT_INSTALLED

    @pytest.mark.parametrize(
        "document", ["", "[]", '{"version": "1"}', '{"version": "1", "files": {"../x": []}, "directories": []}']
    )
    def test_record_that_cannot_be_read(self, root: Path, document: str) -> None:
        """A damaged record removes nothing."""
        install(root)
        put(root, record.PATH, document)
        before = tree(root)
        assert refused(["remove", "--yes", "--purge"], root) == Obstacle.DAMAGED_RECORD
        assert tree(root) == before


class TestPrograms:
    PLAN = installation(Path("/nowhere"), ALL, Record())

    def at(self, *words: str) -> int:
        """Where in the plan a program runs that is called with these words."""
        (found,) = [n for n, item in enumerate(self.PLAN) if isinstance(item, Run) and set(words) <= set(item.argv)]
        return found

    def written(self, path: Path) -> int:
        return self.PLAN.index(Step(Change.WRITE, path, FILES[path]))

    def test_user_before_the_bus_policy(self) -> None:
        """The bus reads its policy as soon as it is there, and the user that it names must exist by then."""
        assert self.at("systemd-sysusers") < self.written(POLICY)

    def test_readers_after_all_files(self) -> None:
        """systemd and the bus are told when everything is in its place."""
        last = max(map(self.written, FILES))
        assert last < self.at("daemon-reload") < self.at("ReloadConfig") < self.at("try-restart")

    def test_stopped_before_its_files_go(self) -> None:
        """A removal begins with the end of the service."""
        plan = removal(Path("/nowhere"), Record("1", {UNIT: frozenset()}), purge=False, packaged=False)
        assert [item.argv[1] for item in plan if isinstance(item, Run)][:2] == ["stop", "disable"]
        assert isinstance(plan[0], Run)

    def test_failing(self) -> None:
        """A program that fails or is missing stops the plan, unless it may fail."""
        carrying_out.carry_out(Path("/"), [Run(("false",), may_fail=True), Run(("true",))])
        for program in ("false", "/nowhere/program"):
            with pytest.raises(CortexError) as caught:
                carrying_out.carry_out(Path("/"), [Run((program,))])
            assert caught.value.details == {"cause": "program_failed"}


class TestWhatTheServiceCanRead:
    def cause(self, part: Path, hidden: tuple[Path, ...] = ()) -> str:
        """Why the service could not, or should not, run what is there; "" where it can."""
        try:
            check([part], hidden, owner=os.getuid())
        except CortexError as error:
            return str(error.details["cause"])
        return ""

    @pytest.fixture
    def part(self, tmp_path: Path) -> Path:
        for directory in (tmp_path, *tmp_path.parents[:-2]):
            if directory.stat().st_uid == os.getuid() and not directory.stat().st_mode & stat.S_ISVTX:
                directory.chmod(0o755)
        directory = tmp_path / "cortexd"
        directory.mkdir(mode=0o755)
        file = directory / "program"
        file.touch(0o755)
        return file

    def test_usable(self, part: Path) -> None:
        """What all users read and root alone writes."""
        assert self.cause(part) == ""

    def test_hidden(self, part: Path) -> None:
        """Below a home, also where a link leads there."""
        link = part.parent.parent / "link"
        link.symlink_to(part)
        assert self.cause(link, hidden=(part.parent,)) == Obstacle.HIDDEN

    def test_closed(self, part: Path) -> None:
        """A directory on the way, or the file itself, is for its owner alone."""
        part.chmod(0o700)
        assert self.cause(part) == Obstacle.CLOSED
        part.chmod(0o755)
        part.parent.chmod(0o711 & 0o750)
        assert self.cause(part) == Obstacle.CLOSED

    def test_writable(self, part: Path) -> None:
        """Whoever may change what holds all keys in its memory, has them."""
        part.chmod(0o757)
        assert self.cause(part) == Obstacle.WRITABLE
        part.chmod(0o755)
        part.parent.chmod(0o777)
        assert self.cause(part) == Obstacle.WRITABLE

    def test_what_to_mend(self, part: Path) -> None:
        """Of an environment it says at once what mends all of it."""
        part.chmod(0o700)
        with pytest.raises(CortexError, match=rf" {re.escape(str(part.parent))} \["):
            check([part], (), owner=os.getuid(), whole=part.parent)


class TestInPlaceOfThePackage:
    @pytest.fixture
    def units(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        """The directories that systemd reads units from, in its order."""
        names = ("etc", "own", "vendor")
        directories = [tmp_path / name for name in names]
        for directory in directories:
            directory.mkdir()
        monkeypatch.setattr(beside, "_ADMINISTRATORS", directories[0])
        monkeypatch.setattr(beside, "_OWN", directories[1])
        monkeypatch.setattr(beside, "_VENDORS", (directories[2],))
        return directories

    @pytest.mark.parametrize(
        ("present", "first"),
        [([], None), ([1], None), ([2], None), ([0], None), ([1, 2], 1), ([0, 2], 0), ([0, 1], 0), ([0, 1, 2], 0)],
    )
    def test_the_unit_that_systemd_takes(self, units: list[Path], present: list[int], first: int | None) -> None:
        """status names a unit that stands before another of its name."""
        for number in present:
            (units[number] / UNIT.name).write_text("[Unit]")
        found = [line.partition(" ")[0] for line in beside.others()]
        assert found == ([] if first is None else [str(units[first] / UNIT.name)])

    def test_masked(self, units: list[Path]) -> None:
        """An administrator's mask is no other program's unit."""
        (units[0] / UNIT.name).symlink_to("/dev/null")
        (units[1] / UNIT.name).write_text("[Unit]")
        assert beside.others() == []


class TestWords:
    def test_every_obstacle_has_a_sentence(self) -> None:
        """And every one is documented by its key."""
        documented = (DOCUMENTS / "errors.md").read_text()
        assert set(_SENTENCES) == set(Obstacle)
        assert {word for word in Obstacle if f"`{word}`" not in documented} == set()

    def test_record_is_json(self, root: Path) -> None:
        """A person can read what was written, with its SHA-256."""
        install(root)
        document = json.loads(below(root, record.PATH).read_text())
        assert set(document["files"]) == set(map(str, FILES))
        assert document["files"][str(POLICY)] == [FILES[POLICY].digest]

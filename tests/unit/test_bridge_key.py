"""The key of a user's port, and the files beside it: made for one user, and not used where another had a hand in it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from cortexd.bridge import places
from cortexd.bridge.key import Flaw, make_key, read_key
from cortexd.cli.bridge import unit_files
from cortexd.errors import CortexError

OTHER_UID = 12345
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs files of another user")


@pytest.fixture(name="file")
def file_fixture(tmp_path: Path) -> Path:
    return tmp_path / "state/cortex-llm/bridge-key"


def flaw(action: Callable[[], object]) -> object:
    with pytest.raises(CortexError) as caught:
        action()
    return caught.value.details["cause"]


class TestMaking:
    def test_for_its_user_alone(self, file: Path) -> None:
        """0600 in 0700 whatever the umask; made once, and anew where that is wanted."""
        before = os.umask(0)
        try:
            key = make_key(file)
        finally:
            os.umask(before)
        assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)
        assert len(key) > 40
        assert make_key(file) == read_key(file) == key
        assert make_key(file, anew=True) != key
        assert os.listdir(file.parent) == [file.name]

    def test_no_link_is_followed(self, file: Path, tmp_path: Path) -> None:
        """Neither to a file of others, which would be written or given away, nor to a directory."""
        victim = tmp_path / "victim"
        victim.write_text("of somebody else, and long enough for a key")
        file.parent.mkdir(parents=True, mode=0o700)
        file.symlink_to(victim)
        assert flaw(lambda: make_key(file)) == Flaw.UNREADABLE
        assert len(make_key(file, anew=True)) > 40  # in place of the link
        assert victim.read_text() == "of somebody else, and long enough for a key"
        file.unlink()
        file.parent.rmdir()
        file.parent.symlink_to(tmp_path)
        assert flaw(lambda: make_key(file)) == Flaw.UNREADABLE


def _fill(file: Path, data: bytes) -> None:
    file.write_bytes(data)


def _cleared(file: Path) -> Path:
    file.unlink()
    return file


_FLAWS: dict[str, tuple[Callable[[Path], None], Flaw]] = {
    "others read": (lambda file: file.chmod(0o604), Flaw.OTHERS),
    "its group writes": (lambda file: file.chmod(0o620), Flaw.OTHERS),
    "a directory that others write": (lambda file: file.parent.chmod(0o703), Flaw.OTHERS),
    "empty": (lambda file: _fill(file, b""), Flaw.NOT_A_KEY),
    "short": (lambda file: _fill(file, b"short\n"), Flaw.NOT_A_KEY),
    "two lines": (lambda file: _fill(file, b"k" * 43 + b"\n" + b"k" * 43 + b"\n"), Flaw.NOT_A_KEY),
    "no text": (lambda file: _fill(file, bytes(range(64))), Flaw.NOT_A_KEY),
    "nothing": (lambda file: file.unlink(), Flaw.NO_FILE),
    "a pipe": (lambda file: os.mkfifo(_cleared(file), 0o600), Flaw.OTHERS),
    "a directory": (lambda file: _cleared(file).mkdir(0o700), Flaw.UNREADABLE),
}


class TestReading:
    @pytest.mark.parametrize(("change", "expected"), _FLAWS.values(), ids=_FLAWS)
    def test_not_used(self, file: Path, change: Callable[[Path], None], expected: Flaw) -> None:
        """A key that others know, may have written, or that is none."""
        make_key(file)
        change(file)
        assert flaw(lambda: read_key(file)) == expected

    @needs_root
    @pytest.mark.parametrize("depth", [0, 1])
    def test_of_another_user(self, file: Path, depth: int) -> None:
        """Whoever owns file or directory could put another one there."""
        make_key(file)
        os.chown([file, file.parent][depth], OTHER_UID, -1)
        assert flaw(lambda: read_key(file)) == Flaw.OTHERS
        assert flaw(lambda: make_key(file)) == Flaw.OTHERS


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


class TestPlaces:
    def test_as_the_specification_has_them(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """By the XDG variables, where they are whole paths."""
        assert places.key_path() == home / ".local/state/cortex-llm/bridge-key"
        assert places.units_path() == home / ".config/systemd/user"
        monkeypatch.setenv("XDG_STATE_HOME", "relative")
        monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
        assert places.key_path() == home / ".local/state/cortex-llm/bridge-key"
        assert places.units_path() == home / "config/systemd/user"

    def test_a_runtime_directory_of_others(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Is nobody's: su keeps the variable of the user before."""
        home.chmod(0o700)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
        assert places.socket_path() == home / "cortex-llm/api.sock"
        monkeypatch.setenv("XDG_RUNTIME_DIR", "/proc/1/ns" if os.geteuid() else str(home / "missing"))
        assert places.socket_path() is None


class TestUnitFiles:
    def test_come_and_go(self, home: Path) -> None:
        """The port is what they say; written twice nothing changes, and nothing is left."""
        before = sorted(home.rglob("*"))
        key = home / 'odd "place" 100%\\n' / "key"
        assert unit_files.port_of_files() is None
        assert unit_files.write(11_500, key)
        assert not unit_files.write(11_500, key)
        assert unit_files.port_of_files() == 11_500
        drop_in = (places.units_path() / f"{places.SERVICE}.d/port.conf").read_text()
        assert 'Environment="CORTEX_LLM_TOKEN_FILE=' in drop_in
        assert 'odd \\"place\\" 100%%\\\\n/key"' in drop_in
        assert unit_files.write(11_501, key)
        assert unit_files.port_of_files() == 11_501
        assert unit_files.remove()
        assert not unit_files.remove()
        assert [path for path in sorted(home.rglob("*")) if not path.is_dir()] == before

"""The operator's files: none is skipped because it cannot be read, none counts that others may write."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cortexd.config import builtin_config, load, load_config, with_keys
from cortexd.config.files import MAX_BYTES
from cortexd.errors import ConfigError, Problem

LIMIT = "[limits]\nmax_tools = 7\n"
STRANGER = 54_321


@pytest.fixture(name="place")
def place_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for /etc/cortexd, with a conf.d; the default path leads there."""
    place = tmp_path / "etc" / "cortexd"
    (place / "conf.d").mkdir(parents=True)
    monkeypatch.setattr(load, "DEFAULT_PATH", place / "config.toml")
    return place


@pytest.fixture(name="open_things")
def open_things_fixture() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def refusal() -> Problem:
    with pytest.raises(ConfigError) as caught:
        load_config()
    [problem] = caught.value.problems
    return problem


def make_socket(path: Path, open_things: ExitStack) -> None:
    server = open_things.enter_context(socket.socket(socket.AF_UNIX))
    before = os.getcwd()
    os.chdir(path.parent)  # its address has room for a short name alone
    try:
        server.bind(path.name)
    finally:
        os.chdir(before)


UNREADABLE: dict[str, Callable[[Path, ExitStack], object]] = {
    "dangling link": lambda path, _: path.symlink_to("nowhere"),
    "looping link": lambda path, _: path.symlink_to(path.name),
    "directory": lambda path, _: path.mkdir(),
    "link to a directory": lambda path, _: path.symlink_to(path.parent),
    "pipe": lambda path, _: os.mkfifo(path),
    "socket": make_socket,
    "link to a device": lambda path, _: path.symlink_to("/dev/zero"),
    "link to a terminal": lambda path, _: path.symlink_to("/dev/ptmx"),
    "too large": lambda path, _: path.write_text("#" * (MAX_BYTES + 1)),
    "not UTF-8": lambda path, _: path.write_bytes(b"\xff"),
    "not TOML": lambda path, _: path.write_text("a = = b"),
}


class TestUnreadable:
    @pytest.mark.parametrize("kind", UNREADABLE)
    @pytest.mark.parametrize("name", ["config.toml", "conf.d/10-budgets.toml"])
    def test_file(self, place: Path, open_things: ExitStack, name: str, kind: str) -> None:
        """Whatever keeps a file from being read is a refusal with its path, and never a wait."""
        UNREADABLE[kind](place / name, open_things)
        problem = refusal()
        assert (problem.file, problem.key) == (str(place / name), "")
        assert problem.reason

    @pytest.mark.parametrize("kind", ["dangling link", "looping link", "pipe", "not TOML"])
    @pytest.mark.parametrize("name", ["conf.d", "."])
    def test_directory(self, place: Path, open_things: ExitStack, name: str, kind: str) -> None:
        """What stands where a directory belongs is no directory without files."""
        (place / "conf.d").rmdir()
        if name == ".":
            place.rmdir()
        path = place / name
        UNREADABLE[kind](path, open_things)
        assert refusal().file == str(path)

    def test_others_are_read_all_the_same(self, place: Path) -> None:
        """What is wrong in the readable files is told as well."""
        (place / "config.toml").symlink_to("nowhere")
        (place / "conf.d/10.toml").write_text("[limits]\nmax_tools = 0\n")
        with pytest.raises(ConfigError) as caught:
            load_config()
        assert {problem.key for problem in caught.value.problems} == {"", "limits.max_tools"}

    def test_a_name_cannot_drive_a_terminal(self, place: Path) -> None:
        """Control characters in the name of a file or a setting are shown, not sent."""
        (place / "conf.d/\x1b[2J.toml").write_text('"\\u001b[2J" = 1\n')
        with pytest.raises(ConfigError) as caught:
            load_config()
        assert str(caught.value).isprintable()


class TestAbsent:
    def test_everything(self, place: Path) -> None:
        """Without the directory the built-in defaults hold."""
        (place / "conf.d").rmdir()
        place.rmdir()
        assert load_config() == builtin_config()

    def test_the_main_file(self, place: Path) -> None:
        """conf.d counts without it, and so does an empty directory."""
        assert load_config() == builtin_config()
        (place / "conf.d/10.toml").write_text(LIMIT)
        assert load_config().limits.max_tools == 7

    def test_a_named_file(self, place: Path) -> None:
        """It has to be there; that its directory is missing is no excuse."""
        for path in (place / "none.toml", place / "none" / "config.toml"):
            with pytest.raises(ConfigError, match="there is no such file"):
                load_config(path)


class TestEditors:
    @pytest.mark.parametrize(
        "name",
        [
            ".10-x.toml.swp",
            "10-x.toml~",
            "10-x.toml.dpkg-dist",
            "10-x.toml.bak",
            "#10-x.toml#",
            ".hidden.toml",
            "README",
        ],
    )
    def test_copies_are_left_out(self, place: Path, name: str) -> None:
        """What an editor or a package manager leaves behind is no setting."""
        (place / "conf.d" / name).write_text("nonsense")
        assert load_config().sources == ()

    def test_locks_are_left_out(self, place: Path) -> None:
        """Emacs' lock is a dangling link."""
        (place / "conf.d/10-x.toml").write_text(LIMIT)
        (place / "conf.d/.#10-x.toml").symlink_to("root@host.1234:567")
        assert load_config().limits.max_tools == 7


class TestWrittenByOthers:
    @pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o777, 0o660])
    @pytest.mark.parametrize("name", ["config.toml", "conf.d/10.toml"])
    def test_file(self, place: Path, name: str, mode: int) -> None:
        """A file that group or everybody may write is refused with the command that mends it."""
        path = place / name
        path.write_text(LIMIT)
        path.chmod(mode)
        problem = refusal()
        assert problem.file == str(path)
        assert f"chmod go-w {path}" in problem.reason
        path.chmod(0o644)
        assert load_config().limits.max_tools == 7

    @pytest.mark.parametrize("name", [".", "conf.d"])
    def test_directory(self, place: Path, name: str) -> None:
        """So is a directory, unless it is sticky, where nobody can put another's file in the place of one's own."""
        (place / "conf.d/10.toml").write_text(LIMIT)
        path = place / name
        path.chmod(0o775)
        problem = refusal()
        assert problem.file == str(path)
        assert f"chmod go-w {path}" in problem.reason
        path.chmod(0o1777)
        assert load_config().limits.max_tools == 7

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    @pytest.mark.parametrize("name", ["config.toml", "conf.d/10.toml", "conf.d", "."])
    def test_owner(self, place: Path, name: str) -> None:
        """A file or directory of another user's is refused with the command that mends it, a sticky one too."""
        for file in ("config.toml", "conf.d/10.toml"):
            (place / file).write_text(LIMIT)
        path = place / name
        os.chown(path, STRANGER, -1)
        if path.is_dir():
            path.chmod(0o1777)
        problem = refusal()
        assert problem.file == str(path)
        assert f"chown root {path}" in problem.reason

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_what_a_link_leads_to(self, place: Path) -> None:
        """The file counts that is read, not the link."""
        elsewhere = place.parent / "site.toml"
        elsewhere.write_text(LIMIT)
        (place / "config.toml").symlink_to(elsewhere)
        assert load_config().limits.max_tools == 7
        os.chown(elsewhere, STRANGER, -1)
        assert refusal().file == str(place / "config.toml")


class TestKeyFiles:
    @pytest.fixture(name="key")
    def key_fixture(self, place: Path) -> Path:
        """A right key file of claude's."""
        key = place / "keys" / "claude.key"
        key.parent.mkdir()
        key.write_text("sk-of-the-file\n")
        key.chmod(0o600)
        (place / "config.toml").write_text(f'[providers.claude]\nkey_file = "{key}"\n')
        assert with_keys(load_config(), {}).providers["claude"].configured
        return key

    def refusal(self, environ: dict[str, str] | None = None) -> Problem:
        with pytest.raises(ConfigError) as caught:
            with_keys(load_config(), environ or {})
        [problem] = caught.value.problems
        assert "sk-of" not in str(problem)
        return problem

    @pytest.mark.parametrize("kind", [kind for kind in UNREADABLE if not kind.startswith("not")])
    def test_unreadable(self, key: Path, open_things: ExitStack, kind: str) -> None:
        """A pipe, a device, a link that leads nowhere: refused at once."""
        key.unlink()
        UNREADABLE[kind](key, open_things)
        assert self.refusal().file == str(key)

    def test_directory_that_others_may_write(self, key: Path) -> None:
        """Whoever may exchange the key decides whose account the prompts go to."""
        key.parent.chmod(0o777)
        problem = self.refusal()
        assert problem.file == str(key)
        assert f"chmod go-w {key.parent}" in problem.reason

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_owner(self, key: Path) -> None:
        """A key of another user's is refused."""
        os.chown(key, STRANGER, -1)
        assert f"chown root {key}" in self.refusal().reason

    @pytest.mark.parametrize("kind", ["dangling link", "looping link", "directory", "pipe", "link to a device"])
    @pytest.mark.parametrize("name", ["keys_claude", "claude"])
    def test_unreadable_credential(
        self, place: Path, tmp_path: Path, open_things: ExitStack, name: str, kind: str
    ) -> None:
        """A credential that is there and cannot be read is no reason to look elsewhere for a key."""
        directory = tmp_path / "credentials"
        directory.mkdir()
        UNREADABLE[kind](directory / name, open_things)
        environ = {"CREDENTIALS_DIRECTORY": str(directory), "ANTHROPIC_API_KEY": "sk-of-the-environment"}
        assert self.refusal(environ).file == str(directory / name)

    def test_every_problem_is_told(self, place: Path, tmp_path: Path) -> None:
        """Each provider whose key cannot be read."""
        for name in ("claude", "kimi_k2"):
            (tmp_path / f"keys_{name}").write_text("two words")
        with pytest.raises(ConfigError) as caught:
            with_keys(load_config(), {"CREDENTIALS_DIRECTORY": str(tmp_path)})
        assert [Path(problem.file).name for problem in caught.value.problems] == ["keys_claude", "keys_kimi_k2"]


class TestAuthorities:
    @pytest.mark.parametrize("kind", ["dangling link", "directory", "pipe", "not TOML"])
    def test_unreadable(self, place: Path, open_things: ExitStack, kind: str) -> None:
        """A ca_file that cannot be read, or holds no certificate, is found before any request needs it."""
        file = place / "authorities.pem"
        UNREADABLE[kind](file, open_things)
        (place / "config.toml").write_text(f'[network]\nca_file = "{file}"\n')
        problem = refusal()
        assert (problem.file, problem.key) == (str(place / "config.toml"), "network.ca_file")
        assert str(file) in problem.reason

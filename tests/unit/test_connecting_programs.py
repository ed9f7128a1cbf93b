"""cortexctl connect and disconnect: each program's files on the disk, as they come and as they are left."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cortexd.cli.app import cortexctl
from cortexd.cli.connecting import files, plan, record
from cortexd.cli.connecting.bridge import Address
from cortexd.cli.connecting.obstacles import _SENTENCES, Obstacle, refusal
from cortexd.cli.connecting.plan import State
from cortexd.cli.connecting.programs import PROGRAMS, Home, Program, Wanted
from cortexd.errors import CortexError
from tests.unit.settings_files import FILES, texts

EVERY = pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
UNPARSABLE = {"JSON": '{\n  "a": 1,\n  "b": "x\n}\n', "TOML": "a = 1\nb = \n", "YAML": 'a: 1\nb: "x\n'}


@pytest.fixture(name="home")
def home_fixture(tmp_path: Path) -> Home:
    return Home({"HOME": str(tmp_path)})


@pytest.fixture(name="address")
def address_fixture(tmp_path: Path) -> Address:
    return Address("http://127.0.0.1:4141", "key-of-the-port", tmp_path / "bridge-key")


def wanted_of(home: Home, program: Program, address: Address) -> tuple[Wanted, ...]:
    return program.files(home, address, "auto")


def connect(home: Home, program: Program, address: Address, model: str = "auto") -> int:
    steps = plan.connecting(home, program, address, model)
    plan.connect(home, program, steps, model)
    return len(steps)


def disconnect(home: Home, program: Program, *, force: bool = False) -> list[plan.Step]:
    steps = plan.disconnecting(home, program, force=force)
    plan.disconnect(home, program, steps)
    return steps


def put(wanted: Wanted, text: str, mode: int = 0o644) -> Path:
    wanted.path.parent.mkdir(parents=True, exist_ok=True)
    wanted.path.write_bytes(text.encode())
    wanted.path.chmod(mode)
    return wanted.path


def snapshot(root: Path) -> dict[str, tuple[int, bytes | str]]:
    """Every file and link below `root`, with its mode and content."""
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mode,
            os.readlink(path) if path.is_symlink() else path.read_bytes(),
        )
        for path in root.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def cause_of(work: Callable[[], object]) -> str:
    with pytest.raises(CortexError) as caught:
        work()
    return str(caught.value.details["cause"])


@EVERY
class TestEveryProgram:
    def test_without_files(self, program: Program, home: Home, address: Address, tmp_path: Path) -> None:
        """Its files are made, for the user alone, and go again."""
        before = snapshot(tmp_path)
        connect(home, program, address)
        for wanted in wanted_of(home, program, address):
            assert wanted.path.stat().st_mode & 0o777 == 0o600
        assert plan.state_of(home, program, address) is State.CONNECTED
        disconnect(home, program)
        assert snapshot(tmp_path) == before
        assert plan.state_of(home, program, address) is State.NOT

    def test_with_files(self, program: Program, home: Home, address: Address, tmp_path: Path) -> None:
        """Mode and owner stay, a copy lies beside each, and afterwards all is as it was."""
        for number, wanted in enumerate(wanted_of(home, program, address)):
            known = texts(wanted)
            put(wanted, known[sorted(known)[number]], 0o640)
        before = snapshot(tmp_path)
        connect(home, program, address)
        for wanted in wanted_of(home, program, address):
            backup = wanted.path.with_name(f"{wanted.path.name}.before-cortex")
            assert backup.read_bytes() == before[str(wanted.path.relative_to(tmp_path))][1]
            assert (backup.stat().st_mode & 0o777, wanted.path.stat().st_mode & 0o777) == (0o600, 0o640)
        disconnect(home, program)
        assert snapshot(tmp_path) == before

    def test_twice(self, program: Program, home: Home, address: Address, tmp_path: Path) -> None:
        """The second time finds nothing to do and writes nothing."""
        connect(home, program, address)
        before = snapshot(tmp_path)
        assert connect(home, program, address) == 0
        assert snapshot(tmp_path) == before

    def test_at_another_port(self, program: Program, home: Home, address: Address, tmp_path: Path) -> None:
        """Connecting anew changes what has changed; disconnecting still leads back to the beginning."""
        for wanted in wanted_of(home, program, address):
            put(wanted, next(text for text in texts(wanted).values() if text.strip()))
        before = snapshot(tmp_path)
        connect(home, program, address)
        moved = Address("http://127.0.0.1:5151", address.token, address.token_file)
        assert plan.state_of(home, program, moved) is State.OLD
        assert connect(home, program, moved, "task/code_generation") > 0
        assert plan.state_of(home, program, moved) is State.CONNECTED
        assert (record.connected(home), record.read(home, program).model) == ([program.name], "task/code_generation")
        said = "".join(wanted.path.read_text() for wanted in wanted_of(home, program, moved))
        assert "5151" in said
        assert "4141" not in said
        disconnect(home, program)
        assert snapshot(tmp_path) == before

    def test_behind_a_link(self, program: Program, home: Home, address: Address, tmp_path: Path) -> None:
        """A settings file that lies elsewhere is changed there, and the link stays one."""
        for number, wanted in enumerate(wanted_of(home, program, address)):
            real = tmp_path / "dotfiles" / f"{number}"
            real.parent.mkdir(exist_ok=True)
            real.write_text(next(text for text in texts(wanted).values() if text.strip()))
            wanted.path.parent.mkdir(parents=True, exist_ok=True)
            wanted.path.symlink_to(real)
        before = snapshot(tmp_path)
        connect(home, program, address)
        assert all(wanted.path.is_symlink() for wanted in wanted_of(home, program, address))
        disconnect(home, program)
        assert snapshot(tmp_path) == before

    def test_unparsable(self, program: Program, home: Home, address: Address, tmp_path: Path) -> None:
        """It is refused with the line, and nothing is written."""
        wanted = wanted_of(home, program, address)[0]
        put(wanted, UNPARSABLE[wanted.form.name])
        before = snapshot(tmp_path)
        with pytest.raises(CortexError) as caught:
            connect(home, program, address)
        assert caught.value.details["cause"] == Obstacle.UNREADABLE
        assert re.search(r"line [23]\b", caught.value.message)
        assert snapshot(tmp_path) == before

    def test_no_text(self, program: Program, home: Home, address: Address, tmp_path: Path) -> None:
        """Bytes that are no UTF-8 are refused."""
        wanted = wanted_of(home, program, address)[0]
        put(wanted, "").write_bytes(b'"a"\n\xff\xfe')
        before = snapshot(tmp_path)
        assert cause_of(lambda: connect(home, program, address)) == Obstacle.UNREADABLE
        assert snapshot(tmp_path) == before

    def test_read_only(self, program: Program, home: Home, address: Address, tmp_path: Path) -> None:
        """What its user has closed stays closed; the refusal says what to write by hand, without the key."""
        for wanted in wanted_of(home, program, address):
            put(wanted, next(text for text in texts(wanted).values() if text.strip()), 0o444)
        before = snapshot(tmp_path)
        with pytest.raises(CortexError) as caught:
            connect(home, program, address)
        assert caught.value.details["cause"] == Obstacle.READ_ONLY
        assert address.url in caught.value.message
        assert address.token not in caught.value.message
        assert snapshot(tmp_path) == before

    def test_mark_at_the_beginning(self, program: Program, home: Home, address: Address, tmp_path: Path) -> None:
        """The mark that some editors begin a file with stays at its beginning."""
        for wanted in wanted_of(home, program, address):
            put(wanted, "\ufeff" + next(text for text in texts(wanted).values() if text.strip()))
        before = snapshot(tmp_path)
        connect(home, program, address)
        for wanted in wanted_of(home, program, address):
            assert wanted.path.read_text().startswith("\ufeff")
            assert "\ufeff" not in wanted.path.read_text()[1:]
        disconnect(home, program)
        assert snapshot(tmp_path) == before

    def test_changed_by_its_user(self, program: Program, home: Home, address: Address) -> None:
        """A value of ours that says something else by now is theirs: it stays, unless they force it."""
        connect(home, program, address)
        for wanted in wanted_of(home, program, address):
            text = wanted.path.read_text()
            wanted.path.write_text(text.replace("auto", "mine").replace(address.token, "another"))
        assert plan.state_of(home, program, address) is State.CHANGED
        kept = [change for step in disconnect(home, program) for change in step.kept]
        assert kept
        said = "".join(wanted.path.read_text() for wanted in wanted_of(home, program, address) if wanted.path.exists())
        assert "mine" in said
        disconnect(home, program, force=True)
        assert not any(wanted.path.exists() for wanted in wanted_of(home, program, address))

    def test_record_is_for_the_user_alone(self, program: Program, home: Home, address: Address) -> None:
        """It may hold the key."""
        connect(home, program, address)
        assert record.path_of(home, program).stat().st_mode & 0o777 == 0o600


class TestForeignEdits:
    @pytest.mark.parametrize("key", FILES)
    def test_stay(self, key: str, home: Home, address: Address) -> None:
        """What its user has added since stays, also where it stands behind ours."""
        name, _, file = key.partition(":")
        program = PROGRAMS[name]
        [wanted] = [item for item in wanted_of(home, program, address) if item.path.name == file]
        connect(home, program, address)
        text = wanted.path.read_text()
        wanted.path.write_text(_with_an_edit(text, wanted.form.name))
        theirs = wanted.form.parse(wanted.path.read_text())
        disconnect(home, program)
        rest = wanted.form.parse(wanted.path.read_text())
        added = [item for item in rest if item in theirs and "added" in str(item)]
        assert len(added) == len(rest) == 1

    def test_of_the_values_before_ours(self, home: Home, address: Address) -> None:
        """A value that stood there comes back as it was written."""
        program = PROGRAMS["codex"]
        [wanted] = wanted_of(home, program, address)
        put(wanted, "model = 'gpt-5-codex'   # the best\nmodel_provider = \"openai\"\n")
        connect(home, program, address)
        assert wanted.path.read_text().startswith('model = "auto"   # the best\nmodel_provider = "cortex"\n')
        wanted.path.write_text(f"{wanted.path.read_text()}\n[tui]\nx = 1\n")
        disconnect(home, program)
        text = wanted.path.read_text()
        assert text.startswith("model = 'gpt-5-codex'   # the best\nmodel_provider = \"openai\"\n")
        assert text.endswith("[tui]\nx = 1\n")
        assert "cortex" not in text

    def test_while_it_looks(self, home: Home, address: Address) -> None:
        """A file that changes between the question and the answer is not written over."""
        program = PROGRAMS["aider"]
        steps = plan.connecting(home, program, address, "auto")
        [wanted] = wanted_of(home, program, address)
        put(wanted, "theirs: 1\n")
        assert cause_of(lambda: plan.connect(home, program, steps, "auto")) == Obstacle.CHANGED_MEANWHILE
        assert wanted.path.read_text() == "theirs: 1\n"


class TestRefusals:
    def test_old_settings_of_continue(self, home: Home, address: Address) -> None:
        """A config.yaml would hide its older config.json."""
        put(Wanted(home.below(".continue", "config.json"), FILES["llm:keys.json"].form, lambda data: ()), "{}")
        assert cause_of(lambda: connect(home, PROGRAMS["continue"], address)) == Obstacle.IN_VAIN

    @pytest.mark.parametrize(
        ("key", "text"),
        [
            ("claude-code:settings.json", '{"env": "none"}'),
            ("claude-code:settings.json", "[1]"),
            ("codex:config.toml", 'model_providers = { mine = { name = "x" } }\n'),
            ("codex:config.toml", 'model = """\nx"""\n'),
            ("aider:.aider.conf.yml", "{model: x}\n"),
            ("aider:.aider.conf.yml", "- a\n"),
            ("aider:.aider.conf.yml", "model: |\n  x\n"),
            ("continue:config.yaml", "models: [{name: A}]\n"),
            ("continue:config.yaml", "models: x\n"),
        ],
    )
    def test_odd_styles(self, key: str, text: str, home: Home, address: Address) -> None:
        """Where the least change is not clear it says what to write by hand."""
        program = PROGRAMS[key.partition(":")[0]]
        [wanted] = wanted_of(home, program, address)
        put(wanted, text)
        with pytest.raises(CortexError) as caught:
            connect(home, program, address)
        assert caught.value.details["cause"] == Obstacle.ODD_STYLE
        assert address.url in caught.value.message
        assert wanted.path.read_text() == text

    def test_list_goes_on(self, home: Home, address: Address) -> None:
        """A file that cannot be read is a state of its program, and no end of the list."""
        connect(home, PROGRAMS["aider"], address)
        [wanted] = wanted_of(home, PROGRAMS["aider"], address)
        wanted.path.write_text("a: [")
        assert plan.state_of(home, PROGRAMS["aider"], address) is State.UNREADABLE
        record.path_of(home, PROGRAMS["aider"]).write_text("{}")
        assert plan.state_of(home, PROGRAMS["aider"], None) is State.UNREADABLE

    def test_no_regular_file(self, home: Home, address: Address) -> None:
        """A directory or a pipe in its place is none."""
        [wanted] = wanted_of(home, PROGRAMS["aider"], address)
        os.mkfifo(wanted.path)
        assert cause_of(lambda: connect(home, PROGRAMS["aider"], address)) == Obstacle.NO_FILE

    def test_of_another_user(self, home: Home, address: Address) -> None:
        """It says so and leaves it."""
        [wanted] = wanted_of(home, PROGRAMS["aider"], address)
        file = files.read(put(wanted, "a: 1\n"))
        other = files.File(file.path, file.data, file.mode, os.geteuid() + 1)
        assert cause_of(lambda: files.refuse_unwritable(other, "")) == Obstacle.NOT_YOURS

    def test_not_connected(self, home: Home) -> None:
        """There is nothing to take out."""
        assert cause_of(lambda: disconnect(home, PROGRAMS["zed"])) == Obstacle.NOT_CONNECTED

    def test_damaged_record(self, home: Home, address: Address) -> None:
        """Nothing is guessed."""
        connect(home, PROGRAMS["zed"], address)
        record.path_of(home, PROGRAMS["zed"]).write_text('{"files": [{}]}')
        assert cause_of(lambda: disconnect(home, PROGRAMS["zed"])) == Obstacle.DAMAGED_RECORD

    @pytest.mark.parametrize("obstacle", Obstacle)
    def test_sentences(self, obstacle: Obstacle) -> None:
        """Each key has its sentence, and no hole in it is left open."""
        names = ("path", "form", "line", "reason", "place", "title", "url", "status", "by_hand")
        error = refusal(obstacle, **dict.fromkeys(names, "X"))
        assert error.details == {"cause": str(obstacle)}
        assert _SENTENCES.keys() == set(Obstacle)


class TestPlaces:
    @pytest.mark.parametrize(
        ("name", "variable", "file"),
        [
            ("claude-code", "CLAUDE_CONFIG_DIR", "settings.json"),
            ("codex", "CODEX_HOME", "config.toml"),
            ("vscode", "VSCODE_APPDATA", "Code/User/chatLanguageModels.json"),
            ("zed", "XDG_CONFIG_HOME", "zed/settings.json"),
            ("llm", "LLM_USER_PATH", "extra-openai-models.yaml"),
            ("goose", "XDG_CONFIG_HOME", "goose/custom_providers/cortex.json"),
            ("opencode", "XDG_CONFIG_HOME", "opencode/opencode.json"),
            ("continue", "CONTINUE_GLOBAL_DIR", "config.yaml"),
        ],
    )
    def test_as_its_program_has_it(self, name: str, variable: str, file: str, address: Address) -> None:
        """By the program's own variables; what is no whole path counts as not set."""
        there = PROGRAMS[name].files(Home({"HOME": "/home/alice", variable: "/else/where"}), address, "auto")[0]
        assert there.path == Path("/else/where", file)
        plain = PROGRAMS[name].files(Home({"HOME": "/home/alice", variable: "else"}), address, "auto")[0]
        assert plain.path.is_relative_to("/home/alice")

    def test_the_file_that_opencode_has(self, home: Home, address: Address) -> None:
        """One of its three names."""
        path = home.config("opencode", "opencode.jsonc")
        path.parent.mkdir(parents=True)
        path.write_text("{} // mine\n")
        assert wanted_of(home, PROGRAMS["opencode"], address)[0].path == path

    def test_goose_of_old(self, home: Home, address: Address) -> None:
        """Its older words where it uses them."""
        own, config = wanted_of(home, PROGRAMS["goose"], address)
        put(config, "GOOSE_PROVIDER: openai\nGOOSE_MODEL: gpt-4o\n")
        connect(home, PROGRAMS["goose"], address)
        assert config.path.read_text() == "GOOSE_PROVIDER: cortex\nGOOSE_MODEL: auto\n"
        assert json.loads(own.path.read_text())["base_url"] == f"{address.v1}/chat/completions"


class TestCommand:
    def test_list(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Every program, whether it is there, whether it is connected, and by which file."""
        monkeypatch.setenv("HOME", str(tmp_path))
        cortexctl.main(["connect", "--json"], standalone_mode=False)
        rows = json.loads(capsys.readouterr().out)
        assert [row["program"] for row in rows] == list(PROGRAMS)
        assert {row["state"] for row in rows} == {"not connected"}

    def test_trial(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """It shows the difference, without the key, and writes nothing."""
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
        monkeypatch.delenv("XDG_STATE_HOME", raising=False)
        cortexctl.main(["connect", "aider", "--dry-run"], standalone_mode=False)
        assert "+openai-api-base: http://127.0.0.1:PORT/v1\n" in capsys.readouterr().out
        assert snapshot(tmp_path) == {}

    def test_nobody_to_ask(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Without a terminal it wants --yes."""
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("XDG_STATE_HOME", raising=False)
        command = ["connect", "aider", "--port", "4141"]
        assert cause_of(lambda: cortexctl.main(command, standalone_mode=False)) == Obstacle.NOT_CONFIRMED


def _with_an_edit(text: str, form: str) -> str:
    """With something behind all that is there."""
    if form == "JSON":
        closing = text.rstrip()[-1]
        body = text.rstrip()[:-1].rstrip()
        added = '"added": 1' if closing == "}" else '{"name": "added"}'
        return f"{body},\n  {added}\n{closing}\n"
    if form == "TOML":
        return f"{text}\n[added]\nx = 1\n"
    return f"{text}- added: 1\n" if text.startswith("-") else f"{text}added: 1\n"

"""bridge.toml: what stands above what, what is told of each fault, and when it is read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortexd.bridge.places import settings_paths
from cortexd.bridge.wishes import AppWishes, KeptWishes, Wishes, line_of, read_wishes
from cortexd.domain.tasks import TaskType

OF_ALL = """
[aliases]
"gpt-5-codex" = "task/code_generation"
"claude-*" = "auto"

[apps.codex]
model = "claude"
"""
OWN = """
[aliases]
"claude-*" = "task/user_chat"
"claude-haiku-*" = "kimi_k2"

[apps.codex]
task = "error_debugging"
[apps."org.example.Notes"]
task = "user_chat"
"""


def written(directory: Path, *texts: str) -> list[Path]:
    files = [directory / f"{number}.toml" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
        file.chmod(0o600)
    return files


class TestReading:
    def test_the_users_stands_above_the_computers(self, tmp_path: Path) -> None:
        """Key by key; both above what is known of programs that write code."""
        wishes = read_wishes([*written(tmp_path, OF_ALL, OWN), tmp_path / "none.toml"])
        assert wishes.problems == ()
        assert dict(wishes.aliases) == {
            "gpt-5-codex": "task/code_generation",
            "claude-*": "task/user_chat",
            "claude-haiku-*": "kimi_k2",
        }
        assert wishes.of("codex") == AppWishes("error_debugging", "claude")
        assert wishes.of("org.example.Notes") == AppWishes("user_chat")
        assert wishes.of("aider") == AppWishes("code_generation")
        assert wishes.of("unheard-of") == AppWishes()

    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("gpt-5-codex", "task/code_generation"),
            ("claude-haiku-4-5", "kimi_k2"),
            ("claude-opus", "task/user_chat"),
            ("claude/claude-opus", ""),
            ("gpt-5", ""),
        ],
    )
    def test_the_nearest_alias_counts(self, tmp_path: Path, name: str, meant: str) -> None:
        """The name itself, else the longest pattern."""
        assert read_wishes(written(tmp_path, OF_ALL, OWN)).meant(name) == meant

    @pytest.mark.parametrize(
        ("text", "line", "key", "words"),
        [
            ("[aliases]\na = 1\n", 2, "aliases.a", "a text of 1 to 256 letters"),
            ('[aliases]\n\n"b c" = ""\n', 3, "aliases.b c", "a text of 1 to 256 letters"),
            ('[alias]\na = "b"\n', 1, "alias", "'aliases'"),
            ("apps = 3\n", 0, "apps", "expected a table"),
            ('[apps]\ncodex = "x"\n', 2, "apps.codex", "a table such as"),
            ('[apps.codex]\ntask = "coding"\n', 2, "apps.codex.task", "code_generation"),
            ('[apps.codex]\ntesk = "user_chat"\n', 2, "apps.codex.tesk", "'task'"),
            ("[aliases]\na = \n", 0, "", "line 2"),
            ("[aliases]\n" + "".join(f'a{n} = "auto"\n' for n in range(300)), 258, "aliases.a256", "256 rows"),
        ],
    )
    def test_what_is_wrong_is_told_and_left_out(
        self, tmp_path: Path, text: str, line: int, key: str, words: str
    ) -> None:
        """With its line, and what was expected; all else holds."""
        first, second = written(tmp_path, text, OWN)
        wishes = read_wishes([first, second])
        [problem] = wishes.problems
        assert (problem.file, problem.key) == (f"{first}:{line}" if line else str(first), key)
        assert words in problem.reason
        assert wishes.of("codex").task == "error_debugging"

    def test_files_that_do_not_count(self, tmp_path: Path) -> None:
        """One that others may write, one that is none, and one that is no text."""
        open_to_all, folder, binary = written(tmp_path, OWN, "", "")
        open_to_all.chmod(0o666)
        folder.unlink()
        folder.mkdir()
        binary.write_bytes(b"\xff")
        wishes = read_wishes([open_to_all, folder, binary])
        assert [problem.file for problem in wishes.problems] == [str(open_to_all), str(folder), str(binary)]
        assert dict(wishes.aliases) == {}

    def test_all_tasks_of_programs_that_are_known(self) -> None:
        """Are task types."""
        assert {app.task for app in Wishes().apps.values()} <= set(TaskType)

    def test_lines(self) -> None:
        """A section's own; of a key that is written within its row none."""
        assert line_of(OWN, "apps.org.example.Notes", "") == 8
        assert line_of('apps.codex.task = "x"', "apps.codex", "task") == 0

    def test_places(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """The computer's first, then the user's own."""
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
        assert [str(path) for path in settings_paths()] == [
            "/etc/cortexd/bridge.toml",
            str(tmp_path / "cortex-llm/bridge.toml"),
        ]


class TestKept:
    def test_are_read_again_when_they_change(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A file that appears, one that is written anew, one that goes; faults are logged once each time."""
        file = tmp_path / "0.toml"
        kept = KeptWishes([file])
        assert kept.now.meant("gpt-5") == ""
        written(tmp_path, '[aliases]\n"gpt-*" = "auto"\n')
        assert kept.now.meant("gpt-5") == "auto"
        assert kept.now is kept.now
        written(tmp_path, '[aliases]\n"gpt-*" = "claude"\nwrong = 1\n')
        assert (kept.now.meant("gpt-5"), len(kept.now.problems)) == ("claude", 1)
        assert len(caplog.records) == 1
        file.unlink()
        assert (kept.now.meant("gpt-5"), kept.now.problems) == ("", ())

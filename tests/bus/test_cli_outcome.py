"""cortexctl outcome: of which request, by whose word, and what a test's exit status says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.bus.served import (  # noqa: F401
    Cortexctl,
    Served,
    at_terminal,
    cortexctl_argv,
    cortexctl_fixture,
    environment,
    served_fixture,
    served_of_module_fixture,
)

OTHER, USAGE = 1, 2


def asked(cortexctl: Cortexctl, *words: str, more: dict[str, str] | None = None) -> str:
    """The id of a request that was answered."""
    return str(json.loads(cortexctl("ask", "--json", *words, "hello", more=more).stdout)["request_id"])


def told(cortexctl: Cortexctl, *words: str, more: dict[str, str] | None = None) -> Any:
    """What `outcome` says that it has reported."""
    done = cortexctl("outcome", *words, "--json", more=more)
    assert done.stderr == ""
    return json.loads(done.stdout)


class TestWords:
    @pytest.mark.parametrize(
        ("words", "score", "source"),
        [
            (("good",), 1.0, "user"),
            (("bad",), 0.0, "user"),
            (("0.75", "--source", "judge", "--weight", "0.5"), 0.75, "judge"),
            (("--exit-status", "0"), 1.0, "test"),
            (("--exit-status", "2"), 0.0, "test"),
            (("--exit-status", "139", "--source", "program"), 0.0, "program"),
        ],
    )
    def test_score_and_source(self, cortexctl: Cortexctl, words: tuple[str, ...], score: float, source: str) -> None:
        """A word, a number or an exit status, by the source that goes with it or another one."""
        request_id = asked(cortexctl)
        said = told(cortexctl, request_id, *words)
        assert said == {"request_id": request_id, "score": score, "source": source, "request": None}

    @pytest.mark.parametrize("status", ["125", "126", "127", "130", "143"])
    def test_no_test(self, cortexctl: Cortexctl, status: str) -> None:
        """One that was not found, skipped or interrupted says nothing of an answer, and nobody is asked."""
        done = cortexctl("outcome", "nobody", "--exit-status", status)
        assert (done.returncode, done.stdout) == (0, "")
        assert f"exit status {status}" in done.stderr

    @pytest.mark.parametrize(
        "words",
        [("x",), ("x", "fine"), ("x", "1.5"), ("x", "good", "--exit-status", "0"), ("x", "good", "--source", "auto")],
    )
    def test_wrong_use(self, cortexctl: Cortexctl, words: tuple[str, ...]) -> None:
        """No score, two, or one that is none; and a source that is the daemon's own."""
        assert cortexctl("outcome", *words).returncode == USAGE


class TestLast:
    def test_of_this_terminal(self, served: Served, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """The last answer of this session, whatever another one has asked since; with what it was."""
        more = {"XDG_RUNTIME_DIR": str(tmp_path)}
        own = asked(cortexctl, "--task", "configuration", more=more)
        argv = ["setsid", "--wait", *cortexctl_argv(served.address, "ask", "--json", "hello")]
        other = subprocess.run(argv, env=environment(more), stdin=subprocess.DEVNULL, capture_output=True, check=True)
        said = told(cortexctl, "last", "good", more=more)
        assert own == said["request_id"] != json.loads(other.stdout)["request_id"]
        assert (said["request"]["task_type"], said["request"]["state"]) == ("configuration", "done")
        files = list((tmp_path / "cortexctl" / "last").iterdir())
        assert [oct(file.parent.stat().st_mode)[-3:] for file in files] == ["700"] * len(files)
        assert not any("hello" in file.read_text() for file in files)

    def test_of_this_user(self, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """Where no session is known, or it asked on another bus."""
        asked(cortexctl, more={"XDG_RUNTIME_DIR": str(tmp_path)})
        newest = asked(cortexctl, more={"XDG_RUNTIME_DIR": ""})
        assert told(cortexctl, "last", "bad", more={"XDG_RUNTIME_DIR": ""})["request_id"] == newest
        [file] = (tmp_path / "cortexctl" / "last").iterdir()
        file.write_text("elsewhere\nunix:path=/elsewhere")
        assert told(cortexctl, "last", "bad", more={"XDG_RUNTIME_DIR": str(tmp_path)})["request_id"] == newest

    def test_is_said_at_a_terminal(self, served: Served, cortexctl: Cortexctl) -> None:
        """Task, model and how long ago it was, so that nobody takes it for another one."""
        request_id = asked(cortexctl, "--provider", "claude", more={"XDG_RUNTIME_DIR": ""})
        status, screen = at_terminal(served.address, ["outcome", "last", "good"], {"XDG_RUNTIME_DIR": ""})
        assert status == 0
        for word in ("user_chat", "claude-sonnet-5-5", "ago", request_id, "good"):
            assert word in screen


class TestHint:
    def test_where_outcomes_teach(self, served: Served, tmp_path: Path) -> None:
        """A terminal says after the answer how to tell how it served, where that decides, and else does not."""
        for directory, named in ((str(tmp_path), "last"), ("", "")):
            words = ["ask", "--strategy", "learned", "hello"]
            status, screen = at_terminal(served.address, words, {"XDG_RUNTIME_DIR": directory})
            assert status == 0
            assert f"cortexctl outcome {named}" in screen
            assert ("outcome last" in screen) == bool(named)
        assert "cortexctl outcome" not in at_terminal(served.address, ["ask", "hello"])[1]

    def test_in_a_chat(self, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """What was answered there last is the last too."""
        more = {"XDG_RUNTIME_DIR": str(tmp_path)}
        before = asked(cortexctl, more=more)
        assert cortexctl("chat", "--task", "configuration", input="hello\n/quit\n", more=more).returncode == 0
        said = told(cortexctl, "last", "good", more=more)
        assert (said["request_id"] != before, said["request"]["task_type"]) == (True, "configuration")

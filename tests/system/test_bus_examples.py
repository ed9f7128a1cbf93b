"""The examples of docs/developers.md, run as a user runs them; those whose toolchain is missing are skipped."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.namespace import CHECKOUT, PYTHON
from tests.system.people import Completed
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture

__all__ = ["shared_fixture", "shared_of_module_fixture"]

AsUser = Callable[..., Completed]
EXAMPLES = Path("docs/examples/bus")
PROMPT = "Why is the sky blue?"
ANSWER = f"[claude-sonnet-5-5] You said: {PROMPT}"
USD = r"0\.000\d{6} USD"


@pytest.fixture(scope="module")
def built(namespace: Path) -> Path:
    """A directory of compiled C examples that every user can reach."""
    found = all(shutil.which(program) for program in ("cc", "pkg-config"))
    if not found or subprocess.run(["pkg-config", "--exists", "libsystemd"]).returncode:
        pytest.skip("C examples need a compiler and libsystemd: apt-get install gcc pkg-config libsystemd-dev")
    directory = namespace / "bus-examples"
    directory.mkdir(mode=0o755)
    for source in (CHECKOUT / EXAMPLES).glob("*.c"):
        [first, *_] = source.read_text().splitlines()
        command = first.removeprefix("/* ").removesuffix(" */")  # the file's first line says how
        command = command.replace(f"-o {source.stem} ", f"-Wall -Wextra -Werror -o {directory / source.stem} ")
        subprocess.run(["sh", "-c", command], cwd=source.parent, check=True)
    return directory


@pytest.fixture(scope="module")
def built_rust(namespace: Path) -> Path:
    """The compiled Rust example, where every user can reach it."""
    project = namespace / "bus-examples-rust"
    shutil.copytree(CHECKOUT / EXAMPLES / "rust", project)
    if shutil.which("cargo") is None or subprocess.run(["cargo", "fetch", "--offline"], cwd=project).returncode:
        pytest.skip("the Rust example needs cargo, and zbus 5 among what it has fetched: cargo fetch, as root")
    subprocess.run(["cargo", "build", "--offline", "--target-dir=target"], cwd=project, check=True)
    return project / "target" / "debug" / "ask"


def run(as_user: AsUser, *argv: str, user: str = "alice") -> str:
    done = as_user(user, [*argv, PROMPT], environment={"PYTHONPATH": "."})
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def events(lines: list[str]) -> tuple[str, str]:
    """The text of a stream's lines, and the last event's type."""
    found = [json.loads(line) for line in lines]
    return "".join(event.get("text", "") for event in found), found[-1]["type"]


class TestShell:
    def test_busctl(self, shared: Shared, as_user: AsUser) -> None:
        """Plain text, then JSON with the metadata, the usage and two properties."""
        printed = run(as_user, "sh", str(EXAMPLES / "busctl.sh"))
        first, _, rest = printed.partition("\n")
        assert first == ANSWER
        metadata = json.JSONDecoder().raw_decode(rest)[0]["data"][1]
        assert metadata["provider"]["data"] == "claude"
        assert '"model":{"type":"s","data":"claude-sonnet-5-5"}' in rest
        assert re.search(r'^as \d+ "claude" ', rest, re.MULTILINE)

    def test_gdbus(self, shared: Shared, as_user: AsUser) -> None:
        """Each call prints its reply as a tuple."""
        ask, complete, route, stats = run(as_user, "sh", str(EXAMPLES / "gdbus.sh")).splitlines()
        assert ast.literal_eval(ask) == (ANSWER,)
        assert complete.startswith(f"('{ANSWER}', {{'request_id': <")
        assert "'provider': <'kimi_k2'>" in route
        assert "'total_requests'" in stats

    @pytest.mark.parametrize("script", ["busctl.sh", "gdbus.sh"])
    @pytest.mark.parametrize("prompt", ["-x", r"a \d+ or C:\new", 'it\'s "so"', "two\nlines", "'", "@s 'x'"])
    def test_any_prompt(self, shared: Shared, as_user: AsUser, script: str, prompt: str) -> None:
        """Whatever a shell gives arrives as it is."""
        done = as_user("alice", ["sh", str(EXAMPLES / script), prompt])
        assert (done.returncode, done.stderr) == (0, "")
        asked = [json.loads(request.body)["messages"][-1]["content"] for request in shared.simulated.received("claude")]
        assert asked[-2:] == [[{"type": "text", "text": prompt}]] * 2


class TestC:
    def test_complete(self, shared: Shared, as_user: AsUser, built: Path) -> None:
        """The answer and its cost."""
        assert re.fullmatch(rf"{re.escape(ANSWER)}\n{USD}\n", run(as_user, str(built / "complete")))

    def test_stream(self, shared: Shared, as_user: AsUser, built: Path) -> None:
        """The events as they came, the last of them `done`."""
        assert events(run(as_user, str(built / "stream")).splitlines()) == (ANSWER, "done")

    def test_refused(self, shared: Shared, as_user: AsUser, built: Path) -> None:
        """A refusal is shown by name and text, and is the exit status."""
        done = as_user("bob", [str(built / "stream"), PROMPT])
        assert done.returncode == 1
        assert done.stderr.startswith("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired: ")


class TestPython:
    def test_client(self, shared: Shared, as_user: AsUser) -> None:
        """The package's client: an answer and a stream."""
        printed = run(as_user, PYTHON, str(EXAMPLES / "with_client.py"))
        assert re.fullmatch(rf"{re.escape(ANSWER)}\nclaude, {USD}\n{re.escape(ANSWER)}\n{USD}\n", printed)

    def test_dbus_next(self, shared: Shared, as_user: AsUser) -> None:
        """dbus-next without anything of ours: the same."""
        printed = run(as_user, PYTHON, "-I", str(EXAMPLES / "with_dbus_next.py"))
        assert re.fullmatch(rf"({re.escape(ANSWER)}\n{USD}\n){{2}}", printed)


class TestRust:
    @pytest.mark.timeout(600)
    def test_zbus(self, shared: Shared, as_user: AsUser, built_rust: Path) -> None:
        """The answer and its cost, then the same as a stream."""
        printed = run(as_user, str(built_rust))
        assert re.fullmatch(rf"{re.escape(ANSWER)}\n{USD}\n{re.escape(ANSWER)}\n", printed)


class TestJavaScript:
    def test_gjs(self, shared: Shared, as_user: AsUser) -> None:
        """An answer, the pieces of a stream, and the cost of both as signals."""
        if shutil.which("gjs") is None:
            pytest.skip("the JavaScript example needs GJS: apt-get install gjs")
        lines = run(as_user, "gjs", "-m", str(EXAMPLES / "with_gjs.js")).splitlines()
        costs = [line for line in lines if line.startswith("cost: ")]
        assert [line for line in lines if line not in costs][:2] == [ANSWER, "claude"]
        assert "".join(line for line in lines if line not in costs)[len(ANSWER + "claude") :] == ANSWER
        assert costs
        assert re.fullmatch(rf"cost: user_chat by claude {USD}, today 0\.\d{{9}} USD", costs[0])

    def test_gjs_refused(self, shared: Shared, as_user: AsUser) -> None:
        """A refusal is shown in words, and is the exit status."""
        if shutil.which("gjs") is None:
            pytest.skip("the JavaScript example needs GJS: apt-get install gjs")
        done = as_user("bob", ["gjs", "-m", str(EXAMPLES / "with_gjs.js"), PROMPT])
        assert done.returncode == 1
        assert "needs authentication" in done.stderr

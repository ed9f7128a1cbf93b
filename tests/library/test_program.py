"""`python3 test_llm_router.py`: the way in which the specification runs its tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "test_llm_router.py"
WITHOUT_PYTEST = (
    "import importlib.util as u, runpy, sys\n"
    "find = u.find_spec\n"
    "u.find_spec = lambda name, *rest: None if name == 'pytest' else find(name, *rest)\n"
)


class TestProgram:
    @pytest.mark.parametrize("directory", [PROGRAM.parent, Path("/")], ids=["here", "elsewhere"])
    def test_runs_the_suite(self, directory: Path) -> None:
        """It runs the tests that its arguments choose, from any directory, and says how many passed."""
        done = subprocess.run(
            [sys.executable, PROGRAM, "-k", "test_each_task_type"],
            capture_output=True,
            text=True,
            timeout=100,
            cwd=directory,
            env=os.environ | {"PYTEST_ADDOPTS": ""},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "TestTable::test_each_task_type[user_chat] PASSED" in done.stdout
        assert "8 passed" in done.stdout

    def test_says_what_is_missing(self, tmp_path: Path) -> None:
        """Without pytest and without the virtual environment it names what is missing and what to do."""
        copy = tmp_path / PROGRAM.name
        copy.write_bytes(PROGRAM.read_bytes())
        code = f"{WITHOUT_PYTEST}sys.exit(runpy.run_path({str(copy)!r})['main']())"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (2, "")
        assert "needs pytest: run script/bootstrap once" in done.stderr

"""cortexctl learn: what outcomes have taught, seen, kept, carried, forgotten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cortexd.client import Client
from cortexd.errors import InvalidArgument
from tests.bus.served import (  # noqa: F401
    Cortexctl,
    Served,
    cortexctl_fixture,
    served_fixture,
    served_of_module_fixture,
)

OTHER, USAGE = 1, 2
TASK = "dependency_resolution"


def teach(served: Served, provider: str, *scores: float) -> None:
    """So many outcomes of answers by that provider."""
    with Client(served.address) as client:
        for score in scores:
            done = client.complete(TASK, "hello", provider=provider)
            client.report_outcome(done.request_id, score)


def cells(document: str, task: str = TASK) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(document)["cells"] if cell["task"] == task]


@pytest.fixture(name="fresh", autouse=True)
def fresh_fixture(served: Served) -> None:
    with Client(served.address) as client:
        client.reset_learned()


class TestShow:
    def test_of_few_outcomes_no_mean(self, served: Served, cortexctl: Cortexctl) -> None:
        """From five outcomes on there is one; how many there are is a step."""
        teach(served, "claude", 1.0, 1.0, 1.0, 0.0)
        (row,) = json.loads(cortexctl("learn", "show", "--task", TASK, "--json").stdout)["cells"]
        assert (row["provider"], row["outcomes"], "mean" in row) == ("claude", 2, False)
        teach(served, "claude", 1.0, 1.0)
        (row,) = json.loads(cortexctl("learn", "show", "--task", TASK, "--json").stdout)["cells"]
        assert (row["outcomes"], row["mean"]) == (5, pytest.approx(5 / 6, abs=0.01))
        lines = cortexctl("learn", "show").stdout.splitlines()
        assert any(line.split()[0] == TASK and "5+" in line for line in lines)

    def test_nothing_known(self, cortexctl: Cortexctl) -> None:
        """Says so, and how to report."""
        done = cortexctl("learn", "show")
        assert (done.returncode, "cortexctl outcome" in done.stdout) == (0, True)


class TestCarry:
    def test_there_and_back(self, served: Served, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """What is written down replaces what came after it, or is known beside it."""
        teach(served, "claude", 1.0, 0.0)
        file = tmp_path / "learned.json"
        assert cortexctl("learn", "export", str(file)).returncode == 0
        teach(served, "kimi_k2", 1.0)
        assert cortexctl("learn", "import", str(file), "--replace").returncode == 0
        assert cells(cortexctl("learn", "export", "-").stdout) == cells(file.read_text("utf-8"))
        assert cortexctl("learn", "import", "-", "--merge", input=file.read_text("utf-8")).returncode == 0
        (cell,) = cells(cortexctl("learn", "export", "-").stdout)
        assert cell["outcomes"] == 4
        assert cell["good"] == pytest.approx(2.0, rel=0.05)

    def test_what_is_wrong_changes_nothing(self, served: Served, cortexctl: Cortexctl) -> None:
        """It is named by its place, though all before it is right."""
        teach(served, "claude", 1.0)
        before = cortexctl("learn", "export", "-").stdout
        document = json.loads(before)
        document["cells"][-1]["good"] = -1
        done = cortexctl("learn", "import", "-", "--replace", input=json.dumps(document))
        assert done.returncode not in (0, OTHER)
        assert f"document.cells[{len(document['cells']) - 1}].good" in done.stderr
        assert cortexctl("learn", "export", "-").stdout == before
        with Client(served.address) as client, pytest.raises(InvalidArgument):
            client.import_learned(before, "perhaps")

    def test_wrong_use(self, cortexctl: Cortexctl, tmp_path: Path) -> None:
        """Beside or in place of what is known has to be said, and the file has to be text."""
        file = tmp_path / "learned.json"
        file.write_bytes(b"\xff\xfe")
        assert cortexctl("learn", "import", str(file)).returncode == USAGE
        assert cortexctl("learn", "import", str(file), "--merge").returncode == USAGE
        assert cortexctl("learn", "import", str(tmp_path / "none"), "--merge").returncode != 0


class TestReset:
    def test_a_part_or_all(self, served: Served, cortexctl: Cortexctl) -> None:
        """Of a task and model, of a provider, of everything."""
        teach(served, "claude", 1.0)
        teach(served, "kimi_k2", 1.0)
        assert cortexctl("learn", "reset", "--task", TASK, "--model", "claude").returncode == 0
        assert [cell["provider"] for cell in cells(cortexctl("learn", "export", "-").stdout)] == ["kimi_k2"]
        assert cortexctl("learn", "reset", "--model", "kimi_k2").returncode == 0
        assert cells(cortexctl("learn", "export", "-").stdout) == []
        assert cortexctl("learn", "reset").returncode == 0
        assert json.loads(cortexctl("learn", "export", "-").stdout) == {"version": 1, "counts": {}, "cells": []}

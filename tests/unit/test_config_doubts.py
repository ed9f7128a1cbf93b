"""What a check of the configuration warns of, as both programs that check it print it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TEXT = """
[routing.table]
user_chat = ["claude/{model}", "office/llama-9", "any/whatever", "kimi_k2"]
[routing.allowed]
everybody = ["claude", "kimi_k2/kimi-k2.7-coda"]
[routing.allowed.users]
{user} = ["*"]
4711 = ["*"]
[routing.allowed.groups]
{group} = ["office/llama-8"]
[budgets.users.{user}]
day_usd = "1"
[providers.office]
preset = "vllm"
base_url = "http://127.0.0.1:8001/v1"
model = "llama-9"
max_queued = 5
queue_delay_s = 1.5
[providers.office.models."llama-8"]
[providers.any]
preset = "vllm"
base_url = "http://127.0.0.1:8002/v1"
model = "*"
max_in_flight = 2
max_queued = 5
"""
PROGRAMS = (("cortexd", "--check-config"), ("cortexd.cli", "config", "check"))


@pytest.fixture(params=PROGRAMS, ids=["cortexd", "cortexctl"])
def check(request: pytest.FixtureRequest, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """A check of TEXT with slips of the pen in it."""
    return checked(request.param, tmp_path, model="claude-opsu-5-5", user="rooot", group="roto")


def checked(program: tuple[str, ...], directory: Path, **names: str) -> subprocess.CompletedProcess[str]:
    file = directory / "config.toml"
    file.write_text(TEXT.format(**names))
    argv = [sys.executable, "-m", *program, "--config", str(file)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def warned(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """What was said, by setting."""
    lines = [line.partition(": warning: ")[2] for line in done.stderr.splitlines()]
    return {setting: words for setting, _, words in (line.partition(": ") for line in lines)}


class TestDoubts:
    def test_each_is_told_and_none_refused(self, check: subprocess.CompletedProcess[str]) -> None:
        """A model that is not known, people who are not there, a limit without effect; not what any server may have."""
        assert check.returncode == 0
        assert set(warned(check)) == {
            "routing.table.user_chat",
            "routing.allowed.everybody",
            "routing.allowed.users.rooot",
            "routing.allowed.groups.roto",
            "budgets.users.rooot",
            "providers.office.max_queued",
            "providers.office.queue_delay_s",
        }

    def test_the_nearest_name_is_told(self, check: subprocess.CompletedProcess[str]) -> None:
        """Of the models that the provider has, and of the machine's people."""
        said = warned(check)
        assert said["routing.table.user_chat"].endswith("Did you mean 'claude-opus-5-5'?")
        assert said["routing.allowed.everybody"].endswith("Did you mean 'kimi-k2.7-code'?")
        assert said["routing.allowed.users.rooot"].endswith("Did you mean 'root'?")
        assert said["routing.allowed.groups.roto"].endswith("Did you mean 'root'?")
        assert said["providers.office.max_queued"].endswith("Set providers.office.max_in_flight as well.")

    def test_what_is_right_is_not_doubted(self, tmp_path: Path) -> None:
        """But for the two limits, which no name mends."""
        done = checked(PROGRAMS[0], tmp_path, model="claude-opus-5-5", user="root", group="root")
        assert {key.rpartition(".")[2] for key in warned(done)} == {"everybody", "max_queued", "queue_delay_s"}

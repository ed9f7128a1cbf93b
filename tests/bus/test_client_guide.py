"""The examples of docs/client.md run as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.bus.served import Served, served_fixture, served_of_module_fixture  # noqa: F401

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "client.md"


def examples() -> list[tuple[str, str]]:
    """Heading and program of each."""
    return [
        (section.partition("\n")[0], program)
        for section in GUIDE.read_text("utf-8").split("\n## ")
        for program in re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    ]


class TestGuide:
    @pytest.mark.parametrize("program", [program for _, program in examples()], ids=[title for title, _ in examples()])
    def test_example(
        self, served: Served, program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It runs on a machine with the service, and has something to say."""
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", served.address)
        exec(compile(program, "docs/client.md", "exec"), {"__name__": "example"})
        assert capsys.readouterr().out.strip()

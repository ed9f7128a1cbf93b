"""What others see of a running cortexctl's arguments."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SHOW = """
from cortexd.cli.given.command_line import hide_content
hide_content()
print(open("/proc/self/cmdline", "rb").read().rstrip(b"\\0").split(b"\\0")[3:])
"""


def shown(*arguments: str) -> str:
    argv = [sys.executable, "-c", _SHOW, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


class TestHideContent:
    @pytest.mark.parametrize("command", ["ask", "route", "outcome"])
    def test_content_is_blank(self, command: str) -> None:
        """A prompt, a system message and a reason are gone; the command's name and what is before it stay."""
        assert shown("--json", command, "--system", "be brief", "my secret") == str([b"--json", command.encode()])

    def test_others_stay(self) -> None:
        """Arguments that are no content help whoever looks at the process list."""
        assert shown("usage", "--by", "day") == str([b"usage", b"--by", b"day"])

    def test_without_arguments(self) -> None:
        """A command without content keeps its name."""
        assert shown("ask") == str([b"ask"])

"""Claude Code, asked once (`claude -p`)."""

from __future__ import annotations

import sys

from tests.system.clients.programs.asking import HELLO, serve
from tests.system.clients.programs.commanding import calls, put_files

PROGRAM = sys.argv[2]
put_files(sys.argv[1])


def argv(_what: str, model: str) -> list[str]:
    return [PROGRAM, "-p", HELLO, "--model", model, "--dangerously-skip-permissions"]


serve(calls(argv, {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}))

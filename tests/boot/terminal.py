"""A person at a terminal of the booted system."""

from __future__ import annotations

import json

from tests.boot.machine import PYTHON, PYTHONPATH, Machine

_PROGRAM = """
import json, sys
from tests.system.terminal import at_terminal
user, argv, password = json.load(sys.stdin)
print(json.dumps(at_terminal(user, argv, password)))
"""


def at_terminal(machine: Machine, user: str, *argv: str, password: str) -> tuple[int, str]:
    """Run `argv`, typing `password` at each prompt for one: its status, and what was on the screen."""
    done = machine.run(
        *PYTHON, "-c", _PROGRAM, text=json.dumps([user, argv, password]), environment={"PYTHONPATH": PYTHONPATH}
    )
    status, screen = json.loads(done.stdout)
    return status, screen


def logged_in(machine: Machine, user: str, command: str, password: str) -> tuple[int, str]:
    """The same in a login session without a seat, as over SSH; `command` is the shell's."""
    login = ("su", "--login", user, "--session-command", command)
    return at_terminal(machine, "root", *login, password=password)

"""The shell commands that the tests run as different users: busctl on our one object."""

from __future__ import annotations

import json
from typing import Any

from cortexd.errors import CortexError, Detail
from tests.system.program import NAME, PATH

BUSCTL = ["busctl", "--system", "--timeout=60"]
OBJECT = [NAME, PATH]


def call(interface: str, member: str, *arguments: str, flags: tuple[str, ...] = ()) -> list[str]:
    return [*BUSCTL, *flags, "call", *OBJECT, interface, member, *arguments]


def ask(task_type: str, prompt: str = "hello", flags: tuple[str, ...] = ()) -> list[str]:
    return call(NAME, "Ask", "ss", task_type, prompt, flags=flags)


def without_asking(task_type: str) -> list[str]:
    return ask(task_type, flags=("--allow-interactive-authorization=no",))


# busctl shows every AccessDenied as "Access denied"; gdbus shows the text. -i lets polkit ask a person.
GDBUS = ["gdbus", "call", "--system", "--timeout=60", "--dest", OBJECT[0], "--object-path", OBJECT[1]]


def gdbus_ask(task_type: str, prompt: str = "hello") -> list[str]:
    return [*GDBUS, "--method", f"{NAME}.Ask", "-i", task_type, prompt]


def details_of(stderr: str) -> dict[str, Detail]:
    """The details of the error that busctl or gdbus has shown."""
    return CortexError.from_text(stderr.strip()).details


# Several calls of one process, to which an authentication agent can be bound.
ASK_AGAIN = """
import asyncio, sys
from dbus_next import Message, MessageFlag
from cortexd.connection import Connection, system_address

async def main():
    connection = await Connection.open(system_address())
    for task_type in sys.argv[1:]:
        message = Message(
            destination="org.cortexlinux.LLMRouter", path="/org/cortexlinux/LLMRouter",
            interface="org.cortexlinux.LLMRouter", member="Ask", signature="ss", body=[task_type, "hello"],
            flags=MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION,
        )
        print((await connection.call(message, timeout_s=60)).body[0])

asyncio.run(main())
"""


def ask_again(*task_types: str) -> list[str]:
    return [".venv/bin/python", "-c", ASK_AGAIN, *task_types]


def plain(value: Any) -> Any:
    """busctl's JSON without the type beside each value."""
    if isinstance(value, dict):
        if set(value) == {"type", "data"}:
            return plain(value["data"])
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def results(stdout: str) -> list[Any]:
    """What a call with --json=short printed, as plain values."""
    values = plain(json.loads(stdout))
    assert isinstance(values, list)
    return values

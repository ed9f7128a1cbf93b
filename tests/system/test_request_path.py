"""What a request leaves behind on the bus when it is given up, and what a caller may leave in the daemon's memory."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.eventually import assert_eventually, assert_eventually_async
from tests.system.namespace import PYTHON, process_state
from tests.system.polkit_agent import PolkitAgent
from tests.system.program import NAME, USAGE, Program, dictionary, program_fixture, refused  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401
from tests.system.terminal import switch_user, user_environment
from tests.system.users import programs_of

CONFIG = "[daemon]\npreload_sdks = true\n"

# alice's privileged request, asked for interactively; prints the error that ends it, and stays on the bus.
PRIVILEGED = """
import asyncio
from dbus_next import Message, MessageFlag
from tests.system.program import NAME, PATH, Program, dictionary, messages

async def main():
    program = await Program.open()
    try:
        await program.connection.call(Message(
            destination=NAME, path=PATH, interface=NAME, member="CompleteWithOptions", signature="saa{sv}a{sv}",
            body=["system_operation", messages("hello"), dictionary({"request_id": "prompted"})],
            flags=MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION,
        ), timeout_s=60)
    except Exception as error:
        print(error.name, flush=True)
    await program.connection.wait_closed()

asyncio.run(main())
"""


@contextmanager
def prompted() -> Iterator[tuple[subprocess.Popen[str], PolkitAgent]]:
    """alice's request, whose prompt nobody answers."""
    argv = switch_user("alice", ["bash", "-c", 'kill -STOP $$; exec "$@"', "stopped", PYTHON, "-c", PRIVILEGED])
    environment = user_environment("alice")
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert_eventually(lambda: process_state(process.pid) == "T")
            with PolkitAgent(process.pid, "wait") as agent:
                process.send_signal(signal.SIGCONT)
                yield process, agent
        finally:
            process.kill()


class TestPrompt:
    async def test_is_withdrawn_when_the_request_is_cancelled(self, shared: Shared) -> None:
        """Nobody is left to type a password for what is over."""
        with prompted() as (process, agent):
            await assert_eventually_async(lambda: agent.asked)
            assert not agent.cancelled
            async with programs_of("alice") as (alice,):
                assert await alice.call(NAME, "Cancel", "s", "prompted") == []
            await assert_eventually_async(lambda: agent.cancelled, 5)
            assert process.stdout is not None
            said = await asyncio.to_thread(process.stdout.readline)
            assert said.strip().endswith("Error.Cancelled")


class TestSubscription:
    async def test_holds_no_more_than_a_name(self, shared: Shared, program: Program) -> None:
        """A filter is kept as long as its connection: megabytes of it are refused."""
        for name in ("task_type", "provider"):
            with refused("InvalidArgument") as text:
                await program.call(USAGE, "Subscribe", "a{sv}", dictionary({name: "x" * 4_000_000}))
            assert len(text[0]) < 1000

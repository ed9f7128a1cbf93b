"""What requests may take of the daemon's memory: bounded before polkit is asked, and little more than their bytes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from simulated import Behaviour
from tests.eventually import assert_eventually_async
from tests.system.namespace import PYTHON
from tests.system.people import Background
from tests.system.polkit_agent import PolkitAgent
from tests.system.program import Program, program_fixture  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401

InBackground = Callable[..., Background]
WARM = True
CONFIG = "[authorization]\ninteractive_timeout_s = 60.0\n"
HELD_MIB = 184  # what one user may hold
INCOMING_MIB = 8  # the one call that is on its way in, and counted once it is whole
MOST_MIB = 1.04 * (HELD_MIB + INCOMING_MIB)  # more than before; a second copy of anything large would be seen
START_S = 60  # of an interpreter beside all else that the machine does
PHOTO = b"\x89PNG\r\n\x1a\n"
PHOTO_BYTES = 6_000_000


def peak_mib(pid: int) -> float:
    """The most memory that a process has had since `forget_peak`."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def forget_peak(pid: int) -> float:
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak_mib(pid)


def photo() -> list[dict[str, object]]:
    image = {"type": "image", "media_type": "image/png", "data": PHOTO + os.urandom(PHOTO_BYTES - len(PHOTO))}
    return [{"role": "user", "content": [{"type": "text", "text": "what is it?"}, image]}]


# 140 calls of 8 MiB that may ask for a password; prints how each ended.
LARGE_CALLS = """
import asyncio, signal
from collections import Counter
from dbus_next import MessageFlag
from cortexd.connection import BusException
from tests.system.program import Program, message

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("ready", flush=True)
signal.sigwait([signal.SIGUSR1])

async def ask(program, number):
    call = message("Ask", "ss", "user_chat", "x" * 8_388_000 + str(number))
    call.flags = MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION
    try:
        await program.send(call, timeout_s=100)
    except BusException as error:
        print(getattr(error, "name", type(error).__name__), flush=True)

async def main():
    async with await Program.open() as one, await Program.open() as other:
        await asyncio.gather(*(ask(program, number) for number in range(70) for program in (one, other)))

asyncio.run(main())
"""


class TestPeak:
    @pytest.mark.slow
    @pytest.mark.timeout(300)
    async def test_large_calls_whose_user_never_answers_the_prompt(
        self, shared: Shared, program: Program, background: InBackground
    ) -> None:
        """140 calls of 8 MiB without any right are refused by their bytes, before polkit; others are served beside."""
        pid = shared.daemon.pid
        flood = background("bob", [PYTHON, "-c", LARGE_CALLS])
        flood.await_output("ready", START_S)
        base = forget_peak(pid)
        with PolkitAgent(flood.process.pid, "wait"):
            flood.process.send_signal(signal.SIGUSR1)
            await assert_eventually_async(lambda: flood.output().count("RateLimited") > 100, 240, "refusals")
            answer = await program.complete("user_chat", "beside the flood")
            assert answer.metadata["cost_known"] is True
            peak = peak_mib(pid)
            print(f"\nattack: {base:.0f} MiB before, {peak:.0f} MiB at the most, {peak - base:.1f} more")
            flood.stop()
        assert peak - base < MOST_MIB

    @pytest.mark.slow
    @pytest.mark.timeout(300)
    async def test_many_photos_at_once(self, shared: Shared, program: Program) -> None:
        """32 photos of 6 MB are all answered; each costs little more than its bytes."""
        pid = shared.daemon.pid
        shared.behave("claude", Behaviour(delay_s=6.0))
        base = forget_peak(pid)
        answers = await asyncio.gather(*(program.complete("user_chat", photo()) for _ in range(32)))
        peak = peak_mib(pid)
        print(f"\nphotos: {base:.0f} MiB before, {peak:.0f} MiB at the most, {peak - base:.1f} more")
        assert len(answers) == shared.simulated.counts("claude").answered == 32
        assert peak - base < MOST_MIB

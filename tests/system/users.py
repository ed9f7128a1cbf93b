"""Programs of other users in the tests' own process: the bus takes a connection's user from its socket.

polkit asks the bus who a connection belongs to, so rules see alice, bob and carol as they would anywhere.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tests.eventually import assert_eventually
from tests.system.people import as_user
from tests.system.program import Program

_RULES = Path("/etc/polkit-1/rules.d")  # of the namespace
_RULE = """
polkit.addRule(function (action, subject) {
    if (action.id == "org.cortexlinux.LLMRouter.complete" && subject.user == "%s") { return polkit.Result.YES; }
    return polkit.Result.NOT_HANDLED;
});
"""
MAY = ["bash", "-c", "exec pkcheck --action-id org.cortexlinux.LLMRouter.complete --process $$"]


def uid_of(user: str) -> int:
    return pwd.getpwnam(user).pw_uid


async def open_as(user: str) -> Program:
    """A connection of that user's. Nothing else of this process may run meanwhile: it is that user for a moment."""
    with _effective(user):
        return await Program.open()


@asynccontextmanager
async def programs_of(*users: str) -> AsyncIterator[list[Program]]:
    """A connection of each, closed at the end."""
    opened = [await open_as(user) for user in users]
    try:
        yield opened
    finally:
        for program in opened:
            await program.close()


@contextmanager
def let_through(user: str) -> Iterator[None]:
    """A rule of the machine's own: `user` may ask ordinary questions, as group cortex may."""
    rule = _RULES / f"10-{user}.rules"
    rule.write_text(_RULE % user)
    try:
        assert_eventually(lambda: as_user(user, MAY).returncode == 0, message=f"polkit to let {user} through")
        yield
    finally:
        rule.unlink()
        assert_eventually(lambda: as_user(user, MAY).returncode != 0, message=f"polkit to stop {user} again")


@contextmanager
def _effective(user: str) -> Iterator[None]:
    entry = pwd.getpwnam(user)
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)

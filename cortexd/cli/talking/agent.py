"""pkttyagent: asks for the password at this terminal, for as long as one call of ours takes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cortexd.cli.talking.person import NobodyThere, open_terminal
from cortexd.errors import AccessDenied, InteractiveAuthorizationRequired

_REGISTER_S = 10.0
_LEAVE_S = 2.0
_NO_TERMINAL = "there is no terminal to ask for a password at"
_BACKGROUND = "a command in the background cannot ask for a password"


@asynccontextmanager
async def authentication_agent(refusal: InteractiveAuthorizationRequired) -> AsyncIterator[None]:
    """An agent for this process. Raises AccessDenied where nobody can be asked."""
    terminal = _terminal(refusal)
    try:
        modes = termios.tcgetattr(terminal)
        agent, ready = _spawn(refusal)
        try:
            await _wait_until_registered(ready)
            yield
        finally:
            await asyncio.to_thread(_end, agent)
            termios.tcsetattr(terminal, termios.TCSADRAIN, modes)  # an agent that ends at its prompt leaves echo off
    finally:
        os.close(terminal)


def _terminal(refusal: InteractiveAuthorizationRequired) -> int:
    try:
        return open_terminal()
    except NobodyThere as nobody:
        raise _nobody_to_ask(refusal, _BACKGROUND if nobody.background else _NO_TERMINAL) from nobody


def _nobody_to_ask(refusal: InteractiveAuthorizationRequired, why: str) -> AccessDenied:
    action = refusal.details.get("action", "this")
    return AccessDenied(
        f"{action} needs authentication, but {why}; run it at a terminal or as root, or let an administrator allow it"
    )


def _spawn(refusal: InteractiveAuthorizationRequired) -> tuple[subprocess.Popen[bytes], int]:
    """The agent, ended by the kernel should we be killed, and the descriptor that it closes when it is ready."""
    ready, notify = os.pipe()
    argv = ["setpriv", "--pdeathsig", "TERM", "--", "pkttyagent", "--process", str(os.getpid())]
    try:
        return subprocess.Popen([*argv, "--notify-fd", str(notify), *_politely()], pass_fds=[notify]), ready  # noqa: S603
    except OSError:
        os.close(ready)
        raise _nobody_to_ask(refusal, "pkttyagent, which asks for the password, cannot be run") from None
    finally:
        os.close(notify)


def _politely() -> list[str]:
    """In a login session its own agent goes first. Outside of one polkit 122 forgets agents that step back."""
    try:
        with open("/proc/self/cgroup", encoding="ascii", errors="replace") as cgroup:
            return ["--fallback"] if "/session-" in cgroup.read() else []
    except OSError:
        return []


async def _wait_until_registered(ready: int) -> None:
    """Also returns when the agent gave up: polkit then says that there is none."""
    loop = asyncio.get_running_loop()
    closed = asyncio.Event()
    loop.add_reader(ready, closed.set)
    try:
        async with asyncio.timeout(_REGISTER_S):
            await closed.wait()
    except TimeoutError:
        raise AccessDenied(f"pkttyagent did not get ready within {_REGISTER_S:g} s") from None
    finally:
        loop.remove_reader(ready)
        os.close(ready)


def _end(agent: subprocess.Popen[bytes]) -> None:
    agent.terminate()
    try:
        agent.wait(_LEAVE_S)
    except subprocess.TimeoutExpired:
        agent.kill()
        agent.wait()

"""The service manager's notification protocol, sd_notify(3): one datagram per state, nothing without a socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time


def notify(*lines: str) -> None:
    """Send lines such as READY=1 to $NOTIFY_SOCKET; silent where there is none or it does not listen."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    path = "\0" + address[1:] if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto("\n".join(lines).encode(), path)


def reloading() -> None:
    """RELOADING=1 with the moment it began, as systemd wants it (sd_notify(3), MONOTONIC_USEC)."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


async def feed_watchdog() -> None:
    """Send WATCHDOG=1 from the event loop, twice in $WATCHDOG_USEC, until cancelled; returns where none is wanted."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(int(microseconds) / 2_000_000)

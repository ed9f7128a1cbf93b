"""What the service manager is told."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortexd.daemon.notify import feed_watchdog


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The end of $NOTIFY_SOCKET at which systemd would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


class TestWatchdog:
    async def test_fed_until_cancelled(self, manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
        """WATCHDOG=1 comes again and again, at least twice in $WATCHDOG_USEC."""
        monkeypatch.setenv("WATCHDOG_USEC", "100000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        feeding = asyncio.create_task(feed_watchdog())
        async with asyncio.timeout(30):
            for _ in range(3):
                assert await asyncio.get_running_loop().sock_recv(manager, 100) == b"WATCHDOG=1"
        feeding.cancel()

    @pytest.mark.parametrize(("usec", "pid"), [("", ""), ("100000", "1"), ("soon", "")])
    async def test_not_wanted(
        self, usec: str, pid: str, manager: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a watchdog, or with one for another process, nothing is sent."""
        monkeypatch.setenv("WATCHDOG_USEC", usec)
        monkeypatch.setenv("WATCHDOG_PID", pid or str(os.getpid()))
        async with asyncio.timeout(30):
            await feed_watchdog()
        with pytest.raises(BlockingIOError):
            manager.recv(100)

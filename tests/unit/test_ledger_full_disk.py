"""A disk that fills up in mid-request, and has space again later."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Argument: the directory, how the disk is filled, this directory. Prints one JSON object of what happened.
DAEMON = """
import asyncio, json, os, resource, sys
from pathlib import Path
from tests.unit.test_ledger_parts import attempt, audited, complete, eventually, request, settings
from cortexd.errors import LedgerUnavailable
from cortexd.ledger import Ledger

directory, how = Path(sys.argv[1]), sys.argv[2]
path = settings(directory).path
filler = directory / "filler"

def fill():
    if how == "limit":
        size = path.with_name(path.name + "-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        return
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass

def free():
    if how == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    else:
        filler.unlink()

async def refused(call):
    try:
        await call
    except LedgerUnavailable as error:
        return str(error)
    return "not refused"

async def main():
    ledger = await Ledger.open(settings(directory))
    await complete(ledger, 100)
    key = await ledger.reserve(request(request_id="paid"), 9_000)
    said = {"writable_before": ledger.writable}
    fill()
    said["settle"] = await refused(ledger.settle(key, "done", [attempt(5_000)]))
    said["writable_full"] = ledger.writable
    said["reserve"] = await refused(ledger.reserve(request(request_id="later"), 9_000))
    said["totals_full"] = ledger.totals.total_cost_nano
    said["state_full"] = (await ledger.find(1000, "paid")).state
    free()
    if sys.argv[3] == "idle":
        await eventually(lambda: ledger.writable)
    else:
        await complete(ledger, 7, request_id="later")
    stored = await ledger.find(1000, "paid")
    said["paid"] = [stored.state, stored.cost_nano]
    said["writable_after"] = ledger.writable
    said["totals"] = ledger.totals.total_cost_nano
    await ledger.close()
    audit = audited(path)
    said["audit"] = [audit.charged_nano, audit.reserved_nano, audit.wrong_rows, audit.pending]
    print(json.dumps(said))

asyncio.run(main())
"""
TMPFS = 'mount -t tmpfs -o size=2m,mode=700 tmpfs "$1" && shift && exec "$@"'


def daemon(directory: Path, how: str, then: str) -> list[str]:
    return [sys.executable, "-c", DAEMON, str(directory), how, then]


def own_namespace(directory: Path) -> list[str]:
    """A command prefix that runs the rest on a disk of two megabytes; skips the test where that is refused."""
    prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", TMPFS, "sh", str(directory)]
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no mount namespace here: {error}")
    return prefix


def told(command: list[str]) -> dict[str, object]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said: dict[str, object] = json.loads(done.stdout)
    return said


class TestFullDisk:
    @pytest.mark.parametrize(("then", "more"), [("idle", 0), ("busy", 7)])
    @pytest.mark.parametrize("how", ["limit", "tmpfs"])
    def test_keeps_the_settlement_until_there_is_space(self, tmp_path: Path, how: str, then: str, more: int) -> None:
        """A paid answer that cannot be booked is told as such and booked later, once, before anything new."""
        prefix = own_namespace(tmp_path) if how == "tmpfs" else []
        said = told([*prefix, *daemon(tmp_path, how, then)])
        assert said["writable_before"] is True
        assert str(said["settle"]).startswith("the ledger cannot be written")
        assert str(said["reserve"]).startswith("the ledger cannot be written")
        if how == "tmpfs":
            assert "the disk is full" in str(said["settle"])
        assert (said["writable_full"], said["state_full"], said["totals_full"]) == (False, "pending", 100)
        assert (said["paid"], said["writable_after"], said["totals"]) == (["done", 5_000], True, 5_100 + more)
        assert said["audit"] == [5_100 + more, 0, 0, 0]

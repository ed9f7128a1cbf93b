"""What the daemon logs, as journald receives it on a socket of the test's own."""

from __future__ import annotations

import logging
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortexd.domain.tasks import TaskType
from cortexd.ledger import Settled, Totals
from cortexd.requests.events import CostEvent
from cortexd.telemetry.request_log import log_settled

PROGRAM = """
import logging, sys
from pathlib import Path
from cortexd.telemetry.journal import set_up_logging
set_up_logging("info", Path(sys.argv[1]))
logging.getLogger("cortexd.test").{call}
"""


class Journal:
    """journald's socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(5)
        self.socket.bind(str(path))

    def entry(self) -> dict[str, str]:
        """The next one, by the protocol's own rules."""
        data, fields = self.socket.recv(1 << 20), {}
        while data:
            name, _, data = data.partition(b"\n")
            if b"=" in name:
                name, _, value = name.partition(b"=")
            else:
                (length,) = struct.unpack("<Q", data[:8])
                value, data = data[8 : 8 + length], data[9 + length :]
            fields[name.decode()] = value.decode()
        return fields


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "socket")
    yield journal
    journal.socket.close()


@pytest.fixture(name="log")
def log_fixture(tmp_path: Path) -> Path:
    """Where the lines on stderr go."""
    return tmp_path / "stderr"


def run(call: str, journal: Path, stderr: Path, stream: str | None = None) -> str:
    """One log call in a process whose stderr is `stderr`, which $JOURNAL_STREAM names unless told otherwise."""
    with stderr.open("wb") as file:
        found = os.fstat(file.fileno())
        environ = {**os.environ, "JOURNAL_STREAM": stream or f"{found.st_dev}:{found.st_ino}"}
        argv = [sys.executable, "-c", PROGRAM.format(call=call), str(journal)]
        subprocess.run(argv, env=environ, stderr=file, check=True, timeout=30)
    return stderr.read_text()


class TestEntries:
    def test_fields(self, journal: Journal, log: Path) -> None:
        """Text, priority, logger and the record's own fields arrive as fields; stderr stays empty."""
        call = 'warning("low: %d", 3, extra={"fields": {"CORTEXD_UID": 1000, "CORTEXD_MODEL": None}})'
        assert run(call, journal.path, log) == ""
        assert journal.entry() == {
            "MESSAGE": "low: 3",
            "PRIORITY": "4",
            "SYSLOG_IDENTIFIER": "cortexd",
            "CORTEXD_LOGGER": "cortexd.test",
            "CORTEXD_UID": "1000",
        }

    def test_several_lines(self, journal: Journal, log: Path) -> None:
        """A newline makes no second field, whoever chose the text."""
        run('error("one\\nPRIORITY=7\\n", extra={"fields": {"CORTEXD_MODEL": "a\\nMESSAGE=b"}})', journal.path, log)
        entry = journal.entry()
        assert (entry["MESSAGE"], entry["PRIORITY"], entry["CORTEXD_MODEL"]) == (
            "one\nPRIORITY=7\n",
            "3",
            "a\nMESSAGE=b",
        )

    def test_bounded(self, journal: Journal, log: Path) -> None:
        """A huge text is cut, between two characters, and so is a field."""
        run('info("\\u00e4" * 10**6, extra={"fields": {"CORTEXD_MODEL": "m" * 10**6}})', journal.path, log)
        entry = journal.entry()
        assert entry["MESSAGE"] == "ä" * (24 * 1024)
        assert len(entry["CORTEXD_MODEL"]) == 256

    def test_traceback(self, journal: Journal, log: Path) -> None:
        """An exception's traceback is in the text."""
        run('error("failed", exc_info=ValueError("x"))', journal.path, log)
        assert journal.entry()["MESSAGE"] == "failed\nValueError: x"


class TestOtherwise:
    def test_stderr_leads_elsewhere(self, journal: Journal, log: Path) -> None:
        """Where stderr is not the journal's, lines go to stderr."""
        assert run('info("hello")', journal.path, log, stream="1:2") == "<6>cortexd.test: hello\n"

    def test_no_journald(self, tmp_path: Path, log: Path) -> None:
        """Without a socket too."""
        assert run('info("hello")', tmp_path / "none", log) == "<6>cortexd.test: hello\n"

    def test_journald_behind(self, journal: Journal, log: Path) -> None:
        """A journald that does not read holds nobody up: what it does not take goes to stderr, none is lost."""
        began = time.monotonic()
        lines = run('info("x" * 1000); [logging.getLogger("cortexd.test").info("x" * 1000) for _ in range(5000)]', journal.path, log)  # fmt: skip # noqa: E501
        assert time.monotonic() - began < 20
        taken = 0
        journal.socket.settimeout(0)
        while True:
            try:
                journal.socket.recv(1 << 20)
            except BlockingIOError:
                break
            taken += 1
        assert lines.count("\n") + taken == 5001
        assert taken


class TestRequestLog:
    def test_figures_without_content(self, caplog: pytest.LogCaptureFixture) -> None:
        """One line with who, which and how much; the same as fields."""
        settled = Settled(3_000_000, True, 0, 0, Totals())
        with caplog.at_level(logging.INFO, "cortexd.requests"):
            log_settled(CostEvent(1000, "r-1", TaskType.USER_CHAT, "claude", "a\nb", settled, "done", (), 812))
        [record] = caplog.records
        assert record.getMessage() == "request r-1 of uid 1000 (user_chat): done by claude 'a\\nb', $0.0030, 812 ms"
        fields = vars(record)["fields"]
        assert (fields["CORTEXD_REQUEST_ID"], fields["CORTEXD_COST_NANO_USD"]) == ("r-1", 3_000_000)

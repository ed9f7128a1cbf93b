"""What a machine keeps while its ledger is away: on the disk, in order, once; whatever a crash leaves of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cortexd.domain.messages import Usage
from cortexd.errors import Failure, LedgerUnavailable
from cortexd.ledger import AttemptRecord, NewRequest, RequestState
from cortexd.ledger.spool import documents
from cortexd.ledger.spool.lines import SpoolFile
from cortexd.ledger.spool.spool import MOST_BYTES, Spool
from cortexd.ledger.writing.actions import Book, Settle

HEADERS = 3  # lines at a spool's beginning


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.spool"


def numbers(file: SpoolFile) -> list[int]:
    return [line.number for line in file.read(1000)]


def attempt(outcome: str = "ok", error: str = "") -> AttemptRecord:
    return AttemptRecord("house", "tiny", outcome, 0, True, Usage(5, 7), 12, error, 3, 40, True)


REQUEST = NewRequest(
    1000, "ann", "job", True, b"\x00\xff", "user_chat", datetime(2026, 11, 30, tzinfo=UTC), {"app": "vim", "n": "1"}
)


class TestFile:
    def test_outlives_its_process(self, path: Path) -> None:
        """What was kept is there again, in order, under the same name; what is done is gone."""
        first = SpoolFile(path)
        assert first.append([b"one", b"two", b"three"]) == 1
        first.done(1)
        first.close()
        again = SpoolFile(path)
        assert (again.name, [line.document for line in again.read(2)]) == (first.name, [b"one", b"two"])
        again.done(3)
        again.close()
        last = SpoolFile(path)
        assert (last.name, last.waiting, last.append([b"four"])) == (first.name, 0, 4)

    def test_is_private_and_of_one_daemon(self, path: Path) -> None:
        """Nobody else may read it, and no second daemon may write it."""
        held = SpoolFile(path)
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        with pytest.raises(LedgerUnavailable):
            SpoolFile(path)
        held.close()
        SpoolFile(path).close()

    def test_a_torn_end(self, path: Path) -> None:
        """Wherever a crash has cut the file off, the whole lines before that are there, be it without their line break,
        and more can be added."""
        file = SpoolFile(path)
        file.append([b"one", b"two"])
        file.close()
        whole = path.read_bytes()
        ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
        for end in range(len(whole)):
            path.write_bytes(whole[:end])
            cut = SpoolFile(path)
            there = max((whole[:end] + b"\n" * (end + 1 in ends)).count(b"\n") - HEADERS, 0)
            assert cut.waiting == there
            assert cut.append([b"more"]) > there
            assert [line.document for line in cut.read(9)] == [*[b"one", b"two"][:there], b"more"]
            cut.close()

    @pytest.mark.parametrize("rot", [lambda byte: byte ^ 1, lambda byte: byte ^ 16, lambda _byte: 10], ids="abc")
    def test_a_damaged_byte(self, path: Path, rot: Callable[[int], int], caplog: pytest.LogCaptureFixture) -> None:
        """Wherever it is, also across a restart: every line but its own, or two that it joins, is there by its number,
        no new line gets a number that one of them had, and whatever is missing is told."""
        file = SpoolFile(path)
        file.append([b"one", b"two", b"three"])
        file.close()
        whole, known = path.read_bytes(), {1: b"one", 2: b"two", 3: b"three"}
        for place, byte in enumerate(whole):
            if (rotten := rot(byte)) == byte:
                continue
            path.write_bytes(whole[:place] + bytes([rotten]) + whole[place + 1 :])
            caplog.clear()
            SpoolFile(path).close()
            again = SpoolFile(path)
            found = {line.number: line.document for line in again.read(9)}
            assert found.items() <= known.items()
            assert len(found) >= len(known) - 2
            assert (len(found) == len(known)) or "passed over" in caplog.text
            assert again.append([b"more"]) not in known
            again.close()
            last = SpoolFile(path)
            assert len(last.read(9)) == len(found) + 1
            last.close()

    def test_a_damaged_beginning(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Lines of which nobody can say whether they are booked are neither booked nor thrown away."""
        file = SpoolFile(path)
        file.append([b"one"])
        file.close()
        damaged = path.read_bytes().replace(file.name.encode(), b"0" * len(file.name))
        path.write_bytes(damaged)
        again = SpoolFile(path)
        assert (again.waiting, again.name != file.name) == (0, True)
        [kept] = path.parent.glob("ledger.spool.damaged-*")
        assert (kept.read_bytes(), kept.stat().st_mode & 0o777) == (damaged, 0o600)
        assert str(kept) in caplog.text

    def test_a_damaged_line(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """It is passed over and said so; what comes before and after it counts."""
        file = SpoolFile(path)
        file.append([b"one", b"two", b"three"])
        file.close()
        path.write_bytes(path.read_bytes().replace(b"two", b"tow"))
        again = SpoolFile(path)
        assert numbers(again) == [1, 3]
        assert "damaged" in caplog.text
        again.done(3)
        assert again.waiting == 0

    def test_takes_nothing_once_it_is_closed(self, path: Path) -> None:
        """A line that comes too late is refused, and not written to whatever the process opens next."""
        file = SpoolFile(path)
        file.close()
        other = path.with_name("other")
        with other.open("wb"), pytest.raises(OSError, match="Bad file descriptor"):
            file.append([b"late"])
        assert other.read_bytes() == b""

    def test_longer_than_one_reading(self, path: Path) -> None:
        """Lines of any length are found whole."""
        file = SpoolFile(path)
        long = [bytes([65 + number]) * 150_000 for number in range(8)]
        file.append(long)
        assert [line.document for line in file.read(9)] == long
        file.done(5)
        assert numbers(file) == [6, 7, 8]


class TestSpool:
    def test_says_what_it_was_told(self, path: Path) -> None:
        """Requests and settlements come back as they were, but for texts that may quote a prompt."""
        spool = Spool(path)
        made = (attempt(Failure.REFUSED.value, "you said: secret"), attempt(error="slow"))
        spool.keep([(documents.whole(REQUEST, RequestState.DONE, made), None)])
        assert spool.keep_settlement(Settle(7, RequestState.FAILED, made))
        assert b"secret" not in path.read_bytes()
        first, second = spool.next(10)
        assert isinstance(first.what, Book)
        assert (first.what.request, first.what.state) == (REQUEST, RequestState.DONE)
        assert first.what.attempts == (attempt(Failure.REFUSED.value), attempt(error="slow"))
        assert second.what == Settle(7, RequestState.FAILED, first.what.attempts)
        assert (first.number, second.number, first.spool) == (1, 2, second.spool)

    def test_leaves_no_file_where_nothing_waits(self, path: Path) -> None:
        """A machine whose ledger was never away has none."""
        spool = Spool(path)
        spool.find()
        assert (spool.waiting, spool.next(10), path.exists()) == (0, [], False)

    def test_passes_over_what_nobody_knows(self, path: Path) -> None:
        """A line of another cortexd does not stop those behind it."""
        spool = Spool(path)
        spool.keep([(b'{"type":"later"}', None)])
        assert spool.next(10) == []
        assert spool.waiting == 0
        spool.keep([(b'{"type":"settlement","key":7,"state":"later","attempts":[]}', None)])
        assert spool.next(10) == []
        spool.keep([(b"[]", None), (documents.end(Settle(7, RequestState.DONE, ())), None)])
        assert [action.what for action in spool.next(10)] == [Settle(7, RequestState.DONE, ())]

    def test_on_a_disk_that_does_not_answer(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """It is said, and left to the next start; who asks goes on."""
        spool = Spool(path)
        spool.keep([(documents.end(Settle(7, RequestState.DONE, ())), None)])
        [held] = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink() and link.readlink() == path]
        os.close(int(held.name))
        assert (spool.next(10), spool.waiting) == ([], 0)
        assert "cannot be read" in caplog.text
        again = Spool(path)
        again.find()
        assert again.waiting == 1

    def test_is_bounded(self, path: Path) -> None:
        """Free requests leave room for settlements, and those end somewhere too."""
        spool = Spool(path)
        spool.keep([(b"x" * (MOST_BYTES * 7 // 8), None)])
        assert not spool.room
        assert spool.keep_settlement(Settle(7, RequestState.DONE, ()))
        spool.keep([(b"x" * (MOST_BYTES // 8), None)])
        assert not spool.keep_settlement(Settle(8, RequestState.DONE, ()))

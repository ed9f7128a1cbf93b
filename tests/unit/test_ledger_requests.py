"""A request's life in the ledger, seen through what callers get and what the file holds."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cortexd.errors import InvalidArgument, LedgerUnavailable, RequestNotFound
from cortexd.ledger import AttemptRecord, DuplicateRequest, Ledger, ProviderStats, RequestState, Stats, Totals
from tests.unit.test_ledger_parts import (
    CLAUDE,
    KIMI,
    attempt,
    audited,
    complete,
    eventually,
    locked,
    request,
    rows,
    settings,
    while_locked,
)

pytestmark = pytest.mark.usefixtures("engine")


class TestReserve:
    async def test_is_on_disk_before_it_returns(self, ledger: Ledger, path: Path) -> None:
        """Once reserve returns, another process sees the pending row and what it holds."""
        key = await ledger.reserve(request(request_id="mine", labels={"app": "shell"}), 9_000)
        (row,) = rows(path, "SELECT * FROM requests")
        assert (row["id"], row["request_id"], row["state"], row["labels"]) == (
            key,
            "mine",
            "pending",
            '{"app": "shell"}',
        )
        (entry,) = rows(path, "SELECT kind, nano, request FROM entries")
        assert tuple(entry) == ("reserve", 9_000, key)

    async def test_refuses_an_amount_no_ledger_could_hold(self, ledger: Ledger, path: Path) -> None:
        """Amounts below zero, and those that together pass 64 bits, are refused and leave no entry."""
        with pytest.raises(InvalidArgument):
            await ledger.reserve(request(), -1)
        key = await ledger.reserve(request(), 2**62)
        with pytest.raises(InvalidArgument):
            await ledger.reserve_more(key, 2**62)
        assert [row["nano"] for row in rows(path, "SELECT nano FROM entries")] == [2**62]

    @pytest.mark.parametrize("caller_chosen", [True, False])
    async def test_tells_a_used_id_with_the_request_that_has_it(self, ledger: Ledger, caller_chosen: bool) -> None:
        """A user's second request under one id is refused, with what became of the first."""
        key = await complete(ledger, 7_000, request_id="job", content_hash=b"h" * 32, caller_chosen=caller_chosen)
        with pytest.raises(DuplicateRequest) as refused:
            await ledger.reserve(request(request_id="job", caller_chosen=caller_chosen), 1)
        stored = refused.value.stored
        assert (stored.key, stored.state, stored.content_hash) == (key, RequestState.DONE, b"h" * 32)
        assert (stored.cost_nano, stored.cost_known, stored.provider) == (7_000, True, "claude")

    async def test_lets_two_users_use_the_same_id(self, ledger: Ledger) -> None:
        """Ids are each user's own."""
        first = await ledger.reserve(request(1000, request_id="job"), 1)
        assert await ledger.reserve(request(1001, request_id="job"), 1) != first

    @pytest.mark.parametrize("state", [RequestState.FAILED, RequestState.CANCELLED])
    async def test_takes_the_id_of_one_that_ended_in_vain(
        self, ledger: Ledger, path: Path, state: RequestState
    ) -> None:
        """No answer, no bill: the same may be asked again, as often as it takes; every try stays in the books."""
        again = request(request_id="job", caller_chosen=True)
        keys = []
        for _ in range(3):
            keys.append(await ledger.reserve(again, 9_000))
            await ledger.settle(keys[-1], state, [attempt(0, outcome="overloaded", usage=None)])
        keys.append(await ledger.reserve(again, 9_000))
        await ledger.settle(keys[-1], "done", [attempt(4_000)])
        with pytest.raises(DuplicateRequest) as refused:
            await ledger.reserve(again, 9_000)
        assert refused.value.stored.key == keys[-1]
        ids = [row["request_id"] for row in rows(path, "SELECT request_id FROM requests ORDER BY id")]
        assert ids == [*(f"job#{key}" for key in keys[:-1]), "job"]
        assert (audited(path).reserved_nano, audited(path).charged_nano) == (0, 4_000)

    @pytest.mark.of_a_file
    async def test_takes_it_once_of_many_that_ask_again_together(self, ledger: Ledger, path: Path) -> None:
        """One of them is reserved; the others hear of that one."""
        again = request(request_id="job", caller_chosen=True)
        await ledger.settle(await ledger.reserve(again, 5), "failed", [])

        async def crowd() -> list[object]:
            return await asyncio.gather(*(ledger.reserve(again, 5) for _ in range(8)), return_exceptions=True)

        outcomes = await while_locked(path, crowd)
        refused = [outcome for outcome in outcomes if isinstance(outcome, DuplicateRequest)]
        assert [error.stored.state for error in refused] == [RequestState.PENDING] * 7

    @pytest.mark.parametrize(
        ("attempts", "content"),
        [([attempt(1)], b"\x07"), ([attempt(0, cost_known=False)], b"\x07"), ([attempt(0)], b"\x08")],
        ids=["it cost something", "it may have", "other content"],
    )
    async def test_keeps_the_id_of_any_other(
        self, ledger: Ledger, attempts: list[AttemptRecord], content: bytes
    ) -> None:
        """What may have been billed is not asked again under its id, nor something else."""
        key = await ledger.reserve(request(request_id="job", caller_chosen=True), 5)
        await ledger.settle(key, "failed", attempts)
        with pytest.raises(DuplicateRequest):
            await ledger.reserve(request(request_id="job", caller_chosen=True, content_hash=content * 32), 5)

    @pytest.mark.of_a_file
    async def test_tells_duplicates_that_arrive_together(self, ledger: Ledger, path: Path) -> None:
        """Of several requests with one id that arrive at once exactly one is reserved, and their neighbours all are."""

        async def crowd() -> list[object]:
            same = [ledger.reserve(request(request_id="job", caller_chosen=True), 5) for _ in range(8)]
            others = [ledger.reserve(request(), 5) for _ in range(8)]
            return await asyncio.gather(*same, *others, return_exceptions=True)

        outcomes = await while_locked(path, crowd)
        refused = [outcome for outcome in outcomes[:8] if isinstance(outcome, DuplicateRequest)]
        assert len(refused) == 7
        assert all(error.stored.state is RequestState.PENDING for error in refused)
        assert len({key for key in outcomes if isinstance(key, int)}) == 9

    async def test_given_up_leaves_nothing_reserved(self, ledger: Ledger, path: Path) -> None:
        """A reservation whose caller is cancelled is either never written or settled as cancelled, at no cost."""
        other = await ledger.reserve(request(), 1_000)  # alone, each would be reserved before it can be given up
        for _ in range(20):
            task = asyncio.ensure_future(ledger.reserve(request(), 1_000))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await ledger.settle(other, "done", (attempt(3_000),))
        await eventually(lambda: audited(path).pending == 0)
        assert (audited(path).reserved_nano, audited(path).charged_nano) == (0, 3_000)

    @pytest.mark.of_a_file
    async def test_given_up_in_mid_commit_is_settled_as_cancelled(self, ledger: Ledger, path: Path) -> None:
        """A reservation that is already being written when its caller gives up ends as a cancelled row."""

        with locked(path):
            task = asyncio.ensure_future(ledger.reserve(request(request_id="late"), 1_000))
            await asyncio.sleep(0)
            await eventually(lambda: not len(ledger._writer._inbox))  # the writer has it, and waits for the lock
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await eventually(lambda: [row["state"] for row in rows(path, "SELECT state FROM requests")] == ["cancelled"])
        assert audited(path).reserved_nano == 0

    @pytest.mark.of_a_file
    async def test_that_takes_too_long_is_settled_as_cancelled(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever asks of a disk that does not answer in time is told so, and what is written later binds nobody."""
        monkeypatch.setattr("cortexd.ledger.ledger._DEADLINE_S", 0.1)
        ledger = await Ledger.open(settings(path.parents[1]))
        with locked(path), pytest.raises(LedgerUnavailable, match="not answered"):
            await ledger.reserve(request(request_id="slow"), 1_000)
        await eventually(lambda: [row["state"] for row in rows(path, "SELECT state FROM requests")] == ["cancelled"])
        assert audited(path).reserved_nano == 0
        monkeypatch.undo()
        await ledger.close()

    @pytest.mark.of_a_file
    async def test_begun_is_known_to_who_was_cancelled(self, ledger: Ledger, path: Path) -> None:
        """A cancellation, or a second one, waits for the reservation and its key."""
        begun: list[asyncio.Future[int]] = []

        async def reserve() -> None:
            begun.append(ledger.reserving(request(), 1_000))
            await begun[0]

        with locked(path):
            task = asyncio.ensure_future(reserve())
            for _ in range(2):
                await asyncio.sleep(0.02)
                task.cancel()
            assert not task.done()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [row["id"] for row in rows(path, "SELECT id FROM requests")] == [begun[0].result()]


class TestSettle:
    @pytest.mark.parametrize("outcome", ["refused_request", "server_error"])
    async def test_what_may_quote_the_prompt_is_not_stored(self, ledger: Ledger, path: Path, outcome: str) -> None:
        """A provider's words about a request that it did not take stay out of the ledger."""
        key = await ledger.reserve(request(), 10_000)
        failed = attempt(0, CLAUDE, outcome=outcome, usage=None, error="I do not take 'my secret prompt'")
        await ledger.settle(key, "failed", [failed])
        assert [row["error"] for row in rows(path, "SELECT error FROM attempts")] == [""]

    async def test_books_every_attempt_and_closes_the_row(self, ledger: Ledger, path: Path) -> None:
        """A fallback's row holds the answering provider, the sum of both costs, and each attempt with its own."""
        key = await ledger.reserve(request(), 10_000)
        await ledger.reserve_more(key, 20_000)
        failed = attempt(1_500, CLAUDE, outcome="overloaded", usage=None, error="x" * 9_000 + "\ud800")
        settled = await ledger.settle(key, "done", [failed, attempt(4_000, KIMI)])
        assert (settled.cost_nano, settled.cost_known) == (5_500, True)
        (row,) = rows(path, "SELECT * FROM requests")
        assert (row["state"], row["provider"], row["model"], row["cost_nano"]) == ("done", *KIMI, 5_500)
        first, second = rows(path, "SELECT * FROM attempts ORDER BY number")
        assert (first["outcome"], first["cost_nano"], first["input_tokens"]) == ("overloaded", 1_500, None)
        assert (second["provider"], second["cached_tokens"], second["reasoning_tokens"]) == ("kimi_k2", 10, 5)
        assert len(first["error"]) == 500
        entries = [tuple(row) for row in rows(path, "SELECT kind, nano FROM entries ORDER BY seq")]
        assert entries == [
            ("reserve", 10_000),
            ("reserve", 20_000),
            ("release", 30_000),
            ("charge", 1_500),
            ("charge", 4_000),
        ]

    async def test_books_the_truth_beyond_the_reservation(self, ledger: Ledger, path: Path) -> None:
        """A request that cost more than was reserved is charged what it cost."""
        key = await ledger.reserve(request(), 100)
        assert (await ledger.settle(key, "done", [attempt(900)])).cost_nano == 900
        assert (audited(path).charged_nano, audited(path).reserved_nano) == (900, 0)

    async def test_costs_nothing_without_attempts(self, ledger: Ledger, path: Path) -> None:
        """A request cancelled before its first attempt is settled, free of charge."""
        key = await ledger.reserve(request(), 100)
        settled = await ledger.settle(key, "cancelled", [])
        assert (settled.cost_nano, settled.cost_known, settled.totals) == (0, True, Totals(1, 0))

    async def test_keeps_what_is_unknown_unknown(self, ledger: Ledger, path: Path) -> None:
        """One attempt of unknown cost makes the request's cost unknown."""
        key = await ledger.reserve(request(), 100)
        settled = await ledger.settle(key, "failed", [attempt(100, cost_known=False, outcome="timeout"), attempt(5)])
        assert (settled.cost_nano, settled.cost_known) == (105, False)

    async def test_happens_once(self, ledger: Ledger, path: Path) -> None:
        """A second settlement, or one of an unknown request, is refused and charges nothing."""
        key = await complete(ledger, 5_000)
        with pytest.raises(RequestNotFound):
            await ledger.settle(key, "done", [attempt(5_000)])
        with pytest.raises(RequestNotFound):
            await ledger.reserve_more(key, 1)
        with pytest.raises(RequestNotFound):
            await ledger.settle(10**6, "done", [])
        with pytest.raises(InvalidArgument):
            await ledger.settle(key, "pending", [])
        assert audited(path).charged_nano == 5_000

    @pytest.mark.of_a_file
    async def test_happens_once_for_two_at_once(self, ledger: Ledger, path: Path) -> None:
        """Of two settlements of one request that arrive together, one is booked."""
        key = await ledger.reserve(request(), 100)

        async def crowd() -> list[object]:
            ahead = ledger.reserve(request(), 0)  # waits for the lock, so that the next two share a group
            both = [ledger.settle(key, "cancelled", []) for _ in range(2)]
            return await asyncio.gather(ahead, *both, return_exceptions=True)

        _, *outcomes = await while_locked(path, crowd)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["RequestNotFound", "Settled"]
        assert (ledger.totals.total_requests, audited(path).reserved_nano) == (1, 0)


class TestGroups:
    @pytest.mark.of_a_file
    async def test_requests_that_wait_share_a_commit(self, ledger: Ledger, path: Path) -> None:
        """Forty reservations that queue behind a locked file are written in two transactions at most."""

        async def crowd() -> list[int]:
            return await asyncio.gather(*(ledger.reserve(request(), 5) for _ in range(40)))

        assert len(set(await while_locked(path, crowd))) == 40
        (count,) = rows(path, "SELECT COUNT(DISTINCT at) AS moments, COUNT(*) AS entries FROM entries")
        assert count["entries"] == 40
        assert count["moments"] <= 2

    @pytest.mark.of_a_file
    async def test_one_bad_record_harms_no_other(self, ledger: Ledger, path: Path) -> None:
        """A record that the database refuses fails alone; those of its group are written."""

        async def crowd() -> list[object]:
            hashes: list[object] = [b"ok"] * 6
            hashes[3] = object()
            waiting = [ledger.reserve(request(content_hash=value), 5) for value in hashes]
            return await asyncio.gather(*waiting, return_exceptions=True)

        outcomes = await while_locked(path, crowd)
        assert isinstance(outcomes.pop(3), LedgerUnavailable)
        assert all(isinstance(key, int) for key in outcomes)
        assert ledger.writable
        assert audited(path).requests == 5


class TestReading:
    async def test_find_gives_the_request_back(self, ledger: Ledger) -> None:
        """A finished request is found by its user and id, with its times in UTC; another user's is not."""
        started = datetime(2026, 11, 23, 10, 0, 0, 123456, tzinfo=UTC)
        await complete(ledger, 5_000, request_id="job", started_at=started, labels={"k": "v"})
        found = await ledger.find(1000, "job")
        assert found is not None
        assert (found.started_at, found.state, found.labels) == (started, RequestState.DONE, {"k": "v"})
        assert found.finished_at is not None
        assert found.finished_at.tzinfo is UTC
        assert await ledger.find(1001, "job") is None

    async def test_stats_count_by_provider_since_the_last_reset(self, ledger: Ledger) -> None:
        """A user's statistics are its own and start again at a reset; the machine's go on."""
        await complete(ledger, 5_000)
        await complete(ledger, 900, uid=1001)
        await ledger.reset_stats(1000)
        assert await ledger.stats(1000) == Stats()
        key = await ledger.reserve(request(), 10)
        await ledger.settle(key, "done", [attempt(3, CLAUDE, outcome="timeout", usage=None), attempt(40, KIMI)])
        assert await ledger.stats(1000) == Stats(
            1, 43, {"claude": ProviderStats(1, 0, 3), "kimi_k2": ProviderStats(1, 120, 40)}
        )
        assert (await ledger.stats(1001)).total_cost_nano == 900
        machine = await ledger.stats(None)
        assert (machine.total_requests, machine.total_cost_nano) == (3, 5_943)
        await ledger.reset_stats(1000)
        assert await ledger.stats(1000) == Stats()

    async def test_readings_beside_writes_are_each_of_one_moment(self, ledger: Ledger) -> None:
        """While requests are settled, every reading shows whole requests only, and never fewer than before."""
        writing = asyncio.gather(*(complete(ledger, 1_000) for _ in range(300)))
        seen = [0]
        while not writing.done():
            stats = await ledger.stats(1000)
            assert stats.total_cost_nano == 1_000 * stats.total_requests
            assert stats.total_requests >= seen[-1]
            seen.append(stats.total_requests)
        await writing
        assert (await ledger.stats(1000)).total_requests == 300 == ledger.totals.total_requests


class TestEntries:
    @pytest.mark.of_a_file
    @pytest.mark.parametrize("change", ["UPDATE entries SET nano = 0", "DELETE FROM entries"])
    async def test_cannot_be_changed(self, ledger: Ledger, path: Path, change: str) -> None:
        """The database itself refuses to change or delete an entry."""
        await complete(ledger, 5_000)
        with closing(sqlite3.connect(path)) as other, pytest.raises(sqlite3.IntegrityError, match="append-only"):
            other.execute(change)
        assert audited(path).charged_nano == 5_000


class TestLeases:
    async def test_are_renewed_while_a_request_is_pending(self, tmp_path: Path) -> None:
        """A pending row's lease is moved on before it ends, without anybody asking."""
        chosen = settings(tmp_path, lease_s=0.3)
        ledger = await Ledger.open(chosen, instance="here")

        def lease() -> tuple[str, str]:
            instance, until = rows(chosen.path, "SELECT instance, lease_until FROM requests")[0]
            return instance, until

        key = await ledger.reserve(request(), 5)
        first = lease()
        assert first[0] == "here"
        await eventually(lambda: lease()[1] > first[1])
        await ledger.settle(key, "done", [])
        await ledger.close()


class TestClose:
    async def test_writes_what_is_queued(self, tmp_path: Path) -> None:
        """Requests that wait when the ledger closes are written; later ones are refused."""
        ledger = await Ledger.open(settings(tmp_path))
        waiting = asyncio.gather(*(ledger.reserve(request(), 5) for _ in range(50)))
        await asyncio.sleep(0)
        await ledger.close()
        assert len(await waiting) == 50
        with pytest.raises(LedgerUnavailable, match="closed"):
            await ledger.reserve(request(), 5)
        await ledger.close()
        assert audited(settings(tmp_path).path).pending == 50

    async def test_frees_the_file_for_the_next(self, tmp_path: Path) -> None:
        """A closed ledger can be opened again at once, and goes on where it stopped."""
        started = time.time_ns()
        for number in range(1, 4):
            ledger = await Ledger.open(settings(tmp_path))
            await complete(ledger, 10, request_id=f"{started}-{number}")
            assert ledger.totals == Totals(number, 10 * number)
            await ledger.close()

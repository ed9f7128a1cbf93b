"""What was learned and decided, as the ledger keeps it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from cortexd.domain.decided import Decided, DecidedArm
from cortexd.domain.learned import Cell, Learned
from cortexd.domain.messages import LearnedMode
from cortexd.domain.outcomes import NOTHING, Outcome
from cortexd.domain.targets import Target
from cortexd.ledger import Ledger
from cortexd.ledger.keeping.revisions import HEAD
from cortexd.ledger.writing import learned as writing
from cortexd.routing.learned import Cells
from tests.unit.ledger_history import NOW
from tests.unit.test_ledger_parts import CLAUDE, KIMI, complete, make_older, request, rows, settings, told

pytestmark = pytest.mark.usefixtures("engine")

A, B = Target(*CLAUDE), Target(*KIMI)
DECIDED = Decided(
    LearnedMode.OBSERVE,
    A,
    A,
    B,
    "explored",
    (DecidedArm(A, 0.5, 0.125, 3, 0.25, 1200), DecidedArm(B, 0.25, 0.5, 0, 0.0)),
)
EVER = (NOW - timedelta(days=999), NOW + timedelta(days=1))
# what revision 0004 had for outcomes
OUTCOMES_BEFORE = """
CREATE TABLE outcomes (
    request BIGINT NOT NULL, score DOUBLE NOT NULL, reason TEXT NOT NULL, labels TEXT NOT NULL, at DATETIME NOT NULL,
    PRIMARY KEY (request), CONSTRAINT outcomes_request FOREIGN KEY(request) REFERENCES requests (id)
) WITHOUT ROWID
"""


async def opened(directory: Path) -> Ledger:
    return await Ledger.open(settings(directory))


class TestCells:
    async def test_an_outcome_and_what_it_teaches_go_together(self, tmp_path: Path) -> None:
        """What the ledger gives back is what it has, and what the learner would have without it."""
        ledger, alone = await opened(tmp_path), Cells()
        for number, score in enumerate((1.0, 0.5, 0.0)):
            await complete(ledger, request_id=f"job-{number}", caller_chosen=True)
            _, changed = await told(ledger, 1000, f"job-{number}", score)
            alone.learn("user_chat", A, score)
            assert changed == dict(alone)
        await ledger.close()
        ledger = await opened(tmp_path)
        assert (await ledger.learned()).cells == dict(alone)
        await ledger.close()

    async def test_sources_count_together_and_once_each(self, tmp_path: Path) -> None:
        """A further source changes what the answer counted for; the same report again changes nothing."""
        ledger = await opened(tmp_path)
        await complete(ledger, request_id="job", caller_chosen=True)
        await told(ledger, 1000, "job", 1.0)
        reported, changed = await told(ledger, 1000, "job", 0.0, source="test")
        assert (reported.before, reported.now) == (Outcome(1.0, 1.0), Outcome(0.5, 2.0))
        assert {(cell.good, cell.bad, cell.count) for cell in changed.values()} == {(1.0, 1.0, 1)}
        _, changed = await told(ledger, 1000, "job", 0.0, source="test")
        assert changed == {}
        found = await ledger.told(1000)
        assert found is not None
        assert found[1] == [("test", Outcome(0.0, 1.0)), ("user", Outcome(1.0, 1.0))]
        await ledger.close()

    async def test_who_did_not_answer_learns_nothing(self, tmp_path: Path) -> None:
        """An outcome of a request that failed is kept, and changes no cell."""
        ledger = await opened(tmp_path)
        key = await ledger.reserve(request(request_id="job", caller_chosen=True), 5)
        await ledger.settle(key, "failed", [])
        reported, changed = await told(ledger, 1000, "job", 0.0)
        assert not reported.answered
        assert changed == {}
        assert await ledger.told(1000) is None
        await ledger.close()

    async def test_of_too_many_the_longest_unchanged_go(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As the learner's do."""
        monkeypatch.setattr(writing, "MOST_CELLS", 3)
        ledger = await opened(tmp_path)
        for number in range(3):
            cells = {("user_chat", Target("p", str(number))): Cell(1.0, 1.0, 1, 0)}
            await ledger.replace_learned(Learned({**dict((await ledger.learned()).cells), **cells}))
        kept = {target.model for _task, target in (await ledger.learned()).cells}
        assert kept == {"0", "1", "2"}
        cells = {("user_chat", Target("p", "3")): Cell()}
        await ledger.replace_learned(Learned({**dict((await ledger.learned()).cells), **cells}))
        assert [target.model for _task, target in (await ledger.learned()).cells] == ["1", "2", "3"]
        await ledger.close()


class TestDecisions:
    async def test_are_kept_with_their_request(self, tmp_path: Path) -> None:
        """What was decided comes back as it was, with who ran, what it cost and what was said of it."""
        ledger = await opened(tmp_path)
        await complete(ledger, 7_000, request_id="job", caller_chosen=True, decided=DECIDED, counted={("task", ""): 1})
        await complete(ledger, request_id="plain")
        await told(ledger, 1000, "job", 0.75)
        (one,) = await ledger.judged(*EVER, 10)
        assert (one.decided, one.cost_nano, one.outcome) == (DECIDED, 7_000, Outcome(0.75, 1.0))
        assert (one.provider, one.model) == CLAUDE
        assert (await ledger.learned()).counts == {("task", ""): 1}
        await ledger.close()

    async def test_counts_rise_with_reservations_alone(self, tmp_path: Path) -> None:
        """One that a used id refuses counts nothing."""
        ledger = await opened(tmp_path)
        for _ in range(3):
            await complete(ledger, decided=DECIDED, counted={("task", "user_chat"): 1, ("explored", "observe"): 1})
        await complete(ledger, request_id="job", caller_chosen=True)
        with pytest.raises(Exception, match="already"):
            await ledger.reserve(
                request(request_id="job", caller_chosen=True, decided=DECIDED, counted={("task", "user_chat"): 1}), 5
            )
        assert (await ledger.learned()).counts == {("task", "user_chat"): 3, ("explored", "observe"): 3}
        await ledger.close()

    async def test_the_newest_of_a_user_and_task(self, tmp_path: Path) -> None:
        """Others' and other tasks' are not among them; nor is what nobody has settled."""
        ledger = await opened(tmp_path)
        for number in range(4):
            await complete(ledger, uid=1000 + number % 2, request_id=f"job-{number}", decided=DECIDED)
        await complete(ledger, request_id="code", task_type="code_generation", decided=DECIDED)
        await ledger.reserve(request(request_id="pending", caller_chosen=True, decided=DECIDED), 5)
        assert len(await ledger.judged(*EVER, 10)) == 5
        assert len(await ledger.judged(*EVER, 10, uid=1001)) == 2
        assert [one.task_type for one in await ledger.judged(*EVER, 1)] == ["code_generation"]
        assert len(await ledger.judged(*EVER, 10, task_type="user_chat")) == 4
        assert all(one.outcome == NOTHING for one in await ledger.judged(*EVER, 10))
        await ledger.close()

    async def test_go_with_their_request(self, tmp_path: Path) -> None:
        """Retention takes both."""
        ledger = await opened(tmp_path)
        long_ago = NOW - timedelta(days=100)
        await complete(ledger, decided=DECIDED, started_at=long_ago)
        await ledger.prune((NOW + timedelta(days=1)).date())
        await ledger.close()
        assert rows(settings(tmp_path).path, "SELECT * FROM decisions") == []


@pytest.mark.of_a_file
class TestOlderLedgers:
    async def test_outcomes_of_before_are_the_users(self, tmp_path: Path) -> None:
        """An upgrade keeps each, at full weight, and nothing was learned yet."""
        ledger = await opened(tmp_path)
        await complete(ledger, request_id="job", caller_chosen=True)
        await ledger.close()
        path = settings(tmp_path).path
        with closing(sqlite3.connect(path)) as connection:
            key = connection.execute("SELECT id FROM requests").fetchone()[0]
            connection.execute("DROP TABLE outcomes")
            connection.execute(OUTCOMES_BEFORE)
            connection.execute("INSERT INTO outcomes VALUES (?, 0.25, 'slow', '{}', '2026-11-01 00:00:00')", (key,))
            connection.commit()
        make_older(path, "0004")
        ledger = await opened(tmp_path)
        found = await ledger.told(1000, "job")
        assert found is not None
        assert found[1] == [("user", Outcome(0.25, 1.0))]
        assert not (await ledger.learned()).begun
        (reported,) = await ledger.reported(NOW + timedelta(days=1))
        assert (reported.target, reported.now) == (A, Outcome(0.25, 1.0))
        await ledger.close()
        assert rows(path, "SELECT version_num FROM alembic_version")[0][0] == HEAD

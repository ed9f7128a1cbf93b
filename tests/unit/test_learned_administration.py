"""What an administrator does to what was learned, in the service and its ledger."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cortexd.daemon.recollection import relearn
from tests.unit.test_execution import Bench, bench_fixture, upstream_fixture  # noqa: F401
from tests.unit.test_learned_memory import nonzero


class TestAdministration:
    async def test_what_is_taken_in_is_kept(self, bench: Bench) -> None:
        """Beside what was learned here, or in its place; the start after it knows the same."""
        learner, keeping = bench.service.learner, bench.service.learned
        done = await bench.ask(strategy="learned")
        await bench.service.outcomes.report(bench.caller().uid, done.request_id, 1.0, {})
        await bench.ledger.replace_learned(learner.learned)
        document = keeping.document()
        for mode, count in (("merge", 2), ("merge", 3), ("replace", 1)):
            await keeping.take_in(bench.caller(), document, {"mode": mode})
            again = await relearn(bench.ledger)
            assert list(again.learned.cells.items()) == list(learner.learned.cells.items())
            assert nonzero(again.learned) == nonzero(learner.learned)
            assert {cell.count for cell in learner.learned.cells.values()} == {count}

    async def test_what_is_forgotten_is_not_recalled(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        """Though the ledger still has the outcomes; the journal says who wanted it."""
        done = await bench.ask(strategy="learned")
        await bench.service.outcomes.report(bench.caller().uid, done.request_id, 1.0, {})
        await bench.service.learned.forget(bench.caller(), {})
        assert f"by uid {bench.caller().uid}" in caplog.text
        assert len((await relearn(bench.ledger)).cells) == len(bench.service.learner.cells) == 0
        assert len(await bench.ledger.reported(datetime.now(UTC))) == 1

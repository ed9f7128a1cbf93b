"""What machines that share a ledger learn from outcomes: counts add up, and what fades does so once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from cortexd.config.settings import LedgerSettings
from cortexd.daemon.recollection import share
from cortexd.domain.learned import TASK, Cell, Key
from cortexd.domain.outcomes import Outcome
from cortexd.domain.targets import Target
from cortexd.ledger import Ledger
from cortexd.routing import Learner
from cortexd.routing.learned.cells import Cells
from tests.eventually import assert_eventually_async
from tests.postgresql import Cluster, shared
from tests.unit.test_ledger_parts import attempt, request

pytestmark = pytest.mark.slow
TARGET = Target("claude", "m")
KEYS: tuple[Key, Key] = (("", TARGET), ("user_chat", TARGET))
DECIDED = {(TASK, ""): 1, (TASK, "user_chat"): 1}


async def ask(ledger: Ledger, request_id: str) -> None:
    """A request that the learner has decided."""
    key = await ledger.reserve(request(request_id=request_id, counted=DECIDED), 1)
    await ledger.settle(key, "done", [attempt(1, model="m")])


async def report(ledger: Ledger, request_id: str, score: float = 1.0) -> None:
    """By a daemon that knows nothing of what others have decided."""
    await ledger.report_outcome(1000, request_id, "user", Outcome(score, 1.0), Cells().teach())


async def fading(machines: Sequence[Ledger]) -> dict[Key, Cell]:
    """An outcome, 40 decisions and another outcome, by these machines in turns."""
    await ask(machines[0], "first")
    await report(machines[0], "first")
    for number in range(40):
        await ask(machines[number % len(machines)], f"between{number}")
    await ask(machines[-1], "last")
    await report(machines[-1], "last")
    return dict((await machines[0].learned()).cells)


class TestSharedCells:
    async def test_add_up(self, postgresql: Cluster) -> None:
        """Of outcomes that are reported on several machines at once none is lost."""
        at = shared(postgresql.ledger())
        machines = [await Ledger.open(at) for _ in range(3)]
        names = [(machine, f"{place}-{number}") for place, machine in enumerate(machines) for number in range(20)]
        await asyncio.gather(*(ask(machine, name) for machine, name in names))
        await asyncio.gather(*(report(machine, name) for machine, name in names))
        learned = await machines[0].learned()
        assert [learned.cells[key].count for key in KEYS] == [60, 60]
        assert learned.cells["", TARGET].good == pytest.approx(60)
        assert learned.counts[TASK, "user_chat"] == 60
        for machine in machines:
            await machine.close()

    async def test_fade_once(self, postgresql: Cluster) -> None:
        """However many machines decide, evidence fades as in one machine's ledger: by the decisions of all of them."""
        at = shared(postgresql.ledger())
        together = [await Ledger.open(at) for _ in range(4)]
        found = await fading(together)
        cell = found["user_chat", TARGET]
        assert cell.good == pytest.approx(1 + 2 ** (-41 / 400))
        assert cell.seen == 42
        for machine in together:
            await machine.close()

    async def test_reach_the_others(self, postgresql: Cluster) -> None:
        """What was reported on one machine counts on the others a while later, with nobody's doing."""
        at: LedgerSettings = shared(postgresql.ledger())
        here, there = await Ledger.open(at), await Ledger.open(at)
        learner = Learner()
        sharing = asyncio.create_task(share(there, learner, every_s=0.1))
        await ask(here, "asked")
        await report(here, "asked", 0.5)
        await assert_eventually_async(lambda: learner.cells.count("user_chat", TARGET) == 1)
        assert learner.cells.decisions["user_chat"] == 1
        sharing.cancel()
        for machine in (here, there):
            await machine.close()

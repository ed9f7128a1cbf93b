"""The report on learning through the daemon: watched, foretold, applied, compared."""

from __future__ import annotations

from random import Random

from tests.system.crowd import everybody_may_ask_fixture  # noqa: F401
from tests.system.program import NAME, USAGE, Json, Program, dictionary, program_fixture  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401

REQUESTS = 200
# how well each serves each task: the table has claude for chats and kimi_k2 for code
QUALITIES = {
    "user_chat": {"claude": 0.5, "kimi_k2": 0.8},
    "code_generation": {"claude": 0.8, "kimi_k2": 0.6},
}
SLACK = 0.1  # five of a hundred true estimates miss; how often they do test_foresight.py counts
CONFIG = "[daemon]\npreload_sdks = true\n"


def config(mode: str) -> str:
    return f'{CONFIG}[routing.learned]\nmode = "{mode}"\n'


async def serve(program: Program, chance: Random) -> float:
    """So many requests, each reported on by a toss of its quality; the mean of the scores."""
    total = 0.0
    for number in range(REQUESTS):
        task = ("user_chat", "code_generation")[number % 2]
        reply = await program.complete(task, f"hello {number}")
        score = float(chance.random() < QUALITIES[task][reply.metadata["provider"]])
        await program.call(NAME, "ReportOutcome", "sda{sv}", reply.metadata["request_id"], score, {})
        total += score
    return total / REQUESTS


async def report_on(program: Program) -> Json:
    [report] = await program.call(USAGE, "GetLearningReport", "a{sv}", dictionary({"days": 1}))
    assert isinstance(report, dict)
    return report


class TestReport:
    async def test_what_is_foretold_while_it_watches_comes_true(self, shared: Shared, program: Program) -> None:
        """Mode observe changes nothing of who answers; what apply then yields is as was foretold; and a report after
        that knows that it decided."""
        chance = Random(4)
        shared.reload(config("observe"))
        watched = await serve(program, chance)
        before = await report_on(program)
        assert (before["requests"], before["outcomes"], before["applied_requests"]) == (REQUESTS, REQUESTS, 0)
        assert abs(before["score"] - watched) < 0.001
        assert {row["provider"]: row["requests"] for row in before["models"] if row["requests"]} == {
            "claude": REQUESTS // 2,
            "kimi_k2": REQUESTS // 2,
        }
        shared.reload(config("apply"))
        applied = await serve(program, chance)
        foretold = before["apply"]["score"]
        assert foretold["low"] - SLACK <= applied <= foretold["high"] + SLACK
        after = await report_on(program)
        assert (after["requests"], after["applied_requests"]) == (2 * REQUESTS, REQUESTS)
        widths = [seen["apply"]["score"]["high"] - seen["apply"]["score"]["low"] for seen in (before, after)]
        assert widths[1] < widths[0]

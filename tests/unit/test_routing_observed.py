"""What is learnt of models from their answers, and what of it survives a start."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cortexd.daemon.recollection import recollect
from cortexd.domain.answered import Answered
from cortexd.domain.messages import Usage
from cortexd.ledger import AttemptRecord, Ledger, NewRequest
from cortexd.routing import Observed
from cortexd.routing.observed import Timing

WHO = "claude", "m"
NOW = 1_800_000_000.0
ANSWER = Answered(*WHO, "user_chat", Usage(100, 50), 1000, NOW, 200, 400, continued=False)


def at_now() -> Observed:
    return Observed(clock=lambda: NOW)


def after(*answers: Answered, times: int = 1) -> Observed:
    observed = at_now()
    for _ in range(times):
        for one in answers:
            observed.answered(one)
    return observed


class TestPrompts:
    def test_a_count_that_no_tokenizer_makes_teaches_nothing(self) -> None:
        """A server that counts millions of tokens in a few words leaves what others' prompts are likely to be."""
        absurd = replace(ANSWER, usage=Usage(7_919_337, 50), prompt_bytes=17)
        assert after(absurd, times=9).prompt_tokens(*WHO, 400) == at_now().prompt_tokens(*WHO, 400)


class TestTime:
    def test_the_first_word_and_the_others(self) -> None:
        """The time is that to the first token and each further one's; a longer answer takes longer."""
        timing = after(ANSWER).timing(*WHO, 100, 50)
        assert timing.ms == pytest.approx(1000)
        assert timing.first_token_ms == pytest.approx(200)
        assert timing.tokens_per_s == pytest.approx(50 / 0.8)
        assert after(ANSWER).timing(*WHO, 100, 500).ms == pytest.approx(200 + 8000)

    def test_a_longer_prompt_waits_longer_for_its_first_word(self) -> None:
        """As soon as prompts of two sizes were seen; what was cached does not count."""
        long = replace(ANSWER, usage=Usage(20_000, 50), first_token_ms=4200, latency_ms=5000)
        observed = after(ANSWER, long, times=20)
        assert observed.timing(*WHO, 10_000, 50).first_token_ms == pytest.approx(2200, rel=0.05)
        cached = replace(long, usage=Usage(20_000, 50, cached_tokens=19_900), first_token_ms=200, latency_ms=1000)
        assert after(ANSWER, cached, times=20).timing(*WHO, 100, 50).first_token_ms == pytest.approx(200)

    def test_whole_answers(self) -> None:
        """Say how long answers of a length take, and nothing of the first word."""
        whole = [
            replace(ANSWER, usage=Usage(100, size), latency_ms=ms, first_token_ms=ms)
            for size, ms in ((100, 1000), (900, 5000))
        ]
        timing = after(*whole, times=20).timing(*WHO, 100, 500)
        assert timing.ms == pytest.approx(3000, rel=0.02)
        assert (timing.first_token_ms, timing.tokens_per_s) == (None, None)

    def test_short_answers_in_one_piece_say_nothing_of_a_models_pace(self) -> None:
        """Among answers in pieces; and a few in pieces say nothing where most come whole."""
        short = replace(ANSWER, usage=Usage(100, 1), latency_ms=201, first_token_ms=200)
        mixed, pure = after(ANSWER, short, ANSWER, times=20), after(ANSWER, times=60)
        assert mixed.timing(*WHO, 100, 50) == pure.timing(*WHO, 100, 50)
        slower = replace(ANSWER, latency_ms=2000, first_token_ms=2000)
        mostly = after(ANSWER, *[slower] * 9, times=4).timing(*WHO, 100, 50)
        assert mostly.first_token_ms is None
        assert mostly.ms == pytest.approx(1900, rel=0.05)

    def test_follows_what_is_observed(self) -> None:
        """Twenty answers later the old ones count half."""
        observed = after(ANSWER, times=200)
        for _ in range(20):
            observed.answered(replace(ANSWER, first_token_ms=600, latency_ms=3000))
        assert observed.timing(*WHO, 100, 50).first_token_ms == pytest.approx(400, rel=0.01)

    def test_what_says_nothing_of_time(self) -> None:
        """A slow reader's answer teaches its tokens alone."""
        observed = after(replace(ANSWER, first_token_ms=None))
        assert observed.timing(*WHO, 100, 50).ms is None
        assert observed.output_tokens(*WHO, "user_chat") < 300

    def test_a_model_under_load(self) -> None:
        """Who answers one after the other takes longer the more wait there, and is known to; who does not is not."""
        queueing, wide = at_now(), at_now()
        for _ in range(30):
            for among in (1, 2, 4):
                queueing.answered(replace(ANSWER, latency_ms=among * 1000, first_token_ms=among * 200), among)
                wide.answered(ANSWER, among)
        alone = queueing.timing(*WHO, 100, 50).ms
        with queueing.asking(*WHO) as first, queueing.asking(*WHO) as second, queueing.asking(*WHO), wide.asking(*WHO):
            assert (first, second) == (1, 2)
            fourth = queueing.timing(*WHO, 100, 50).ms
            unmoved = wide.timing(*WHO, 100, 50).ms
        assert alone is not None
        assert fourth is not None
        assert fourth > 2.5 * alone
        assert unmoved == pytest.approx(1000)
        assert queueing.timing(*WHO, 100, 50).ms == pytest.approx(alone)


class TestTokens:
    def test_bytes_are_tokens_as_the_model_counts_them(self) -> None:
        """Four bytes each until prompts were seen; then as they were, also where they are longer."""
        assert at_now().prompt_tokens(*WHO, 4000) == 1000
        chinese = [replace(ANSWER, usage=Usage(size, 50), prompt_bytes=size * 2) for size in (1000, 20_000)]
        assert after(*chinese, times=10).prompt_tokens(*WHO, 80_000) == pytest.approx(40_000, rel=0.02)
        with_image = replace(ANSWER, usage=Usage(5000, 50), prompt_bytes=None)
        assert after(with_image).prompt_tokens(*WHO, 4000) == 1000

    def test_an_answer_is_as_long_as_such_answers_were(self) -> None:
        """The model's own for the task; of another model everybody's for the task, of another task everybody's."""
        observed = after(replace(ANSWER, usage=Usage(100, 1000)), times=100)
        assert observed.output_tokens(*WHO, "user_chat") == pytest.approx(1000, rel=0.03)
        assert observed.output_tokens("kimi_k2", "k", "user_chat") == pytest.approx(1000, rel=0.05)
        assert observed.output_tokens("kimi_k2", "k", "configuration") == pytest.approx(1000, rel=0.05)
        assert at_now().output_tokens(*WHO, "user_chat") == 300

    def test_one_answer_says_little(self) -> None:
        """It is drawn to what holds for all."""
        assert 300 < after(replace(ANSWER, usage=Usage(100, 3000))).output_tokens(*WHO, "user_chat") < 3000

    def test_conversations_and_first_questions_are_told_apart(self) -> None:
        """The cache holds most of the one and nothing of the other, and what is written to it is known too."""
        goes_on = replace(ANSWER, usage=Usage(10_000, 50, 9_000, 1_000), continued=True)
        observed = after(replace(ANSWER, usage=Usage(10_000, 50)), goes_on, times=20)
        read, written = observed.cached_shares(*WHO, continued=True)
        assert (read, written) == pytest.approx((0.9, 0.1), rel=0.02)
        assert observed.cached_shares(*WHO, continued=False) == (0.0, 0.0)
        assert observed.cached_shares("nobody", "m", continued=True) == (0.0, 0.0)


class TestMemory:
    def test_is_bounded(self) -> None:
        """Callers choose the names of models: the first of a thousand is forgotten, the last is known."""
        observed = at_now()
        for number in range(1000):
            observed.answered(replace(ANSWER, model=f"m{number}"))
        assert observed.timing("claude", "m0", 100, 50).ms is None
        assert observed.timing("claude", "m999", 100, 50).ms is not None

    def test_another_endpoint_by_the_same_name_is_another(self) -> None:
        """It starts afresh, and the others keep what is known of them."""
        observed = after(ANSWER, replace(ANSWER, provider="kimi_k2"))
        observed.forget({"claude"})
        assert observed.timing(*WHO, 100, 50).ms is None
        assert observed.prompt_tokens(*WHO, 4000) == 1000
        assert observed.timing("kimi_k2", "m", 100, 50).ms is not None


async def settle(ledger: Ledger, *records: AttemptRecord, ago: timedelta = timedelta(minutes=1)) -> None:
    begun = datetime.now(UTC) - ago
    row = NewRequest(1000, "alice", f"r{begun.timestamp()}", False, b"x" * 32, "user_chat", begun)
    await ledger.settle(await ledger.reserve(row, 1000), "done", records)


def record(outcome: str = "ok", ms: int = 1000) -> AttemptRecord:
    figures = (200, 400, True) if outcome == "ok" else (None, None, None)
    return AttemptRecord(*WHO, outcome, 10, True, Usage(1000, 50, 900), ms, "", *figures)


class TestRecollection:
    async def test_predictions_are_those_of_before_the_start(self, ledger: Ledger) -> None:
        """What the ledger holds teaches the same as the answers did, time, tokens, cache and all."""
        live, again = Observed(), Observed()
        for number in range(40):
            made = record(ms=1000 + number)
            await settle(ledger, made, ago=timedelta(minutes=60 - number))
            live.answered(made.learnt("user_chat", time.time()))
        await recollect(ledger, again)
        assert again.timing(*WHO, 100, 500) == live.timing(*WHO, 100, 500) != Timing()
        assert again.output_tokens(*WHO, "user_chat") == live.output_tokens(*WHO, "user_chat")
        assert again.prompt_tokens(*WHO, 4000) == live.prompt_tokens(*WHO, 4000)
        assert again.cached_shares(*WHO, continued=True) == live.cached_shares(*WHO, continued=True)

    async def test_failures_and_old_answers_teach_nothing(self, ledger: Ledger) -> None:
        """Nor does what has just been begun, which is learnt as it ends."""
        await settle(ledger, record("server_error", ms=9))
        await settle(ledger, record(ms=9), ago=timedelta(days=8))
        await settle(ledger, record(ms=9), ago=timedelta(hours=-1))
        observed = Observed()
        await recollect(ledger, observed)
        assert observed.timing(*WHO, 100, 50).ms is None

    async def test_a_ledger_that_cannot_be_read(self, ledger: Ledger, path: Path) -> None:
        """Predictions begin anew, and the daemon goes on."""
        await settle(ledger, record())
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("ALTER TABLE attempts RENAME TO elsewhere")
        observed = Observed()
        await recollect(ledger, observed)
        assert observed.output_tokens(*WHO, "user_chat") == 300

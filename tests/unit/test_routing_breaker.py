"""Beyond failures in a row: how many of the latest failed, who tests after a pause, how often is tried again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cortexd.errors import Failure, ProviderError
from cortexd.routing import Asker, Fallback, State
from cortexd.routing.retries import Retries
from tests.unit.routes import ALL, config, names, plan
from tests.unit.test_routing_health import BAD_KEY, BROKEN, UNREACHED, Watched

BUSY_UNTIL = ProviderError(Failure.RATE_LIMITED, "", 429, retry_after_ms=10_000)
BUSY_NOW = ProviderError(Failure.RATE_LIMITED, "", 429, retry_after_ms=0)


@pytest.fixture
def watched() -> Watched:
    return Watched()


class Mixed:
    """Requests of several users, each another one, some of which fail."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self._number = 0

    def fail(self, uid: int, request: str | None = None, error: ProviderError = BROKEN) -> None:
        self._number += 1
        self.watched.health.failed("claude", error, "sonnet", Asker(uid, request or self._number))

    def answer(self, uid: int) -> None:
        self.watched.health.succeeded("claude", "sonnet", uid=uid)


class TestRate:
    def test_half_of_the_latest_opens(self, watched: Watched) -> None:
        """Though every second request is answered, so that no two fail in a row."""
        mixed = Mixed(watched)
        for uid in (1000, 1001, 1000, 1001, 1000):
            assert watched.state() is not State.OPEN
            mixed.answer(uid)
            mixed.fail(uid)
        assert watched.state() is State.OPEN

    def test_fewer_than_ten_show_nothing(self, watched: Watched) -> None:
        """Four of eight."""
        mixed = Mixed(watched)
        for uid in (1000, 1001) * 2:
            mixed.answer(uid)
            mixed.fail(uid)
        assert watched.state() is not State.OPEN

    def test_a_third_does_not(self, watched: Watched) -> None:
        """Of a hundred requests."""
        mixed = Mixed(watched)
        for uid in (1000, 1001) * 17:
            mixed.answer(uid)
            mixed.answer(uid)
            mixed.fail(uid)
        assert watched.state() is not State.OPEN

    def test_what_is_older_than_a_minute_does_not_count(self, watched: Watched) -> None:
        """A request every seven seconds never makes ten within one."""
        mixed = Mixed(watched)
        for uid in (1000, 1001) * 20:
            mixed.answer(uid)
            watched.now += 7
            mixed.fail(uid)
            watched.now += 7
        assert watched.state() is not State.OPEN

    def test_one_user_who_fails_while_others_are_answered_shows_nothing(self, watched: Watched) -> None:
        """Whatever he asks, and however different it is."""
        mixed = Mixed(watched)
        for _ in range(50):
            mixed.answer(1001)
            mixed.fail(1000)
        assert watched.state() is not State.OPEN

    def test_a_repeated_request_counts_as_one_in_a_row_does(self, watched: Watched) -> None:
        """Two users with one bad prompt each, between answers."""
        mixed = Mixed(watched)
        for _ in range(50):
            mixed.fail(1000, "poison")
            mixed.answer(1002)
            mixed.fail(1001, "poison too")
            mixed.answer(1003)
        assert watched.state() is not State.OPEN

    def test_an_answer_from_before_the_opening_closes_nothing(self, watched: Watched) -> None:
        """It was under way already when the breaker opened."""
        watched.fail(BUSY_UNTIL, 1000, "hello")
        watched.now = 1
        watched.health.succeeded("claude", "sonnet", began=-1.0)
        assert watched.state() is State.OPEN
        watched.health.succeeded("claude", "sonnet", began=0.5)
        assert watched.state() is State.OK

    def test_at_once_is_no_time_to_wait(self, watched: Watched) -> None:
        """A Retry-After of 0 with each failure does not keep a provider from being avoided."""
        for number in range(5):
            watched.fail(BUSY_NOW, 1000, f"request {number}")
        assert watched.state() is State.OPEN


class TestHalfOpen:
    def test_one_request_at_a_time_tests(self, watched: Watched) -> None:
        """After the pause; for all others it is as if it were open, until that one has ended."""
        watched.fail(BAD_KEY, 1000, "hello")
        assert not watched.health.admits("claude", "sonnet")
        watched.now = 60
        assert watched.state() is State.DEGRADED
        assert watched.health.admits("claude", "sonnet")
        assert not watched.health.admits("claude", "sonnet")
        assert watched.state() is State.OPEN
        watched.health.succeeded("claude", "sonnet", began=60.0)
        assert watched.health.admits("claude", "sonnet")
        assert watched.health.admits("claude", "sonnet")

    def test_what_ends_without_a_word_leaves_the_test_to_another(self, watched: Watched) -> None:
        """A cancelled request, or one that the provider refuses for its own sake; or one that is forgotten."""
        watched.fail(BAD_KEY, 1000, "hello")
        watched.now = 60
        ends: tuple[Callable[[], object], ...] = (
            lambda: watched.health.left("claude", "sonnet"),
            lambda: watched.fail(ProviderError(Failure.REFUSED, "", 400), 1000, "bad"),
            lambda: setattr(watched, "now", watched.now + 61),
        )
        for end in ends:
            assert watched.health.admits("claude", "sonnet")
            assert not watched.health.admits("claude", "sonnet")
            end()
        assert watched.health.admits("claude", "sonnet")

    def test_only_its_own_request_leaves_it(self, watched: Watched) -> None:
        """One that asks beside it, for want of others, says nothing when it is cut off or refused for its own sake."""
        watched.fail(BAD_KEY, 1000, "hello")
        watched.now = 60
        made = plan(provider="claude")
        tests, asks_beside = Fallback(made, watched.health), Fallback(made, watched.health)
        assert next(tests.turns()) == made.candidates[0]
        beside = next(asks_beside.turns())  # nobody else is there
        watched.health.left(beside.provider, beside.model, asks_beside.tester)
        asks_beside.failed(beside, ProviderError(Failure.REFUSED, "", 400))
        assert watched.state() is State.OPEN
        watched.health.left(beside.provider, beside.model, tests.tester)
        assert watched.state() is State.DEGRADED

    @pytest.mark.parametrize("error", [BAD_KEY, BROKEN], ids=["401", "500"])
    def test_a_failed_test_opens_for_longer(self, watched: Watched, error: ProviderError) -> None:
        """At the first failure, and twice as long each time, a little more, up to a bound."""
        for number in range(5):
            watched.fail(error, 1000, f"request {number}")
        first, pauses = watched.health.next_change(), []
        assert first is not None
        for number in range(12):
            watched.now += watched.health.next_change() or 0.0
            watched.fail(error, 1000, f"later {number}")
            assert watched.state() is State.OPEN
            pauses.append(round(watched.health.next_change() or 0.0, 6))
        assert 2 * first <= pauses[0] <= 2.4 * first
        assert 4 * first <= pauses[1] <= 4.8 * first
        assert pauses == sorted(pauses)
        assert pauses[-1] == pauses[-2] == {401: 600.0, 500: 300.0}[error.status or 0]
        watched.health.succeeded("claude", "sonnet")
        for number in range(5):
            watched.fail(error, 1000, f"again {number}")
        assert watched.health.next_change() == first

    def test_failures_while_it_is_open_are_no_tests(self, watched: Watched) -> None:
        """Requests that have nobody else do not make the pause grow."""
        for number in range(50):
            watched.fail(BAD_KEY, 1000, f"request {number}")
        assert watched.health.next_change() == 60

    def test_the_signal_does_not_flicker(self, watched: Watched) -> None:
        """Tests that come and go are no change of state."""
        watched.fail(BAD_KEY, 1000, "hello")
        watched.now = 60
        watched.health.refresh()
        for _ in range(3):
            watched.health.admits("claude", "sonnet")
            watched.health.left("claude", "sonnet")
            watched.health.refresh()
        assert [state for _, state, _ in watched.told] == [State.OPEN, State.DEGRADED]


class TestTurns:
    def test_who_is_tested_by_another_comes_last(self, watched: Watched) -> None:
        """Though the plan was made before; and where nobody else answers it is asked all the same."""
        watched.fail(BAD_KEY, 1000, "hello")
        watched.now = 60
        made = plan(use=config(ALL), health=watched.health)
        assert names(made)[0] == "claude"
        one, other = Fallback(made, watched.health), Fallback(made, watched.health)
        assert next(one.turns()).provider == "claude"
        asked = []
        for candidate in other.turns():
            asked.append(candidate.provider)
            other.failed(candidate, BROKEN)
        assert asked == [*names(made)[1:], "claude"]


class TestRetries:
    def test_what_was_never_sent_goes_once_more(self, watched: Watched) -> None:
        """To the first of those that were not reached, when nobody has answered."""
        made = plan(use=config(ALL))
        fallback = Fallback(made, watched.health, watched.health.retries)
        asked = []
        for candidate in fallback.turns():
            asked.append((candidate.provider, fallback.again))
            fallback.failed(candidate, BROKEN if candidate.provider == "claude" else UNREACHED)
        assert asked == [(name, False) for name in names(made)] + [(names(made)[1], True)]

    def test_what_may_have_arrived_does_not(self, watched: Watched) -> None:
        """It may have been answered, and paid for."""
        fallback = Fallback(plan(), watched.health, watched.health.retries)
        broken_off = ProviderError(Failure.CONNECTION, "", may_have_billed=True)
        for candidate in fallback.turns():
            fallback.failed(candidate, broken_off)
        assert len(fallback.failures) == 2

    def test_an_outage_is_not_made_worse(self) -> None:
        """A hundred requests at once: three tries and one for every ten; later three in ten seconds, and no hoard."""
        now = 0.0
        retries = Retries(lambda: now)

        def tried_again(requests: int) -> int:
            again = 0
            for _ in range(requests):
                retries.asked("claude")
                again += retries.allows("claude")
            return again

        assert tried_again(100) in (12, 13)
        now = 10.0
        assert tried_again(1) == 1
        now = 100_000.0
        assert tried_again(1) == 1
        assert sum(retries.allows("claude") for _ in range(100)) == 9

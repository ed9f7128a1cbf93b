"""When an endpoint of a pool gets calls, and what its failures do; with a clock of the tests' own."""

from __future__ import annotations

import itertools

import pytest

from cortexd.errors import Failure, ProviderError
from cortexd.pool.pool import retry_budget
from cortexd.pool.replica_health import ReplicaHealth, ReplicaState

REFUSED = ProviderError(Failure.CONNECTION, "refused")
BROKEN = ProviderError(Failure.SERVER, "HTTP 500", 500)


_requests = itertools.count()


def failed(health: ReplicaHealth, error: ProviderError, now: float, began: float, request: int | None = None) -> None:
    """Each of another request, where none is given."""
    health.failed(error, now, began, next(_requests) if request is None else request)


def opened(at: float = 100.0) -> ReplicaHealth:
    health = ReplicaHealth()
    failed(health, REFUSED, at, at)
    return health


def on_trial(at: float) -> ReplicaHealth:
    """Looked at, with its trial call under way since `at`."""
    health = opened(at - 10)
    health.looked(at, alive=True)
    health.began("trial")
    return health


class TestBreaker:
    def test_a_refused_connection_opens_at_once(self) -> None:
        """Nobody listens there: the next call would fail, too."""
        health = opened(100.0)
        assert health.state(100.0) is ReplicaState.OPEN
        assert not health.admits(100.0)
        assert 0.5 < health.open_until - 100.0 <= 1.0

    def test_a_run_opens(self) -> None:
        """Three failures with no answer between them; an answer begins the count anew."""
        health = ReplicaHealth()
        for at in (1.0, 2.0):
            failed(health, BROKEN, at, at)
        health.answered(3.0, 2.5)
        for at in (4.0, 5.0):
            failed(health, BROKEN, at, at)
        assert health.state(5.0) is ReplicaState.OK
        failed(health, BROKEN, 6.0, 6.0)
        assert health.state(6.0) is ReplicaState.OPEN

    def test_a_rate_opens(self) -> None:
        """Every second call that fails opens it, though no run is ever longer than one."""
        health, at = ReplicaHealth(), 0.0
        while health.state(at) is ReplicaState.OK and at < 60:
            at += 0.5
            failed(health, BROKEN, at, at)
            health.answered(at, at)
        assert at <= 5.5

    def test_seldom_failures_do_not(self) -> None:
        """One call of ten that fails is no reason to do without an endpoint."""
        health = ReplicaHealth()
        for number in range(100):
            at = number / 10
            if number % 10:
                health.answered(at, at)
            else:
                failed(health, BROKEN, at, at)
            assert health.admits(at)

    def test_one_bad_prompt_opens_nothing(self) -> None:
        """However often it is sent, what it brings about counts once."""
        health = ReplicaHealth()
        for number in range(40):
            failed(health, BROKEN, number / 10, number / 10, request=1)
        assert health.state(4.0) is ReplicaState.OK

    def test_one_that_another_endpoint_answers_does(self) -> None:
        """That is no prompt's doing, though it be ever the same."""
        health, at = ReplicaHealth(), 0.0
        while health.state(at) is ReplicaState.OK and at < 10:
            at += 1
            failed(health, BROKEN, at, at, request=1)
            health.outdone(at)
        assert (at <= 2, health.certain) == (True, True)

    def test_what_prompts_cannot_do_is_certain(self) -> None:
        """Refused connections, calls that hang and a Retry-After; three errors of three requests are not."""
        broken, hanging = ReplicaHealth(), ReplicaHealth()
        for at in (1.0, 2.0, 3.0):
            failed(broken, BROKEN, at, at)
        hanging.hangs(1.0, 0.0)
        assert broken.state(3.0) is hanging.state(1.0) is ReplicaState.OPEN
        assert (broken.certain, hanging.certain, opened().certain) == (False, True, True)

    def test_retry_after_closes_it_for_as_long(self) -> None:
        """It is neither asked nor looked at before, and tried with one call after."""
        health = ReplicaHealth()
        failed(health, ProviderError(Failure.RATE_LIMITED, "HTTP 429", 429, retry_after_ms=7000), 10.0, 10.0)
        assert not health.admits(16.9)
        assert not health.begins_look(17.1)
        assert health.state(17.1) is ReplicaState.PROBING

    def test_what_began_before_says_nothing_new(self) -> None:
        """Ten calls cut off by one death make one pause, not ten doublings of it."""
        health = opened(100.0)
        until = health.open_until
        for _ in range(10):
            failed(health, BROKEN, 100.1, 99.0)
        assert health.open_until == until


class TestComingBack:
    def test_it_is_looked_at_after_the_pause(self) -> None:
        """No call goes there before a probe was answered."""
        health = opened(100.0)
        assert not health.begins_look(100.5)
        assert health.begins_look(101.0)
        assert not health.begins_look(101.0)
        assert not health.admits(101.0)
        health.looked(101.1, alive=True)
        assert health.admits(101.1)

    def test_a_probe_in_vain_makes_a_longer_pause(self) -> None:
        """Up to two seconds, so that who returns is back within five; after two minutes up to thirty."""
        health, pauses = opened(100.0), []
        while health.open_until < 600:
            at = health.open_until
            health.looked(at, alive=False)
            pauses.append((at, health.open_until - at))
        assert pauses[0][1] > 1.0
        assert max(pause for at, pause in pauses if at < 220) <= 2.0
        assert 20 < max(pause for _, pause in pauses) <= 30.0

    def test_one_call_at_a_time(self) -> None:
        """A trial under way admits no second one; one that the caller ended leaves room for the next."""
        health = on_trial(200.0)
        assert not health.admits(200.0)
        health.left("trial")
        assert health.admits(200.0)

    def test_another_call_does_not_end_the_trial(self) -> None:
        """One that was sent there because nobody was left, and that its caller ended: the trial goes on alone."""
        health = on_trial(200.0)
        health.began("another")
        health.left("another")
        assert not health.admits(200.0)
        assert health.on_trial

    def test_an_answer_closes_it_and_its_share_grows(self) -> None:
        """From a tenth to the whole in five seconds."""
        health = on_trial(200.0)
        health.answered(200.5, 200.0)
        assert health.state(200.5) is ReplicaState.RETURNING
        shares = [health.share(200.5 + after) for after in (0.0, 1.0, 2.5, 5.0, 9.0)]
        assert shares == [pytest.approx(share) for share in (0.1, 0.28, 0.55, 1.0, 1.0)]
        assert health.state(205.6) is ReplicaState.OK

    def test_a_failed_trial_opens_it_again(self) -> None:
        """With a longer pause than before."""
        health = on_trial(200.0)
        failed(health, BROKEN, 200.5, 200.0)
        assert health.state(200.5) is ReplicaState.OPEN
        assert health.open_until - 200.5 > 1.0

    def test_an_answer_to_an_old_call_is_no_trial(self) -> None:
        """What began before the breaker opened shows nothing of the endpoint as it is now."""
        health = opened(100.0)
        health.answered(100.2, 99.0)
        assert health.state(100.2) is ReplicaState.OPEN


class TestRetryBudget:
    def test_an_outage_is_not_amplified(self) -> None:
        """Of a thousand calls that all fail within a moment at most a fifth, and a few, are made again."""
        budget = retry_budget(clock=lambda: 0.0)
        granted = 0
        for _ in range(1000):
            budget.called()
            granted += budget.take()
        assert 200 <= granted <= 220

    def test_few_calls_have_some_all_the_same(self) -> None:
        """A token a second, so that one call a minute is still made again."""
        now = [0.0]
        budget = retry_budget(clock=lambda: now[0])
        while budget.take():
            pass
        now[0] = 1.0
        assert budget.take()
        assert not budget.take()

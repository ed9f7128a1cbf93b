"""When a provider is demoted: by what several requests show or one error says for sure, and for how long."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cortexd.errors import Failure, ProviderError
from cortexd.routing import Asker, Health, State
from tests.unit.routes import names, plan

BROKEN = ProviderError(Failure.SERVER, "", 500)
BAD_KEY = ProviderError(Failure.AUTHENTICATION, "", 401)
FORBIDDEN = ProviderError(Failure.AUTHENTICATION, "", 403)
MISSING = ProviderError(Failure.REFUSED, "", 404)
NO_MONEY = ProviderError(Failure.QUOTA, "", 402)
UNREACHED = ProviderError(Failure.CONNECTION, "")
# What a prompt of one caller's can bring about.
OF_A_PROMPT = {
    "500": BROKEN,
    "403": FORBIDDEN,
    "429": ProviderError(Failure.RATE_LIMITED, "", 429),
    "503": ProviderError(Failure.OVERLOADED, "", 503),
    "timeout": ProviderError(Failure.TIMEOUT, "", may_have_billed=True),
    "broken off": ProviderError(Failure.CONNECTION, "", may_have_billed=True),
    "malformed": ProviderError(Failure.MALFORMED, "", may_have_billed=True),
}
# Errors that say enough by themselves, with the seconds for which they close.
SURE = {
    "key": (BAD_KEY, 60),
    "quota": (NO_MONEY, 900),
    "quota until": (ProviderError(Failure.QUOTA, "", 429, retry_after_ms=7_200_000), 7200),
    "busy until": (ProviderError(Failure.RATE_LIMITED, "", 429, retry_after_ms=10_000), 10),
    "busy too long": (ProviderError(Failure.RATE_LIMITED, "", 429, retry_after_ms=9_000_000), 300),
    "overloaded until": (ProviderError(Failure.OVERLOADED, "", 529, retry_after_ms=20_000), 20),
}

Told = list[tuple[str, State, str]]


class Watched:
    """A Health with its clock and what it told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.told: Told = []
        self.health = Health(lambda *change: self.told.append(change), clock=lambda: self.now)

    def fail(self, error: ProviderError, uid: int, request: str, times: int = 1) -> None:
        for _ in range(times):
            self.health.failed("claude", error, "sonnet", Asker(uid, request))

    def state(self) -> State:
        """As one who asks for the default model sees it."""
        return self.health.state("claude", "sonnet")


@pytest.fixture
def watched() -> Watched:
    return Watched()


def different(count: int) -> Iterator[str]:
    return (f"request {number}" for number in range(count))


class TestEvidence:
    @pytest.mark.parametrize("error", OF_A_PROMPT.values(), ids=OF_A_PROMPT)
    def test_one_callers_prompt_closes_nothing(self, watched: Watched, error: ProviderError) -> None:
        """However often it is sent."""
        watched.fail(error, 1000, "poison", times=500)
        assert watched.state() is not State.OPEN
        assert watched.health.state("claude") is not State.OPEN

    @pytest.mark.parametrize("error", OF_A_PROMPT.values(), ids=OF_A_PROMPT)
    def test_different_requests_in_a_row_do(self, watched: Watched, error: ProviderError) -> None:
        """Five of one caller's are enough."""
        for request in different(4):
            watched.fail(error, 1000, request)
        assert watched.state() is State.DEGRADED
        watched.fail(error, 1000, "request 4")
        assert watched.state() is State.OPEN

    @pytest.mark.parametrize("error", OF_A_PROMPT.values(), ids=OF_A_PROMPT)
    def test_two_users_do(self, watched: Watched, error: ProviderError) -> None:
        """Who repeat the same."""
        watched.fail(error, 1000, "hello", times=3)
        watched.fail(error, 1001, "hello", times=2)
        assert watched.state() is State.OPEN

    def test_another_users_one_failure_does_not_close_it(self, watched: Watched) -> None:
        """A prompt that fails for ever, and one accident of somebody else's."""
        watched.fail(BROKEN, 1000, "poison", times=50)
        watched.fail(BROKEN, 1001, "hello")
        watched.fail(BROKEN, 1000, "poison", times=50)
        assert watched.state() is not State.OPEN

    def test_an_answer_in_between_starts_the_count_again(self, watched: Watched) -> None:
        """Four, an answer, four."""
        for _ in range(2):
            for request in different(4):
                watched.fail(BROKEN, 1000, request)
            watched.health.succeeded("claude", "sonnet")
        assert watched.told[-1] == ("claude", State.OK, "")
        assert State.OPEN not in [state for _, state, _ in watched.told]

    def test_no_connection_depends_on_no_request(self, watched: Watched) -> None:
        """One caller's repeated prompt shows that as well as any."""
        watched.fail(UNREACHED, 1000, "hello", times=5)
        assert watched.state() is State.OPEN

    def test_an_old_bad_prompt_does_not_close_it_again(self, watched: Watched) -> None:
        """After the pause it takes a request that has not failed often enough already."""
        for request in (*different(4), "poison", "poison"):
            watched.fail(BROKEN, 1000, request)
        watched.now = 31
        watched.fail(BROKEN, 1000, "poison", times=9)
        assert watched.state() is State.DEGRADED
        watched.fail(BROKEN, 1000, "another")
        assert watched.state() is State.OPEN

    def test_a_refused_request_is_not_the_providers_fault(self, watched: Watched) -> None:
        """400 and 422 say nothing but of the request."""
        for status in (400, 422):
            for request in different(50):
                watched.fail(ProviderError(Failure.REFUSED, "", status), 1000, request)
        assert (watched.state(), watched.told) == (State.OK, [])


class TestCauses:
    @pytest.mark.parametrize(("error", "seconds"), SURE.values(), ids=SURE)
    def test_one_sure_error_closes_at_once(self, watched: Watched, error: ProviderError, seconds: float) -> None:
        """And says in one word why."""
        watched.fail(error, 1000, "hello")
        assert watched.health.state("claude") is State.OPEN
        assert watched.told == [("claude", State.OPEN, error.failure.value)]
        assert watched.health.next_change() == seconds
        watched.now = seconds
        assert watched.state() is State.DEGRADED

    @pytest.mark.parametrize("error", [FORBIDDEN, MISSING], ids=["403", "404"])
    def test_a_forbidden_model_closes_only_that_model(self, watched: Watched, error: ProviderError) -> None:
        """The provider's others are as good as before, and so is the provider."""
        for request in different(5):
            watched.fail(error, 1000, request)
        assert watched.health.state("claude", "sonnet") is State.OPEN
        assert watched.health.state("claude", "haiku") is State.OK
        assert (watched.health.state("claude"), watched.told) == (State.OK, [])
        watched.health.succeeded("claude", "sonnet")
        assert watched.state() is State.OK

    @pytest.mark.parametrize("error", [BROKEN, BAD_KEY, NO_MONEY], ids=["500", "401", "402"])
    def test_a_model_of_the_callers_choice_speaks_for_no_other(self, watched: Watched, error: ProviderError) -> None:
        """Whatever it fails with, but for a connection that never came about."""
        for request in different(9):
            watched.health.failed("claude", error, "of-alice", Asker(1000, request), chosen=True)
        assert watched.health.state("claude", "of-alice") is State.OPEN
        assert (watched.health.state("claude"), watched.state()) == (State.OK, State.OK)
        for request in different(5):
            watched.health.failed("claude", UNREACHED, "of-alice", Asker(1000, request), chosen=True)
        assert watched.health.state("claude") is State.OPEN

    def test_what_keeps_it_closed_is_told(self, watched: Watched) -> None:
        """An empty account stays the reason while other failures come."""
        watched.fail(NO_MONEY, 1000, "hello")
        watched.fail(BROKEN, 1000, "hello")
        assert watched.health.last_failure("claude") == "quota"
        watched.now = 901
        assert watched.health.last_failure("claude") == "server_error"

    def test_models_without_end_are_bounded(self, watched: Watched) -> None:
        """Callers choose the names."""
        for number in range(2000):
            watched.health.failed("claude", MISSING, f"model-{number}", Asker(1000, number), chosen=True)
        assert len(watched.health._models) == 256

    def test_requests_without_end_are_bounded(self, watched: Watched) -> None:
        """An outage of a million requests takes no more memory than one of twenty, and stays one."""
        for request in different(2000):
            watched.fail(BROKEN, 1000, request)
        [breaker] = watched.health._records["claude"].breakers.values()
        assert len(breaker.failures) == 16
        watched.now = 31
        watched.fail(BROKEN, 1000, "one more")
        assert watched.state() is State.OPEN


class TestHealth:
    def test_an_open_breaker_demotes(self) -> None:
        """Others go first; it is still tried last."""
        health = Health()
        for _ in range(5):
            health.failed("claude", BROKEN)
        made = plan(health=health)
        assert names(made) == ["kimi_k2", "claude"]
        assert made.reason == "fallback from claude: it failed of late and is avoided for now"

    def test_an_open_breaker_of_the_model_demotes(self) -> None:
        """Where only the model that would be asked is known to fail."""
        health = Health()
        for _ in range(5):
            health.failed("claude", MISSING, "claude-sonnet-5-5")
        assert names(plan(health=health)) == ["kimi_k2", "claude"]
        assert names(plan(health=health, model="claude-opus-5-5"))[0] == "claude"

    def test_states_and_their_signals(self, watched: Watched) -> None:
        """ok → degraded → open → degraded when time has passed → ok, each told once."""
        for request in different(6):
            watched.fail(OF_A_PROMPT["timeout"], 1000, request)
        assert watched.state() is State.OPEN
        watched.now += 31
        assert watched.state() is State.DEGRADED
        watched.health.succeeded("claude")
        assert watched.told == [
            ("claude", State.DEGRADED, "timeout"),
            ("claude", State.OPEN, "timeout"),
            ("claude", State.OK, ""),
        ]

    def test_forgotten_at_a_reload(self, watched: Watched) -> None:
        """The new key may be right, the new endpoint have the model."""
        watched.fail(BAD_KEY, 1000, "hello")
        for request in different(5):
            watched.fail(MISSING, 1000, request)
        watched.health.forget()
        assert watched.state() is State.OK
        assert watched.told[-1] == ("claude", State.OK, "")

    def test_a_breaker_that_time_ends_is_told(self, watched: Watched) -> None:
        """next_change says when to look, refresh tells of it once."""
        health = watched.health
        assert health.next_change() is None
        health.failed("claude", BAD_KEY)
        health.failed("kimi_k2", ProviderError(Failure.RATE_LIMITED, "", 429, retry_after_ms=10_000))
        assert health.next_change() == 10
        watched.now = 4
        assert health.next_change() == 6
        health.refresh()
        assert len(watched.told) == 2
        watched.now = 10.5
        assert health.next_change() == 0
        health.refresh()
        health.refresh()
        assert watched.told[2:] == [("kimi_k2", State.DEGRADED, "rate_limited")]
        assert health.next_change() == 49.5
        health.succeeded("claude")
        assert health.next_change() is None


class TestLoading:
    def test_degraded_until_it_answers(self) -> None:
        """It is told once, why beside it, and its answer ends it; nothing is counted against it."""
        told: list[tuple[str, str, str]] = []
        health = Health(lambda *change: told.append(change))
        for _ in range(10):
            health.loading("office")
        assert (health.state("office"), health.last_failure("office")) == (State.DEGRADED, "loading")
        health.succeeded("office")
        assert (health.state("office"), health.last_failure("office")) == (State.OK, "")
        assert told == [("office", State.DEGRADED, "loading"), ("office", State.OK, "")]

    def test_a_failure_takes_its_place(self) -> None:
        """Who did not come up in the end failed like any other."""
        health = Health()
        health.loading("office")
        health.failed("office", ProviderError(Failure.CONNECTION, "refused"))
        assert health.last_failure("office") == "connection"

    def test_a_model_that_is_missing(self) -> None:
        """It is told each time, of that provider alone; no other failure is one."""
        missing: list[str] = []
        health = Health(on_missing=missing.append)
        health.failed("office", ProviderError(Failure.REFUSED, "no such model", 404), "m", chosen=True)
        health.failed("claude", ProviderError(Failure.SERVER, "oh", 500))
        assert missing == ["office"]

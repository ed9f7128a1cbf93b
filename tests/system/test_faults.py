"""What a caller gets when a provider fails, in every way the simulated providers know, whichever of the two it is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from cortexd.errors import IN_WORDS, CortexError, Failure, tried_of
from simulated import Behaviour, Fault
from tests.system.program import Program, Reply, program_fixture, refused  # noqa: F401
from tests.system.shared import Shared, shared_fixture, shared_of_module_fixture  # noqa: F401

CONFIG = "[daemon]\npreload_sdks = true\n"
TASKS = {"claude": "user_chat", "kimi_k2": "code_generation"}
MODELS = {"claude": "claude-sonnet-5-5", "kimi_k2": "kimi-k2.6"}
OTHER = {"claude": "kimi_k2", "kimi_k2": "claude"}
PROVIDERS = tuple(TASKS)
PROMPT = "hello"
MAX_TOKENS = 100
# Typed in from the vendors' price lists, nano-dollars per token: dearest input, output.
WORST_RATES = {"claude": (2_500, 10_000), "kimi_k2": (950, 4_000)}

# A definite no: the vendor has done no work, and bills none.
REFUSALS = {
    "401": (Behaviour(status=401), "authentication"),
    "402": (Behaviour(status=402), "quota"),
    "403": (Behaviour(status=403), "authentication"),
    "404": (Behaviour(status=404), "refused_request"),
    "400": (Behaviour(status=400), "refused_request"),
    "429": (Behaviour(status=429, retry_after="7"), "rate_limited"),
    "500": (Behaviour(status=500), "server_error"),
    "503": (Behaviour(status=503), "overloaded"),
    "529": (Behaviour(status=529), "overloaded"),
    "error on 200": (Behaviour(fault=Fault.ERROR_ON_200), "server_error"),
}
# It may have done the work and billed it: the ledger holds the worst case.
DOUBTS = {
    "reset": (Behaviour(fault=Fault.RESET), "connection"),
    "reset mid-body": (Behaviour(fault=Fault.RESET_MID_BODY), "connection"),
    "malformed JSON": (Behaviour(fault=Fault.MALFORMED_JSON), "malformed_answer"),
    "empty body": (Behaviour(fault=Fault.EMPTY_BODY), "malformed_answer"),
    "wrong content type": (Behaviour(fault=Fault.WRONG_CONTENT_TYPE), "malformed_answer"),
}
QUICK = {**REFUSALS, **DOUBTS}
# Longer than the provider's timeout_s, which these tests set to one second.
SLOW = {
    "slow": (Behaviour(delay_s=30), "timeout"),
    "hang": (Behaviour(fault=Fault.HANG), "timeout"),
    "hang mid-body": (Behaviour(fault=Fault.HANG_MID_BODY), "timeout"),
}
BROKEN_STREAMS = (Fault.RESET_MID_BODY, Fault.MALFORMED_JSON, Fault.EMPTY_BODY, Fault.STREAM_ERROR)

each_provider = pytest.mark.parametrize("provider", PROVIDERS)
each_quick_fault = pytest.mark.parametrize("fault", QUICK)


async def ask(program: Program, first: str, **options: Any) -> Reply:
    """A request whose task type goes to the provider `first`."""
    return await program.complete(TASKS[first], PROMPT, max_tokens=MAX_TOKENS, **options)


async def worst_case_nano(program: Program, provider: str) -> int:
    """As Route shows it, held against what the prompt and max_tokens can cost at the least and within reason."""
    route = await program.route(TASKS[provider], PROMPT, max_tokens=MAX_TOKENS)
    [candidate] = [row for row in route["candidates"] if row["provider"] == provider]
    nano: int = round(candidate["worst_case_cost_usd"] * 10**9)
    rate_in, rate_out = WORST_RATES[provider]
    at_least = len(PROMPT) * rate_in + MAX_TOKENS * rate_out
    assert at_least <= nano <= at_least + 100 * rate_in
    return nano


def assert_asked(shared: Shared, outcome: str, attempts: dict[str, int]) -> None:
    """Each attempt asks once; one whose kept connection ends before a byte came asks once more, on a new one."""
    most = 2 if outcome == "connection" else 1
    requests = shared.requests()
    assert requests.keys() == attempts.keys()
    assert all(number <= requests[name] <= number * most for name, number in attempts.items()), requests


def assert_bounded(cost_nano: int, *, known: bool, billed_nano: int, most_nano: int) -> None:
    """A definite no is free. Otherwise what had come of the answer bounds the cost, which covers what was billed."""
    assert billed_nano <= cost_nano <= most_nano
    assert known is (cost_nano == 0)


async def fallback_answers(shared: Shared, program: Program, provider: str, outcome: str, known: bool) -> None:
    """`provider` fails, the other answers; both attempts are told with what they cost, and the books agree."""
    other = OTHER[provider]
    most = 0 if known else await worst_case_nano(program, provider)
    reply = await ask(program, provider)
    assert reply.content == f"[{MODELS[other]}] You said: {PROMPT}"
    assert (reply.metadata["provider"], reply.metadata["route_reason"]) == (other, f"fallback after {provider}")
    assert reply.attempts == [(provider, outcome), (other, "ok")]
    failed, answered = reply.metadata["attempts"]
    cost = failed["cost_nano_usd"]
    assert failed["cost_known"] is known
    billed = shared.simulated.billed_undelivered(provider).nano
    assert_bounded(cost, known=known, billed_nano=billed, most_nano=most)
    assert (answered["cost_nano_usd"], answered["cost_known"]) == (shared.simulated.billed(other).nano, True)
    assert (reply.cost_nano, reply.metadata["cost_known"]) == (cost + answered["cost_nano_usd"], known)
    assert failed["error"]
    assert_asked(shared, outcome, {provider: 1, other: 1})
    row = shared.books().request(reply.metadata["request_id"])
    assert (row["state"], row["cost_nano"], row["cost_known"], row["open"]) == ("done", reply.cost_nano, known, 0)


async def nobody_answers(shared: Shared, program: Program, provider: str, outcome: str, known: bool) -> str:
    """Both fail, each asked once; the text names both and why. The one failed row holds what it may have cost."""
    most = [0 if known else await worst_case_nano(program, name) for name in PROVIDERS]
    request_id = f"both-{provider}-{len(shared.books().rows)}"
    with refused("NoProviderAvailable") as text:
        await ask(program, provider, request_id=request_id)
    assert list(tried_of(CortexError.from_text(text[0])).items()) == [(provider, outcome), (OTHER[provider], outcome)]
    assert all(f"{name} ({MODELS[name]})" in text[0] for name in PROVIDERS)
    assert_asked(shared, outcome, {"claude": 1, "kimi_k2": 1})
    row = shared.books().request(request_id)
    assert (row["state"], row["cost_known"], row["open"]) == ("failed", known, 0)
    billed = sum(shared.simulated.billed_undelivered(name).nano for name in PROVIDERS)
    assert_bounded(row["cost_nano"], known=known, billed_nano=billed, most_nano=sum(most))
    outcomes = [(attempt["provider"], attempt["outcome"]) for attempt in shared.books().attempts_of(request_id)]
    assert outcomes == [(provider, outcome), (OTHER[provider], outcome)]
    return text[0]


class TestOneFails:
    @each_provider
    @each_quick_fault
    async def test_the_other_answers(self, shared: Shared, program: Program, provider: str, fault: str) -> None:
        """The answer is the other provider's, with both attempts and their costs in its metadata."""
        behaviour, outcome = QUICK[fault]
        shared.behave(provider, behaviour)
        await fallback_answers(shared, program, provider, outcome, known=fault in REFUSALS)

    @each_provider
    @each_quick_fault
    async def test_without_fallback(self, shared: Shared, program: Program, provider: str, fault: str) -> None:
        """With `fallback: false`, and where the provider was asked for, it is ProviderFailed; nobody else is asked."""
        behaviour, outcome = QUICK[fault]
        shared.behave(provider, behaviour)
        for options in ({"fallback": False}, {"provider": provider}):
            with refused("ProviderFailed") as text:
                await ask(program, provider, **options)
            assert text[0].startswith(f"{provider} ({MODELS[provider]}) {IN_WORDS[outcome]}")
        assert_asked(shared, outcome, {provider: 2, OTHER[provider]: 0})

    @pytest.mark.parametrize("fault", BROKEN_STREAMS)
    async def test_a_stream_breaks(self, shared: Shared, program: Program, fault: Fault) -> None:
        """Where the stream of a long answer breaks, the other answers, and what had come bounds what is booked."""
        shared.behave("claude", Behaviour(fault=fault))
        reply = await program.complete("user_chat", PROMPT, max_tokens=30_000)
        assert shared.simulated.received("claude")[0].json()["stream"] is True
        assert reply.metadata["provider"] == "kimi_k2"
        [failed, _] = reply.metadata["attempts"]
        assert not failed["cost_known"]
        assert failed["cost_nano_usd"] >= shared.simulated.billed_undelivered("claude").nano > 0
        shared.books().assert_balanced()


class TestBothFail:
    @each_provider
    @each_quick_fault
    async def test_the_error_lists_both(self, shared: Shared, program: Program, provider: str, fault: str) -> None:
        """NoProviderAvailable says who was tried, in order, and why it failed; one attempt each."""
        behaviour, outcome = QUICK[fault]
        for name in PROVIDERS:
            shared.behave(name, behaviour)
        await nobody_answers(shared, program, provider, outcome, known=fault in REFUSALS)

    async def test_each_its_own_reason(self, shared: Shared, program: Program) -> None:
        """Two different faults are told apart."""
        shared.behave("claude", Behaviour(status=401))
        shared.behave("kimi_k2", Behaviour(fault=Fault.EMPTY_BODY))
        with refused("NoProviderAvailable") as text:
            await ask(program, "claude")
        tried = tried_of(CortexError.from_text(text[0]))
        assert tried == {"claude": Failure.AUTHENTICATION, "kimi_k2": Failure.MALFORMED}

    async def test_who_was_left_out_is_told_too(self, shared: Shared, program: Program) -> None:
        """A provider without a key stands in the list, for people and for programs."""
        for name in PROVIDERS:
            shared.behave(name, Behaviour(status=500))
        with refused("NoProviderAvailable") as text:
            await ask(program, "claude")
        assert "deepseek: no key" in text[0]
        assert CortexError.from_text(text[0]).details["left_out"] == "deepseek,qwen,llama"

    async def test_the_next_request_is_answered(self, shared: Shared, program: Program) -> None:
        """Failures stay with their request: once the providers are back, the same question is answered."""
        for name in PROVIDERS:
            shared.behave(name, Behaviour(times=1, status=500))
        with refused("NoProviderAvailable"):
            await ask(program, "claude")
        assert (await ask(program, "claude")).attempts == [("claude", "ok")]


class TestTooSlow:
    @pytest.fixture(autouse=True)
    def impatient(self, shared: Shared) -> Any:
        """Two providers at a time with a timeout_s of one second, for both: answers here are far quicker."""
        yield
        shared.reload(CONFIG)

    def hurry(self, shared: Shared, *providers: str) -> None:
        shared.reload(CONFIG + "".join(f"[providers.{name}]\ntimeout_s = 1.0\n" for name in providers))

    @each_provider
    @pytest.mark.parametrize("fault", SLOW)
    async def test_the_other_answers(self, shared: Shared, program: Program, provider: str, fault: str) -> None:
        """Past timeout_s the provider is left, its worst case booked, and the other asked; without fallback it is
        ProviderFailed."""
        await ask(program, provider, fallback=False)  # the SDK is imported by now, which may take a second
        shared.recover()
        self.hurry(shared, provider)
        behaviour, outcome = SLOW[fault]
        shared.behave(provider, behaviour)
        alone = asyncio.create_task(self.alone(program, provider))
        reply = await ask(program, provider)
        assert reply.content == f"[{MODELS[OTHER[provider]]}] You said: {PROMPT}"
        assert reply.attempts == [(provider, outcome), (OTHER[provider], "ok")]
        [failed, _] = reply.metadata["attempts"]
        assert failed["cost_known"] is False
        assert 0 < failed["cost_nano_usd"] <= await worst_case_nano(program, provider)
        assert (await alone).startswith(f"{provider} ({MODELS[provider]}) did not answer in time: no answer within 1 s")
        assert shared.requests() == {provider: 2, OTHER[provider]: 1}
        shared.books().assert_balanced()

    async def alone(self, program: Program, provider: str) -> str:
        with refused("ProviderFailed") as text:
            await ask(program, provider, fallback=False)
        return text[0]

    async def test_both_hang(self, shared: Shared, program: Program) -> None:
        """Each is given its time, once; the connections to both are closed."""
        for name in PROVIDERS:
            await ask(program, name, fallback=False)
        shared.recover()
        self.hurry(shared, *PROVIDERS)
        for name in PROVIDERS:
            shared.behave(name, Behaviour(fault=Fault.HANG))
        await nobody_answers(shared, program, "claude", "timeout", known=False)
        assert [shared.simulated.counts(name).client_aborts for name in PROVIDERS] == [1, 1]


class TestRetryAfter:
    @each_provider
    async def test_it_reaches_the_caller(self, shared: Shared, program: Program, provider: str) -> None:
        """Retry-After in seconds comes back as retry_after_ms at the end of the text, with and without fallback."""
        for name in PROVIDERS:
            shared.behave(name, Behaviour(status=429, retry_after="3"))
        with refused("ProviderFailed") as alone:
            await ask(program, provider, fallback=False)
        with refused("NoProviderAvailable") as both:
            await ask(program, provider)
        for text in (alone[0], both[0]):
            assert CortexError.from_text(text).details["retry_after_ms"] == 3000

    async def test_the_soonest_of_two(self, shared: Shared, program: Program) -> None:
        """Where both say how long, trying again makes sense as soon as the first of them is back."""
        shared.behave("claude", Behaviour(status=429, retry_after="2"))
        shared.behave("kimi_k2", Behaviour(status=429, retry_after="50"))
        with refused("NoProviderAvailable") as text:
            await ask(program, "claude")
        assert CortexError.from_text(text[0]).details["retry_after_ms"] == 2000

    async def test_a_mad_one_is_bounded(self, shared: Shared, program: Program) -> None:
        """A Retry-After beyond a day, or one that is no number, does no harm."""
        for value, wait_ms in (("1e300", 86_400_000), ("-5", 0), ("soon", None)):
            shared.behave("claude", Behaviour(status=429, retry_after=value))
            with refused("ProviderFailed") as text:
                await ask(program, "claude", provider="claude")
            assert CortexError.from_text(text[0]).details.get("retry_after_ms") == wait_ms, text


class TestUpstreamWords:
    @each_provider
    async def test_no_key_and_no_nul(self, shared: Shared, program: Program, provider: str) -> None:
        """What a provider says of its failure is shown without the key it quotes and safe for the bus."""
        key = f"sk-sim-{provider.removesuffix('_k2')}-of-the-tests"
        words = f"key {key} and sk-ant-api03-AbCdEfGhIjKl\0 are wrong \ud800\uffff {'x' * 5000}"
        for name in PROVIDERS:
            shared.behave(name, Behaviour(status=500, error_message=words))
        with refused("ProviderFailed") as alone:
            await ask(program, provider, fallback=False)
        with refused("NoProviderAvailable") as both:
            await ask(program, provider)
        texts = [alone[0], both[0]]
        shared.behave(OTHER[provider], Behaviour())
        answered = await ask(program, provider)
        texts += [str(answered.metadata), str(await program.providers())]
        texts += [attempt["error"] for attempt in shared.books().attempts]
        for text in texts:
            assert not [bad for bad in (key, "sk-ant-api03", "\0", "\ud800", "\uffff", "x" * 501) if bad in text]
        assert "had an error of its own: HTTP 500, key" in alone[0]

    async def test_every_fault_hides_what_it_quotes(self, shared: Shared, program: Program) -> None:
        """An error object on a 200, and one in a stream, are scrubbed as well."""
        words = "bad key sk-sim-claude-of-the-tests\0"
        for fault, tokens in ((Fault.ERROR_ON_200, 100), (Fault.STREAM_ERROR, 30_000)):
            shared.behave("claude", Behaviour(fault=fault, error_message=words))
            with refused("ProviderFailed") as text:
                await program.complete("user_chat", PROMPT, provider="claude", max_tokens=tokens)
            assert "bad key" in text[0]
            assert "sk-sim" not in text[0]


class TestBreaker:
    async def test_a_failing_provider_is_asked_last(self, shared: Shared, program: Program) -> None:
        """After a refused key the next request goes straight to the other, which says why."""
        shared.behave("claude", Behaviour(status=401))
        await ask(program, "claude")
        reply = await ask(program, "claude")
        assert reply.attempts == [("kimi_k2", "ok")]
        assert reply.metadata["route_reason"] == "fallback from claude: it failed of late and is avoided for now"
        assert shared.requests() == {"claude": 1, "kimi_k2": 2}

    async def test_a_model_of_the_callers_choice(self, shared: Shared, program: Program) -> None:
        """A model that our key may not use is one caller's affair: the provider answers everybody else as before."""
        shared.behave("claude", replace(Behaviour(status=403), times=6))
        for _ in range(6):
            with refused("ProviderFailed"):
                await ask(program, "claude", model="claude-opus-5-5")
        assert (await program.providers())["claude"]["state"] == "ok"
        assert (await ask(program, "claude")).attempts == [("claude", "ok")]

    @pytest.mark.parametrize("fault", ["403", "500", "429", "malformed JSON", "reset"])
    async def test_one_callers_prompt_is_no_outage(self, shared: Shared, program: Program, fault: str) -> None:
        """Whatever the provider makes of one prompt, however often: the next request is asked of it first."""
        behaviour, _ = QUICK[fault]
        shared.behave("claude", replace(behaviour, times=8, retry_after=""))
        for _ in range(8):
            await ask(program, "claude")
        assert (await program.providers())["claude"]["state"] != "open"
        assert (await ask(program, "claude")).attempts == [("claude", "ok")]

    @pytest.mark.parametrize("status", [503, 529])
    async def test_it_rests_as_long_as_it_asked_for(self, shared: Shared, program: Program, status: int) -> None:
        """Retry-After says enough at once, on an overloaded provider too, and as a date."""
        later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
        for retry_after in ("120", later):
            shared.recover()
            shared.reload(CONFIG)
            shared.behave("claude", Behaviour(status=status, retry_after=retry_after, times=1))
            await ask(program, "claude")
            assert (await program.providers())["claude"]["state"] == "open"
            assert (await ask(program, "claude")).attempts == [("kimi_k2", "ok")]

    async def test_it_is_still_asked_when_nobody_else_can(self, shared: Shared, program: Program) -> None:
        """An open breaker forbids nothing: with the other failing too, the first is tried, and answers."""
        shared.behave("claude", replace(Behaviour(status=401), times=1))
        await ask(program, "claude")
        shared.behave("kimi_k2", Behaviour(status=500))
        reply = await ask(program, "claude")
        assert reply.attempts == [("kimi_k2", "server_error"), ("claude", "ok")]
        assert (await program.providers())["claude"]["state"] == "ok"


class TestLedgerAfterAll:
    async def test_books_are_balanced(self, shared: Shared, program: Program) -> None:
        """After every fault above, each row is settled and the machine's total is the sum of the charges."""
        books = shared.books()
        books.assert_balanced()
        assert await program.property("TotalRequests") == len(books.rows)
        stats = await program.stats()
        assert stats["total_cost_nano_usd"] == books.charged_nano

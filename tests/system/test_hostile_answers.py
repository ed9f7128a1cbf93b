"""Answers that would end a careless service: text that the bus refuses, figures that no account can hold, huge bodies.

After each of them the daemon is the same process, its ledger adds up, and the next request is answered.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from simulated import Behaviour, Fault
from tests.eventually import assert_eventually
from tests.system.calls import ask, call, results
from tests.system.people import as_user
from tests.system.program import NAME, Program, Reply, program_fixture, refused  # noqa: F401
from tests.system.shared import EVERYBODY, Shared, shared_fixture, shared_of_module_fixture  # noqa: F401

CONFIG = "[daemon]\npreload_sdks = true\n"
TASKS = {"claude": "user_chat", "kimi_k2": "code_generation"}
OTHER = {"claude": "kimi_k2", "kimi_k2": "claude"}
INT64_MAX = 2**63 - 1
MIB = 2**20
# What the bus, D-Bus libraries or encoders refuse: NUL, lone surrogates (alone, reversed), noncharacters.
POISON = "a\0b\ud800c\udc00\ud800d\uffffe\ufffef\U0001fffe\ufdd0g"
CURED = "a\ufffdb\ufffdc\ufffd\ufffdd\ufffde\ufffdf\ufffd\ufffdg"
TOOL = {"name": "look", "description": "", "parameters": '{"type": "object"}'}

NUMBERS = {
    "-1": -1,
    "2^40": 2**40,
    "2^70": 2**70,
    "-2^70": -(2**70),
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "1e300": 1e300,
    "text": "12",
    "NUL": "\0",
    "true": True,
    "null": None,
    "list": [1],
    "object": {"a": 1},
}
FIELDS = {
    "claude": ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
    "kimi_k2": ("prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"),
}
SHAPES = {
    "claude": [
        "null", "5", '"text"', "{}", "[]", "[null]", "[5]", '[{"type":"text","text":5}]', '[{"type":"text"}]',
        '[{"type":"tool_use"}]', '[{"type":"tool_use","name":5,"input":{}}]',
        '[{"type":"unheard of","data":"\\u0000"}]',
        '[{"type":"tool_use","id":7,"name":"look","input":"\\ud800"}]',
        '[{"type":"tool_use","id":"x","name":"look","input":{"a":NaN}}]',
    ],
    "kimi_k2": [
        "null", "5", '"text"', "{}", "[]", '{"content":5}', '{"content":[]}', '{"content":[{"text":"\\u0000"},5]}',
        '{"tool_calls":"x"}', '{"tool_calls":[null]}', '{"tool_calls":[{"function":null}]}',
        '{"tool_calls":[{"function":{"name":5}}]}',
        '{"tool_calls":[{"id":7,"function":{"name":"look","arguments":{}}}]}',
        '{"tool_calls":[{"function":{"name":"look","arguments":{"a":NaN}}}]}',
        '{"refusal":"\\ud800"}',
    ],
}  # fmt: skip
HEADERS = {
    "gzip that is none": {"content-encoding": "gzip"},
    "br that is none": {"content-encoding": "br"},
    "an unknown encoding": {"content-encoding": "rot13"},
    "a stream that is none": {"content-type": "text/event-stream"},
    "a content type with a strange charset": {"content-type": "application/json; charset=utf-99"},
    "a long header": {"x-long": "x" * 100_000},
}

each_provider = pytest.mark.parametrize("provider", EVERYBODY)
# Claude's answers above 21,333 tokens come as a stream, which is read by other code.
each_way = pytest.mark.parametrize(
    ("provider", "max_tokens"),
    [("claude", 100), ("claude", 30_000), ("kimi_k2", 100)],
    ids=["claude", "claude-stream", "kimi_k2"],
)


@pytest.fixture(autouse=True)
async def unharmed(shared: Shared, program: Program) -> AsyncIterator[None]:
    """After the test the same process answers, and its books are balanced."""
    pid = shared.daemon.pid
    yield
    for name in EVERYBODY:
        shared.simulated.reset(name)
        reply = await ask_for(program, name, provider=name)
        assert reply.content.endswith("You said: hello")
    assert shared.daemon.pid == pid
    books = shared.books()
    books.assert_balanced()
    assert (await program.stats())["total_cost_nano_usd"] == books.charged_to(0)
    assert await program.property("TotalRequests") == len(books.rows)


async def ask_for(program: Program, first: str, **options: Any) -> Reply:
    return await program.complete(TASKS[first], "hello", **options)


def assert_sane(reply: Reply) -> None:
    """The figures of an answer are those that any program may count on."""
    for name in ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"):
        assert 0 <= reply.metadata[name] <= 2**40, name
    assert reply.metadata["cached_tokens"] <= reply.metadata["input_tokens"]
    assert 0 <= reply.cost_nano <= INT64_MAX
    assert reply.metadata["cost_usd"] == reply.cost_nano / 10**9
    assert reply.cost_nano == sum(row["cost_nano_usd"] for row in reply.metadata["attempts"])


class TestText:
    @each_way
    async def test_content(self, shared: Shared, program: Program, provider: str, max_tokens: int) -> None:
        """Each character that the bus refuses arrives as U+FFFD, the others as they were."""
        shared.behave(provider, Behaviour(reply=POISON))
        assert (await ask_for(program, provider, max_tokens=max_tokens)).content == CURED

    @each_way
    async def test_tool_calls(self, shared: Shared, program: Program, provider: str, max_tokens: int) -> None:
        """A tool's name and its arguments, with escapes in the JSON text as well."""
        arguments = json.dumps({"path": POISON, POISON: "x"})
        shared.behave(provider, Behaviour(tool_calls=((POISON, arguments), ("look", "{}"))))
        reply = await ask_for(program, provider, tools=[TOOL], max_tokens=max_tokens)
        [poisoned, harmless] = reply.metadata["tool_calls"]
        assert poisoned["name"] == CURED
        assert isinstance(json.loads(poisoned["arguments"]), dict)
        assert (harmless["name"], harmless["arguments"]) == ("look", "{}")

    @each_way
    async def test_model_and_finish_reason(
        self, shared: Shared, program: Program, provider: str, max_tokens: int
    ) -> None:
        """The model's id and the reason for the end, both bounded; the ledger holds the model that was asked for."""
        shared.behave(provider, Behaviour(model=POISON * 100, stop_reason=POISON * 100))
        reply = await ask_for(program, provider, max_tokens=max_tokens)
        assert reply.metadata["model"].startswith(CURED)
        assert reply.metadata["finish_reason"].startswith(CURED)
        assert len(reply.metadata["model"]) + len(reply.metadata["finish_reason"]) < 500
        assert shared.books().request(reply.metadata["request_id"])["model"] in ("claude-sonnet-5-5", "kimi-k2.6")

    @each_way
    async def test_error_message(self, shared: Shared, program: Program, provider: str, max_tokens: int) -> None:
        """In the error of a refused request, and in the attempts of an answered one."""
        for fault in ({"status": 500}, {"fault": Fault.ERROR_ON_200}):
            shared.behave(provider, Behaviour(error_message=POISON, **fault))
            with refused("ProviderFailed") as text:
                await ask_for(program, provider, fallback=False, max_tokens=max_tokens)
            assert CURED in text[0]
            reply = await ask_for(program, provider, max_tokens=max_tokens)
            assert CURED in reply.metadata["attempts"][0]["error"]

    async def test_strict_clients_take_it(self, shared: Shared, program: Program) -> None:
        """busctl, whose library refuses noncharacters, shows the answer, the metadata and the error."""
        behaviour = Behaviour(reply=POISON, model=POISON, tool_calls=((POISON, "{}"),))
        shared.behave("claude", behaviour)
        done = as_user("alice", ask("user_chat"))
        assert done.returncode == 0, done.stderr
        arguments = ("user_chat", "1", "2", "role", "s", "user", "content", "s", "hello")
        done = as_user("alice", call(NAME, "Complete", "saa{sv}", *arguments, flags=("--json=short",)))
        content, metadata = results(done.stdout)
        assert (content, metadata["model"], metadata["tool_calls"][0]["name"]) == (CURED, CURED, CURED)
        for name in EVERYBODY:
            shared.behave(name, Behaviour(status=500, error_message=POISON))
        assert CURED in as_user("alice", ask("user_chat")).stderr


class TestFigures:
    @each_way
    @pytest.mark.parametrize("number", NUMBERS)
    async def test_token_counts(
        self, shared: Shared, program: Program, provider: str, max_tokens: int, number: str
    ) -> None:
        """Whatever stands for a count, alone or all at once: the answer comes, with figures within bounds."""
        wrong = dict.fromkeys(FIELDS[provider], NUMBERS[number])
        for usage in (*({name: value} for name, value in wrong.items()), wrong):
            shared.behave(provider, Behaviour(usage=usage))
            reply = await ask_for(program, provider, max_tokens=max_tokens)
            assert reply.content.endswith("You said: hello")
            assert reply.attempts == [(provider, "ok")]
            assert_sane(reply)

    @each_way
    async def test_missing(self, shared: Shared, program: Program, provider: str, max_tokens: int) -> None:
        """Without its main figures the cost is not known and the worst case is booked; without any, what has come."""
        for name in ("*", *FIELDS[provider][:2]):
            shared.behave(provider, Behaviour(usage_without=(name,)))
            reply = await ask_for(program, provider, max_tokens=max_tokens)
            assert_sane(reply)
            if (provider, max_tokens, name) == ("claude", 30_000, "output_tokens"):
                continue  # a stream says them twice
            assert not reply.metadata["cost_known"]
            least = shared.simulated.billed(provider).nano if name == "*" else max_tokens * 4_000
            assert reply.cost_nano >= least > 0
            assert shared.books().request(reply.metadata["request_id"])["cost_known"] == 0

    async def test_no_number_is_no_known_cost(self, shared: Shared, program: Program) -> None:
        """Text, NaN or an object where a billed count should stand: the worst case, and cost_known says so."""
        for provider in EVERYBODY:
            for value in ("12", float("nan"), float("inf"), [1], True):
                shared.behave(provider, Behaviour(usage={FIELDS[provider][1]: value}))
                assert not (await ask_for(program, provider)).metadata["cost_known"], value


class TestShapes:
    @pytest.mark.parametrize(
        ("provider", "shape"), [(name, shape) for name, shapes in SHAPES.items() for shape in shapes]
    )
    async def test_content_of_another_shape(self, shared: Shared, program: Program, provider: str, shape: str) -> None:
        """What is no message is a malformed answer, and the other provider's comes; what can be read is read."""
        shared.behave(provider, Behaviour(content_json=shape, ignores_stream=True))
        reply = await ask_for(program, provider, tools=[TOOL])
        assert reply.attempts in ([(provider, "ok")], [(provider, "malformed_answer"), (OTHER[provider], "ok")])
        assert_sane(reply)

    @each_provider
    async def test_nested_without_end(self, shared: Shared, program: Program, provider: str) -> None:
        """Arguments nested thousands deep."""
        for depth in (100, 900, 5_000, 100_000):
            deep = "[" * depth + "]" * depth
            claude = f'[{{"type":"tool_use","id":"x","name":"look","input":{{"a":{deep}}}}}]'
            kimi = f'{{"tool_calls":[{{"id":"x","function":{{"name":"look","arguments":{{"a":{deep}}}}}}}]}}'
            shared.behave(
                provider, Behaviour(content_json=claude if provider == "claude" else kimi, ignores_stream=True)
            )
            reply = await ask_for(program, provider, tools=[TOOL])
            assert reply.attempts[-1][1] == "ok"

    @each_provider
    async def test_very_many_tool_calls(self, shared: Shared, program: Program, provider: str) -> None:
        """More calls than anybody can mean are a malformed answer; 200 are passed on."""
        for count, outcome in ((200, "ok"), (300, "malformed_answer")):
            shared.behave(provider, Behaviour(tool_calls=(("look", "{}"),) * count))
            reply = await ask_for(program, provider, tools=[TOOL])
            assert reply.attempts[0] == (provider, outcome)

    @each_provider
    @pytest.mark.parametrize("name", HEADERS)
    async def test_headers(self, shared: Shared, program: Program, provider: str, name: str) -> None:
        """Headers that promise what the body does not hold: its answer, or the other's."""
        shared.behave(provider, Behaviour(headers=HEADERS[name]))
        reply = await ask_for(program, provider)
        assert reply.content.endswith("You said: hello")
        assert reply.attempts[0][1] in ("ok", "malformed_answer", "connection")


class TestSize:
    @each_way
    async def test_40_mb(self, shared: Shared, program: Program, provider: str, max_tokens: int) -> None:
        """Too large an answer is not read to its end: the other provider answers, and the memory is given back."""
        before = await rss_when_warm(shared, program)
        shared.behave(provider, Behaviour(size_bytes=40 * 10**6))
        for _ in range(3):
            reply = await ask_for(program, provider, max_tokens=max_tokens)
            assert reply.metadata["provider"] == OTHER[provider]
            assert "larger than" in reply.metadata["attempts"][0]["error"]
            with refused("ProviderFailed"):
                await ask_for(program, provider, max_tokens=max_tokens, fallback=False)
        assert_rss_below(shared, before + 40 * MIB)

    async def test_failed_prompts(self, shared: Shared, program: Program) -> None:
        """Nothing of a large prompt stays behind when every provider has failed it."""
        for name in EVERYBODY:
            shared.behave(name, Behaviour(fault=Fault.EMPTY_BODY))
        for number in range(12):
            if number == 2:  # what a large request makes the process hold for good, it holds by now
                before = rss(shared.daemon.pid)
            with refused("NoProviderAvailable"):
                await program.complete("user_chat", "x" * 4_000_000)
        assert_rss_below(shared, before + 16 * MIB)

    @each_provider
    async def test_as_large_as_allowed(self, shared: Shared, program: Program, provider: str) -> None:
        """15 MB arrive whole."""
        shared.behave(provider, Behaviour(size_bytes=15 * 10**6))
        assert (await ask_for(program, provider)).content == "x" * 15 * 10**6

    async def test_larger_than_the_bus_carries(self, shared: Shared, program: Program) -> None:
        """Arguments that grow fourfold as we write them: more than a D-Bus message holds is TooLarge, and paid."""
        numbers = "1e15," * 2_000_000
        shared.behave(
            "claude",
            Behaviour(
                content_json=f'[{{"type":"tool_use","id":"x","name":"look","input":{{"a":[{numbers}1]}}}}]',
                output_tokens=4_000_000,
                ignores_stream=True,
            ),
        )
        with refused("TooLarge"):
            await ask_for(program, "claude", request_id="too-large")
        row = shared.books().request("too-large")
        assert (row["state"], row["cost_nano"]) == ("done", shared.simulated.billed("claude").nano)

    async def test_poison_in_bulk(self, shared: Shared, program: Program) -> None:
        """Two million U+0000, each of which grows threefold on the bus."""
        shared.behave("claude", Behaviour(reply="\0" * 2_000_000))
        assert (await ask_for(program, "claude")).content == "\ufffd" * 2_000_000


async def rss_when_warm(shared: Shared, program: Program) -> int:
    """Once both vendors' libraries are in."""
    for name in EVERYBODY:
        await ask_for(program, name)
    return rss(shared.daemon.pid)


def assert_rss_below(shared: Shared, limit: int) -> None:
    def fits() -> bool:
        now = rss(shared.daemon.pid)
        assert now < limit, f"{now / MIB:.0f} MiB, not below {limit / MIB:.0f}"
        return True

    assert_eventually(fits, 5, "memory to be given back")


def rss(pid: int) -> int:
    """Bytes of memory that a process has in use."""
    found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024

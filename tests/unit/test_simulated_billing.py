"""What the simulated providers would have billed, held against figures worked out by hand from the price list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from simulated import Behaviour, SimulatedProviders, Tokens, cost_nano
from simulated.prompt import count_tokens

CLAUDE_HEADERS = {"x-api-key": "sk-sim-claude", "anthropic-version": "2026-10-21"}
KIMI_HEADERS = {"authorization": "Bearer sk-sim-kimi"}


@pytest.fixture
def simulated() -> Iterator[SimulatedProviders]:
    with SimulatedProviders() as providers:
        yield providers


def ask(simulated: SimulatedProviders, name: str, model: str, **fields: Any) -> dict[str, Any]:
    path, headers = ("/v1/messages", CLAUDE_HEADERS) if name == "claude" else ("/chat/completions", KIMI_HEADERS)
    url = urlsplit(simulated.url(name) + path)
    body = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}], **fields}
    connection = HTTPConnection(url.hostname or "", url.port, timeout=10)
    connection.request("POST", url.path, json.dumps(body), headers)
    response = connection.getresponse()
    answer: dict[str, Any] = json.loads(response.read())
    connection.close()
    assert response.status == 200, answer
    return answer


class TestCost:
    @pytest.mark.parametrize(
        ("model", "tokens", "nano"),
        [
            # 1,000 in at $2, 500 out at $10, 10,000 read at $0.10, 200 written at $2.50 per million
            ("claude-sonnet-5-5", Tokens(1_000, 500, 10_000, 200), 2_000_000 + 5_000_000 + 1_000_000 + 500_000),
            ("claude-opus-5-5", Tokens(1, 1, 1, 1), 4_000 + 20_000 + 200 + 5_000),
            ("claude-opus-5-5", Tokens(1, hour_write=3), 4_000 + 24_000),
            # exactly 100,000 prompt tokens are the cheap tier, one more makes all of it dear
            ("claude-haiku-5-5", Tokens(90_000, 10, 10_000, 0), 9_000_000 + 5_000 + 100_000),
            ("claude-haiku-5-5", Tokens(90_000, 10, 10_000, 1), 45_000_000 + 25_000 + 500_000 + 625),
            ("kimi-k2.6", Tokens(100, 10, 50), 95_000 + 40_000 + 8_000),
            ("kimi-k2.7-code", Tokens(100, 10, 50, 2), 95_000 + 40_000 + 9_500 + 1_900),
            ("deepseek-flash", Tokens(1, 1, 1), 150 + 600 + 3),
            ("deepseek-v4-pro", Tokens(1, 1, 1), 660 + 1_980 + 22),
            ("qwen3.8-max", Tokens(1, 1, 1), 2_000 + 6_000 + 250),
            ("qwen3.8-flash", Tokens(1, 1, 1, 1), 150 + 470 + 16 + 200),
            ("my-own", Tokens(1, 1), None),
        ],
    )
    def test_by_the_price_list(self, model: str, tokens: Tokens, nano: int | None) -> None:
        """Nano-dollars for one request; None where there is no price."""
        assert cost_nano(model, tokens) == nano


class TestBill:
    def test_sums_per_model(self, simulated: SimulatedProviders) -> None:
        """Requests, tokens and money add up per instance and per model."""
        simulated.behave("claude", Behaviour(input_tokens=10, output_tokens=5, cache_read_tokens=100))
        for model in ("claude-sonnet-5-5", "claude-sonnet-5-5", "claude-opus-5-5"):
            ask(simulated, "claude", model)
        bill = simulated.billed("claude")
        sonnet, opus = 20_000 + 50_000 + 10_000, 40_000 + 100_000 + 20_000
        assert (bill.requests, bill.nano, bill.unpriced) == (3, 2 * sonnet + opus, 0)
        assert bill.tokens == Tokens(30, 15, 300)
        assert bill.by_model["claude-sonnet-5-5"].nano == 2 * sonnet
        assert simulated.billed("kimi_k2").requests == 0

    def test_priced_by_the_model_asked_for(self, simulated: SimulatedProviders) -> None:
        """An answer that claims another model and absurd usage is billed as what was asked for and made."""
        simulated.behave("kimi_k2", Behaviour(model="free", usage={"prompt_tokens": -1, "completion_tokens": 2**70}))
        answer = ask(simulated, "kimi_k2", "kimi-k2.6")
        assert (answer["model"], answer["usage"]["completion_tokens"]) == ("free", 2**70)
        # "hello" is 2 tokens at $0.95, "[kimi-k2.6] You said: hello" is 7 at $4
        assert simulated.billed("kimi_k2").nano == 1_900 + 28_000

    def test_streams_cost_the_same(self, simulated: SimulatedProviders) -> None:
        """A stream read to its end is billed as the plain answer is."""
        for name, model in (("claude", "claude-sonnet-5-5"), ("kimi_k2", "kimi-k2.6")):
            ask(simulated, name, model)
            plain = simulated.billed(name).nano
            url = urlsplit(simulated.url(name) + ("/v1/messages" if name == "claude" else "/chat/completions"))
            connection = HTTPConnection(url.hostname or "", url.port, timeout=10)
            body = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
            headers = CLAUDE_HEADERS if name == "claude" else KIMI_HEADERS
            connection.request("POST", url.path, json.dumps({**body, "stream": True}), headers)
            connection.getresponse().read()
            connection.close()
            assert simulated.billed(name).nano == 2 * plain
            assert simulated.billed_undelivered(name).requests == 0

    @pytest.mark.parametrize("kind", [["image"], {"image": 1}, 7, None])
    def test_a_type_of_a_programs_own_is_no_image(self, kind: object) -> None:
        """What a tool is called with may have any key, with any value."""
        assert count_tokens([{"input": {"type": kind, "text": "hello"}}], None) == 2

    def test_unpriced_models_count_tokens_only(self, simulated: SimulatedProviders) -> None:
        """A model without a price adds requests and tokens, and no money."""
        ask(simulated, "vllm", "my-own")
        bill = simulated.billed("vllm")
        assert (bill.requests, bill.unpriced, bill.nano, bill.tokens.input) == (1, 1, 0, 2)

    def test_cached_tokens_are_part_of_the_prompt(self, simulated: SimulatedProviders) -> None:
        """Cache figures without an input figure are taken out of the counted prompt."""
        simulated.behave("claude", Behaviour(cache_read_tokens=1))
        usage = ask(simulated, "claude", "claude-sonnet-5-5")["usage"]
        assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (1, 1)

    def test_token_rule(self, simulated: SimulatedProviders) -> None:
        """Input is a quarter of the UTF-8 bytes of system, messages and tools, rounded up, and 1,500 per image."""
        schema = {"type": "object"}
        tools = [{"name": "now", "input_schema": schema}]
        ask(simulated, "claude", "claude-sonnet-5-5", system="äöü", tools=tools)
        compact = len('[{"name":"now","input_schema":{"type":"object"}}]')
        assert simulated.billed("claude").tokens.input == -(-(6 + 5 + compact) // 4)
        simulated.reset("claude")
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "a" * 4_000}}
        turn = {"role": "user", "content": [image, {"type": "text", "text": "what"}]}
        ask(simulated, "claude", "claude-sonnet-5-5", messages=[turn])
        assert simulated.billed("claude").tokens.input == 1_501

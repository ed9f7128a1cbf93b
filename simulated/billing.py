"""What the vendors would have billed, in nano-dollars (1 USD = 10^9), by a price table of our own.

Token rule, where a behaviour gives no figures: input is ceil(bytes / 4) of the UTF-8 text of the system prompt,
the messages (tool arguments and results included) and the tools as compact JSON, plus 1,500 per image; output is
ceil(bytes / 4) of text, thinking, tool names and tool arguments, at least 1.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, field, replace
from typing import Any

TOKENS_PER_IMAGE = 1_500
_BYTES_PER_TOKEN = 4
_MILLION = 1_000_000
_MAX_LINES = 256
_OTHER_MODELS = "(others)"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Disjoint figures: input excludes cache reads and writes; output includes reasoning."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    hour_write: int = 0  # written too, to be kept for an hour

    @property
    def prompt(self) -> int:
        """Everything that was read, from the cache or not."""
        return self.input + self.cache_read + self.cache_write + self.hour_write

    def plus(self, other: Tokens) -> Tokens:
        return Tokens(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.reasoning + other.reasoning,
            self.hour_write + other.hour_write,
        )

    def times(self, factor: int) -> Tokens:
        return Tokens(*(factor * figure for figure in astuple(self)))

    def part(self, sent: int, of: int) -> Tokens:
        """As a vendor bills a stream that was left early: all input, and the share of the output that was made."""
        if not of:
            return self
        output = -(-self.output * sent // of)
        return replace(self, output=output, reasoning=min(self.reasoning, output))


@dataclass(frozen=True, slots=True)
class _Rate:
    """Nano-dollars per million tokens. Where the vendor has no cache-write price, writes are plain input. What is
    written for an hour, at Anthropic alone, is twice the input."""

    input: int
    output: int
    cache_read: int
    cache_write: int


_RATES = {
    "claude-sonnet-5-5": _Rate(2_000_000_000, 10_000_000_000, 100_000_000, 2_500_000_000),
    "claude-opus-5-5": _Rate(4_000_000_000, 20_000_000_000, 200_000_000, 5_000_000_000),
    "claude-haiku-5-5": _Rate(100_000_000, 500_000_000, 10_000_000, 125_000_000),
    "kimi-k2.6": _Rate(950_000_000, 4_000_000_000, 160_000_000, 950_000_000),
    "kimi-k2.7-code": _Rate(950_000_000, 4_000_000_000, 190_000_000, 950_000_000),
    "deepseek-flash": _Rate(150_000_000, 600_000_000, 3_000_000, 150_000_000),
    "deepseek-v4-pro": _Rate(660_000_000, 1_980_000_000, 22_000_000, 660_000_000),
    "qwen3.8-max": _Rate(2_000_000_000, 6_000_000_000, 250_000_000, 2_000_000_000),
    "qwen3.8-flash": _Rate(150_000_000, 470_000_000, 16_000_000, 200_000_000),
}
# Above this prompt length the whole request is billed at the second rate.
_LONG_PROMPT = {"claude-haiku-5-5": (100_000, _Rate(500_000_000, 2_500_000_000, 50_000_000, 625_000_000))}

KNOWN_MODELS = {
    "claude": ("claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-5-5"),
    "kimi_k2": ("kimi-k2.6", "kimi-k2.7-code"),
}
CONTEXT_TOKENS = {
    **dict.fromkeys(KNOWN_MODELS["claude"], 1_000_000),
    **dict.fromkeys(KNOWN_MODELS["kimi_k2"], 262_144),
}


def cost_nano(model: str, tokens: Tokens) -> int | None:
    """Nano-dollars for one request, rounded half up; None for a model without a price."""
    rate = _RATES.get(model)
    if rate is None:
        return None
    limit, long_rate = _LONG_PROMPT.get(model, (None, rate))
    if limit is not None and tokens.prompt > limit:
        rate = long_rate
    total = (
        tokens.input * rate.input
        + tokens.cache_read * rate.cache_read
        + tokens.cache_write * rate.cache_write
        + tokens.hour_write * 2 * rate.input
        + tokens.output * rate.output
    )
    return (total + _MILLION // 2) // _MILLION


def tokens_of(size: int) -> int:
    """Tokens of `size` bytes of text."""
    return -(-size // _BYTES_PER_TOKEN)


@dataclass(slots=True)
class Bill:
    """A running sum. `unpriced` counts the requests whose model has no price; they add tokens but no money."""

    nano: int = 0
    requests: int = 0
    unpriced: int = 0
    tokens: Tokens = field(default_factory=Tokens)
    by_model: dict[str, Bill] = field(default_factory=dict)

    def add(self, model: str, tokens: Tokens) -> None:
        self._book(model, tokens, 1)

    def remove(self, model: str, tokens: Tokens) -> None:
        """Take off again what `add` booked."""
        self._book(model, tokens, -1)

    def _book(self, model: str, tokens: Tokens, sign: int) -> None:
        name = model if model in self.by_model or len(self.by_model) < _MAX_LINES else _OTHER_MODELS
        cost = cost_nano(model, tokens)
        for bill in (self, self.by_model.setdefault(name, Bill())):
            bill.requests += sign
            bill.nano += sign * (cost or 0)
            bill.unpriced += sign if cost is None else 0
            bill.tokens = bill.tokens.plus(tokens.times(sign))

    def copy(self) -> Bill:
        lines = {model: line.copy() for model, line in self.by_model.items()}
        return Bill(self.nano, self.requests, self.unpriced, self.tokens, lines)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Bill:
        """The inverse of dataclasses.asdict."""
        lines = {model: cls.from_json(line) for model, line in value["by_model"].items()}
        return cls(value["nano"], value["requests"], value["unpriced"], Tokens(**value["tokens"]), lines)

"""How many tokens: of a prompt by its bytes, of an answer by its task type, and what part of a prompt is cached."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from cortexd.domain.newest import Newest
from cortexd.routing.observed.sums import Line, Mean, half_life

_KEPT = half_life(50)
_OUTPUT_TOKENS = 300.0  # an answer of which nothing is known
_TRUSTED_ANSWERS = 2.0  # what is seen elsewhere counts as so many answers of a model's own
_TRUSTED_TOKENS = 1000.0  # so much prompt is taken for uncached beside what was seen
_FRAMING_TOKENS = 4096  # vendors' own, at the most
_prompt_line = partial(Line, slope=0.25, spread=4000.0)  # tokens over bytes: four bytes to a token, until it is known


class Outputs:
    """Tokens of answers: a model's for the task type, drawn to everybody's for it, and these to everybody's for all."""

    def __init__(self, most: int) -> None:
        self._own: Newest[tuple[str, str, str], Mean] = Newest(most, Mean)
        self._tasks: Newest[str, Mean] = Newest(64, Mean)
        self._all = Mean()

    def add(self, provider: str, model: str, task: str, tokens: int) -> None:
        for mean in (self._own.touch((provider, model, task)), self._tasks.touch(task), self._all):
            mean.add(tokens, _KEPT)

    def expected(self, provider: str, model: str, task: str) -> float:
        tokens = _OUTPUT_TOKENS
        for mean in (self._all, self._tasks.get(task), self._own.get((provider, model, task))):
            tokens = mean.shrunk(tokens, _TRUSTED_ANSWERS) if mean else tokens
        return tokens

    def forget(self, provider: str) -> None:
        for key in [key for key in self._own if key[0] == provider]:
            del self._own[key]


@dataclass(slots=True)
class Prompts:
    """Of one model. `size`: tokens over bytes. Parts of prompts that were read from and written to its cache: of those
    that go on with a conversation, and of others."""

    size: Line = field(default_factory=_prompt_line)
    read: dict[bool, Mean] = field(default_factory=lambda: {False: Mean(), True: Mean()})
    written: dict[bool, Mean] = field(default_factory=lambda: {False: Mean(), True: Mean()})

    def add(self, tokens: int, cached: int, written: int, *, continued: bool) -> None:
        if tokens > 0:
            self.read[continued].add(min(cached, tokens), _KEPT, tokens)
            self.written[continued].add(min(written, tokens), _KEPT, tokens)

    def measured(self, text_bytes: int, tokens: int) -> None:
        """A prompt of texts alone. What no tokenizer makes of it is no measure."""
        if tokens <= text_bytes + _FRAMING_TOKENS:
            self.size.add(text_bytes, tokens, _KEPT)

    def tokens(self, text_bytes: int) -> float:
        likely = self.size.at(text_bytes)
        return self.size.slope * text_bytes if likely is None else likely

    def shares(self, *, continued: bool) -> tuple[float, float]:
        """The parts of a prompt that are likely to be read from the cache, and written to it."""
        return tuple(means[continued].shrunk(0.0, _TRUSTED_TOKENS) for means in (self.read, self.written))  # type: ignore[return-value]

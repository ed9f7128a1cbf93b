"""A request in a vendor's own words, as far as routing has to know of it: who can have it, and what it may cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cortexd.formats import Asked, Extras, Format, Places

_MOST_OUTPUT = 131_072  # tokens, of a model of which nothing is known


@dataclass(frozen=True, slots=True)
class RawBody:
    """`asked` without its messages and options. `most_output`: tokens of one answer, None where the body sets no limit;
    `times`: how many answers it asks for. `native`: why only a provider with this API can have it, "" where others can
    have a translation. `tools`: it offers any. `keeps`: the answer's bytes may be wanted again.
    `places`: of the body's values."""

    form: Format
    body: bytes = field(repr=False)
    asked: Asked
    extras: Extras = field(default_factory=Extras)
    headers: Mapping[str, str] = field(default_factory=dict)
    most_output: int | None = None
    times: int = 1
    native: str = ""
    tools: bool = False
    keeps: bool = False
    places: Places | None = None

    @property
    def streamed(self) -> bool:
        return self.asked.stream

    @property
    def unbounded(self) -> bool:
        """Whether there may be more input than its bytes say."""
        return bool(self.extras.beyond or self.extras.fees)

    def most_tokens(self, models_own: int | None) -> int:
        """Of all its answers together; `models_own`: the longest that the model gives."""
        most = models_own or _MOST_OUTPUT
        return min(self.most_output or most, models_own or self.most_output or most) * self.times

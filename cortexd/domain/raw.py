"""A body in a vendor's own words, as one attempt sends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RawCall:
    """`content`: the JSON as it leaves. `headers`: beside the endpoint's own. `unasked`: whether an event of the
    stream, by its data, was asked for by cortexd alone; None where none was. `keeps`: the whole stream is wanted at
    its end."""

    content: bytes = field(repr=False)
    streamed: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    unasked: Callable[[bytes], bool] | None = None
    keeps: bool = False

"""A body in a vendor's own words, as one attempt sends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RawCall:
    """`content`: the JSON as it leaves. `headers`: beside the endpoint's own. `keeps`: the whole stream is wanted at
    its end. `translatable`: where the endpoint refuses it, the rest of the call says the same in words that are known
    to suit the model.

    `counted`: the same content with the usage asked for, of an endpoint that takes that; None where the program asks
    for it, or nobody has to. `unasked`: whether an event of such a stream, by its data, is there for that alone.
    """

    content: bytes = field(repr=False)
    streamed: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    keeps: bool = False
    translatable: bool = False
    counted: Callable[[], bytes] | None = None
    unasked: Callable[[bytes], bool] | None = None

"""What outcomes weigh, and which of them the daemon takes from its own sight."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceWeights:
    """What the outcome of each source weighs in what is learned, 0: nothing. One user's word is the unit."""

    test: float = 2.0
    program: float = 1.5
    user: float = 1.0
    judge: float = 0.5
    auto: float = 0.25


@dataclass(frozen=True, slots=True)
class AutomaticSettings:
    """Which facts about an answer are outcomes by themselves, of the source `auto`: the part of that source's weight
    that each has, 0: none is noted. `cut_off`: at a length that the caller did not ask for. `cancelled_half`: its
    reader left after half of what was expected. `repeated`: the same user asked the same again within a minute."""

    schema_valid: float = 0.0
    tool_call_parsed: float = 0.0
    cut_off: float = 0.0
    cancelled_half: float = 0.0
    repeated: float = 0.0

    @property
    def any(self) -> bool:
        return bool(self.schema_valid or self.tool_call_parsed or self.cut_off or self.cancelled_half or self.repeated)

"""Which of the endpoints that may be asked gets a call. No clock, no I/O: figures in, a choice out.

Two are drawn by weight and the less loaded of them is taken: as good as looking at all, and no herd runs to one that
has just become idle. Calls of one affinity go to the least loaded of those that had some of them lately, unless another
one is so much less loaded that reading the prompt anew costs less than to wait; whoever is much slower is left out.
A beginning that nobody has goes where the fewest are held, so that it pushes out no other one.
Alike ones are taken in the affinity's own order of the endpoints (rendezvous hashing: when one leaves, only its calls
move). So a frequent beginning gets as many endpoints as it needs, and a rare one no more than one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

_OVER_MEAN = 1.25  # the bounded load of consistent hashing
_UNLOADED = 12  # so many at once are no load for a server that works in batches
_MISS = 8.0  # a prompt to be read anew, in calls to wait for
_CROWD = 8.0  # what it pushes out where the most beginnings are held, in calls to wait for
_FEW = 8  # with so few held none is pushed out
_SLOW, _TOO_SLOW = 1.5, 2.0  # against the usual pace; what is less differs by chance
_LEAST_S = 0.0002  # a token: less is the network's or our own
_HASHES = 2**64


@dataclass(frozen=True, slots=True)
class Load:
    """An endpoint as the choice sees it. `weight`: the operator's; `share`: the part of it that counts now, 0 to 1;
    `pace_s`: seconds for a token of late, None where unknown; `warm`: how likely the affinity's beginning is in its
    cache, 0 to 1; `beginnings`: how many of them are."""

    id: str
    weight: float = 1.0
    share: float = 1.0
    in_flight: int = 0
    pace_s: float | None = None
    warm: float = 0.0
    beginnings: int = 0

    @property
    def counts(self) -> float:
        return self.weight * max(self.share, 0.01)


def chosen(loads: Sequence[Load], affinity: str, draw: random.Random) -> Load:
    """One of `loads`, of which there is at least one."""
    if len(loads) == 1:
        return loads[0]
    usual = usual_pace(loads)
    mean = sum(load.counts for load in loads) / len(loads)
    if affinity:
        able = [load for load in ranked(loads, affinity) if _fits(load, loads, usual)] or ranked(loads, affinity)
        most = max(load.beginnings / load.weight for load in loads)
        return min(able, key=lambda load: burden(load, usual, mean) + miss(load, usual, most))
    return min(_two(loads, draw), key=lambda load: burden(load, usual, mean))


def _fits(load: Load, loads: Sequence[Load], usual: float) -> bool:
    total, weights = sum(each.in_flight for each in loads), sum(each.counts for each in loads)
    return load.in_flight < bound(load, total, weights) and slowness(load, usual) <= _TOO_SLOW


def ranked(loads: Sequence[Load], affinity: str) -> list[Load]:
    """The order of the endpoints for this affinity; how often one leads goes by its weight."""
    return sorted(loads, key=lambda load: _rank(load, affinity))


def bound(load: Load, total: int, weights: float) -> int:
    """How many calls it may have in flight before those of an affinity go elsewhere."""
    part = load.counts / weights
    return max(math.ceil(_UNLOADED * load.share), math.ceil(_OVER_MEAN * (total + 1) * part))


def burden(load: Load, usual: float, mean: float) -> float:
    """What another call would wait for, beside others; `mean`: of what they count. Idle ones differ by pace alone, so
    that the draw by weight decides."""
    return (load.in_flight * mean / load.counts + 1) * slowness(load, usual)


def miss(load: Load, usual: float, most: float) -> float:
    """What a beginning that is likely not there costs, in calls to wait for; `most`: held for a weight of one."""
    crowd = load.beginnings / load.weight / max(most, _FEW)
    return (_MISS + _CROWD * crowd) * (1 - load.warm) * slowness(load, usual)


def usual_pace(loads: Sequence[Load]) -> float:
    """The median of what is known; 1 where nothing is."""
    known = sorted(load.pace_s for load in loads if load.pace_s is not None)
    return max(known[(len(known) - 1) // 2], 1e-9) if known else 1.0


def slowness(load: Load, usual: float) -> float:
    """How many times slower than usual, 1 where that is not sure."""
    if load.pace_s is None or load.pace_s - usual < _LEAST_S:
        return 1.0
    times = load.pace_s / usual
    return times if times > _SLOW else 1.0


def _two(loads: Sequence[Load], draw: random.Random) -> list[Load]:
    """Two different ones, drawn by weight."""
    first = _one(loads, draw)
    return [first, _one([load for load in loads if load is not first], draw)]


def _one(loads: Sequence[Load], draw: random.Random) -> Load:
    return draw.choices(loads, [load.counts for load in loads])[0]


def _rank(load: Load, affinity: str) -> float:
    digest = blake2b(f"{affinity}\0{load.id}".encode(), digest_size=8).digest()
    part = (int.from_bytes(digest, "big") + 0.5) / _HASHES
    return -math.log(part) / load.weight

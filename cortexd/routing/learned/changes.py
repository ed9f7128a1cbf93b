"""What an administrator may do to what was learned. Each gives another one and leaves the given as it was."""

from __future__ import annotations

from dataclasses import replace

from cortexd.domain.learned import TASK, CountKey, Learned, Part
from cortexd.routing.learned.counting import RECALLED, SEED, cells_of, model_of


def replaced(known: Learned, given: Learned) -> Learned:
    """`given` in place of all, but for this machine's seed."""
    return replace(given, counts=_seed(known) | dict(given.counts), begun=True)


def merged(known: Learned, given: Learned) -> Learned:
    """What another machine has learned beside what is known here. What it has shown of a model needs no first looks."""
    cells = cells_of(known)
    cells.merge(cells_of(given))
    counts = dict(known.counts)
    for task, target in given.cells:
        if not task:
            counts[RECALLED, str(target)] = cells.count("", target)
    return Learned(dict(cells), counts, begun=True)


def without(known: Learned, part: Part) -> Learned:
    """All but what that part has taught. Without any the counts begin anew too, but for this machine's seed."""
    if part.whole:
        return Learned({}, _seed(known), begun=True)
    cells = cells_of(known)
    cells.forget(part.task, part.names)
    counts = {key: value for key, value in known.counts.items() if part.task or not _of_model(key, part)}
    return Learned(dict(cells), counts, begun=True)


def _of_model(key: CountKey, part: Part) -> bool:
    name, of = key
    return name == RECALLED and part.names(model_of(of))


def _seed(known: Learned) -> dict[CountKey, int]:
    """Never empty, or the next start would recall all outcomes."""
    return {key: value for key, value in known.counts.items() if key[0] == SEED} or {(TASK, ""): 0}

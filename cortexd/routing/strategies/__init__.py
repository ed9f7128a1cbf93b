"""How candidates are ranked: a file for each strategy, named as its row in `Strategy`, with one function `rank`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module

from cortexd.domain.messages import Strategy
from cortexd.routing.candidates import Candidate, Field

# candidates in the order of the table, what they are judged by, and whether another one than the best may lead -> the
# candidates ranked, each with the words that explain its rank
Ranking = Callable[[list[Candidate], Field, bool], list[Candidate]]


@cache
def ranking(strategy: Strategy) -> Ranking:
    """The strategy's function."""
    found: Ranking = import_module(f"{__name__}.{strategy.value}").rank
    return found

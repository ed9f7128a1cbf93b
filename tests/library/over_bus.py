"""LLMRouter over the running daemon beside LLMRouter with keys of its own, on the same simulated providers."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llm_router import LLMResponse, LLMRouter, LLMRouterError
from simulated import Behaviour
from tests.bus.served import Served
from tests.library.conftest import KEYS

NEEDS_A_BUS = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="needs dbus-daemon")
BROKEN = Behaviour(status=500, error_message="out of order")


@dataclasses.dataclass(frozen=True)
class Pair:
    """A router in process and one over the bus, before the same providers."""

    own: LLMRouter
    bus: LLMRouter

    def __iter__(self) -> Iterator[LLMRouter]:
        return iter((self.own, self.bus))

    def both(self, call: Callable[[LLMRouter], Any]) -> tuple[Any, Any]:
        return call(self.own), call(self.bus)


MakePair = Callable[..., Pair]


@pytest.fixture(name="pair_of")
def pair_of_fixture(served: Served) -> Iterator[MakePair]:
    """Makes a pair with the same arguments; closes it at the end."""
    urls = {"claude_base_url": served.simulated.url("claude"), "kimi_base_url": served.simulated.url("kimi_k2")}
    made: list[Pair] = []

    def build(**arguments: Any) -> Pair:
        made.append(Pair(LLMRouter(**{**KEYS, **urls, **arguments}), LLMRouter(bus=served.address, **arguments)))
        return made[-1]

    yield build
    for pair in made:
        for router in pair:
            router.close()


@pytest.fixture(name="pair")
def pair_fixture(pair_of: MakePair) -> Pair:
    return pair_of()


@pytest.fixture(name="router")
def router_fixture(pair: Pair) -> LLMRouter:
    """Over the bus."""
    return pair.bus


def said(response: LLMResponse) -> LLMResponse:
    """All that does not depend on the clock."""
    return dataclasses.replace(response, latency_seconds=0.0)


def raised(call: Callable[[], object]) -> Exception:
    with pytest.raises(LLMRouterError) as caught:
        call()
    return caught.value

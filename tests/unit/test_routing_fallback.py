"""Whose turn it is, until one answers, and what the others said."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from cortexd.config import Config
from cortexd.config.settings import RoutingSettings
from cortexd.domain.targets import parse_targets
from cortexd.domain.tasks import TaskType
from cortexd.errors import Failure, ProviderError
from cortexd.routing import Fallback, Health, State
from tests.unit.routes import ALL, OFFICE, config, names, plan

BUSY = ProviderError(Failure.RATE_LIMITED, "busy", retry_after_ms=9000)
DOWN = ProviderError(Failure.RATE_LIMITED, "down", retry_after_ms=4000)
TOO_LONG = ProviderError(Failure.CONTEXT, "too long", 400)
CONTENT = ProviderError(Failure.CONTENT, "not that", 400)
BROKEN = ProviderError(Failure.SERVER, "broken")


def routed_to(text: str) -> Config:
    use = config(office=OFFICE)
    return dataclasses.replace(use, routing=RoutingSettings({TaskType.USER_CHAT: parse_targets(text)}))


class TestTurns:
    def test_each_once(self) -> None:
        """Where nobody answers everybody has one turn, in the plan's order."""
        made = plan(use=config(ALL))
        fallback = Fallback(made, Health())
        for candidate in fallback.turns():
            fallback.failed(candidate, BROKEN)
        assert [candidate.provider for candidate, _ in fallback.failures] == names(made)
        assert fallback.answered_by is None
        assert fallback.retry_after_ms is None

    def test_nobody_after_an_answer(self) -> None:
        """The first answer is the last turn, and what was before it stays known."""
        fallback = Fallback(plan(use=config(ALL)), Health())
        turns = fallback.turns()
        first, second, third = next(turns), next(turns), next(turns)
        fallback.failed(first, BUSY)
        fallback.skip(second, "too dear")
        fallback.answered(third)
        assert next(turns, None) is None
        assert (fallback.answered_by, [item.provider for item in fallback.skipped]) == (third, [second.provider])

    def test_a_prompt_too_long_goes_to_a_larger_context(self) -> None:
        """Whose context is known to be no larger is passed over, and nobody's health suffers."""
        health = Health()
        made = plan(use=routed_to("kimi_k2, kimi_k2/kimi-k2.7-code, office, claude"))
        fallback = Fallback(made, health)
        for candidate in fallback.turns():
            fallback.failed(candidate, TOO_LONG)
        assert [item.provider for item, _ in fallback.failures] == ["kimi_k2", "office", "claude"]
        assert [(item.model, "262144" in item.reason) for item in fallback.skipped] == [("kimi-k2.7-code", True)]
        assert {health.state(name, model) for name, model in (("kimi_k2", "kimi-k2.6"), ("office", "m"))} == {State.OK}

    @pytest.mark.parametrize(("options", "asked"), [({}, 1), ({"fallback": True}, 2)])
    def test_refused_content_stays(self, options: dict[str, Any], asked: int) -> None:
        """With whom refused it, unless the caller insists on a fallback."""
        fallback = Fallback(plan(**options), Health())
        for candidate in fallback.turns():
            fallback.failed(candidate, CONTENT)
        assert (len(fallback.failures), len(fallback.skipped)) == (asked, 2 - asked)

    def test_what_all_said(self) -> None:
        """Each failure is named with its provider and model, and the shortest wait is everybody's."""
        fallback = Fallback(plan(), Health())
        for candidate, error in zip(fallback.turns(), (BUSY, DOWN), strict=True):
            fallback.failed(candidate, error)
        names = ("claude (claude-sonnet-5-5) ", "kimi_k2 (kimi-k2.6) ")
        assert [line.startswith(name) for line, name in zip(fallback.said(), names, strict=True)] == [True, True]
        assert fallback.retry_after_ms == 4000

    def test_health_hears_of_each(self) -> None:
        """Failures of a model that a caller chose stay with that model; an answer mends the provider."""
        health = Health()
        fallback = Fallback(plan(), health)
        first, second = fallback.turns()
        fallback.failed(first, BROKEN, chosen=True)
        fallback.failed(second, BROKEN)
        assert (health.state(first.provider), health.state(second.provider)) == (State.OK, State.DEGRADED)
        assert health.state(first.provider, first.model) is State.DEGRADED
        fallback.answered(second)
        assert health.state(second.provider) is State.OK

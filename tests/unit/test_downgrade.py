"""What still answers when a budget has little left."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from cortexd.config import Config
from cortexd.domain.money import from_usd
from cortexd.domain.targets import Target
from cortexd.errors import Failure, ProviderError
from cortexd.routing import Health, Plan, Wishes, downgrade, plan_route
from cortexd.routing.wishes import NONE
from tests.unit.routes import ALL, IMAGE, OFFICE, catalog_of, config, question


def downgraded(
    left_usd: str,
    use: Config | None = None,
    health: Health | None = None,
    wishes: Wishes = NONE,
    content: Any = "hi",
    **options: Any,
) -> Plan | None:
    chosen, health = use or config(), health or Health()
    catalog = catalog_of(chosen)
    asked = question(content=content, **{"max_tokens": 1000, **options})
    made = plan_route(asked, chosen, catalog, health, wishes=wishes)
    return downgrade(made, asked, chosen, catalog, health, from_usd(left_usd))


def models(made: Plan | None) -> list[str]:
    assert made is not None
    return [candidate.model for candidate in made.candidates]


def names(made: Plan | None) -> list[str]:
    assert made is not None
    return [candidate.provider for candidate in made.candidates]


class TestDowngrade:
    def test_the_best_that_the_money_allows(self) -> None:
        """The table's provider first, of it the dearest model that fits, then the other providers'."""
        assert models(downgraded("0.03"))[:3] == ["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"]
        made = downgraded("0.009")
        assert models(made)[:1] == ["claude-haiku-5-5"]
        assert sorted(models(made)[1:]) == ["kimi-k2.6", "kimi-k2.7-code"]
        assert made is not None
        assert made.reason == "downgraded: a budget has $0.0090 left"

    def test_everything_fits_and_nothing_dearer(self) -> None:
        """No candidate can cost more than what is left, however little or much it is."""
        for left in ("0.0001", "0.0005", "0.002", "0.01", "1"):
            made = downgraded(left, config(ALL))
            for candidate in made.candidates if made else ():
                assert candidate.worst_case_nano <= from_usd(left)

    @pytest.mark.parametrize("left", ["0.000001", "0", "-1"])
    def test_nothing_fits(self, left: str) -> None:
        """None: the budget stops the request."""
        assert downgraded(left) is None

    def test_what_costs_nothing_comes_last(self) -> None:
        """A free local model answers when nothing else fits, also after the limit is passed."""
        use = config(office=OFFICE)
        assert names(downgraded("0.01", use))[-1] == "office"
        assert models(downgraded("0", use)) == ["m"]
        assert models(downgraded("-1", use)) == ["m"]

    def test_who_named_provider_or_model_is_not_moved(self) -> None:
        """The caller wants that one or none."""
        assert downgraded("0.001", provider="claude", fallback=True) is None
        assert downgraded("0.001", model="claude-opus-5-5") is None

    def test_the_same_obstacles_as_ever(self) -> None:
        """No images for a model that takes none, no key no call, and a user's local_only holds."""
        assert "kimi-k2.7-code" not in models(downgraded("1", content=IMAGE))
        assert set(names(downgraded("1"))) == {"claude", "kimi_k2"}
        assert names(downgraded("1", config(office=OFFICE), wishes=Wishes(local_only=True))) == ["office"]

    def test_a_breaker_still_demotes(self) -> None:
        """All of that provider's models come after the others."""
        health = Health()
        health.failed("claude", ProviderError(Failure.AUTHENTICATION, ""))
        made = downgraded("0.03", health=health)
        assert names(made)[0] == "kimi_k2"
        assert names(made)[-1] == "claude"

    def test_the_callers_own_limit_holds_as_well(self) -> None:
        """max_cost_usd below what the budget has left."""
        made = downgraded("1", max_cost_usd=0.012)
        assert made is not None
        assert all(item.worst_case_nano <= 12_000_000 for item in made.candidates)

    def test_without_fallback_one_alone(self) -> None:
        """Cheaper once, but no second try."""
        assert models(downgraded("0.009", fallback=False)) == ["claude-haiku-5-5"]

    def test_the_session_stays_as_far_as_it_can(self) -> None:
        """The plan's order of providers holds: the session's first."""
        made = downgraded("0.03", wishes=Wishes(sticky=Target("kimi_k2")))
        assert names(made)[0] == "kimi_k2"

    def test_a_configured_model_beyond_the_catalogue(self) -> None:
        """Counts at the dearest known price."""
        base = config()
        other = dataclasses.replace(base.providers["claude"], model="claude-next")
        use = dataclasses.replace(base, providers={**base.providers, "claude": other})
        assert "claude-next" in models(downgraded("1", use))
        assert "claude-next" not in models(downgraded("0.02", use))

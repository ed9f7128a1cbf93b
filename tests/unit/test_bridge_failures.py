"""What the bridge makes of the service's errors for those behind HTTP."""

from __future__ import annotations

import pytest

from cortexd.bridge.failures import headers, in_words
from cortexd.errors import BudgetExceeded, InteractiveAuthorizationRequired


class TestInWords:
    def test_a_password_that_nobody_can_be_asked_for(self) -> None:
        """Flags of D-Bus calls are not what a program's user can change; kind and details stay."""
        error = in_words(InteractiveAuthorizationRequired("call again with a flag", action="a.b", cause="not_asked"))
        assert type(error) is InteractiveAuthorizationRequired
        assert (error.details, "flag" in error.message) == ({"action": "a.b", "cause": "not_asked"}, False)

    @pytest.mark.parametrize(("cause", "step"), [("own_cap", "budget allow"), ("paused", "budget resume")])
    def test_a_limit_of_ones_own(self, cause: str, step: str) -> None:
        """The command that goes on comes last."""
        told = in_words(BudgetExceeded("No room is left.", cause=cause))
        assert (type(told), told.details) == (BudgetExceeded, {"cause": cause})
        assert told.message.startswith("No room is left. ")
        assert step in told.message

    def test_another_refusal(self) -> None:
        """It has words of its own."""
        error = BudgetExceeded("The daily budget is used up.", period="day")
        assert in_words(error) is error


def test_details_are_for_programs() -> None:
    """They stand in a header, and every letter of it is one that a header may have."""
    told = headers(BudgetExceeded("The budget is used up.", cause="app_budget", app="caf\u00e9\r\nx: y"))
    assert told["x-cortex-error"] == "BudgetExceeded cause=app_budget app=caf???x: y"

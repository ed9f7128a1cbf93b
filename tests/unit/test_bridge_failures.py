"""The service's refusals in words for whoever sits at a program."""

from __future__ import annotations

import pytest

from cortexd.bridge.failures import in_words
from cortexd.errors import BudgetExceeded, InteractiveAuthorizationRequired

ACTIONS = "org.cortexlinux.LLMRouter."


class TestWords:
    @pytest.mark.parametrize(("action", "step"), [("complete", "group cortex"), ("system-operation", "cortexctl ask")])
    def test_a_password_that_nobody_can_be_asked_for(self, action: str, step: str) -> None:
        """The next step is one that this person can take; the details stay for programs."""
        refused = InteractiveAuthorizationRequired("gdbus -i", action=f"{ACTIONS}{action}", cause="not_asked")
        told = in_words(refused)
        assert told.details == refused.details
        assert step in told.message
        assert "gdbus" not in told.message

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

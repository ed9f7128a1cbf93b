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

    def test_another_refusal(self) -> None:
        """It has words of its own."""
        error = BudgetExceeded("The daily budget is used up.", period="day")
        assert in_words(error) is error

"""What the bridge makes of the service's errors for those behind HTTP."""

from __future__ import annotations

import pytest

from cortexd.bridge.failures import in_words
from cortexd.errors import AccessDenied, BudgetExceeded, CortexError, InteractiveAuthorizationRequired


class TestInWords:
    def test_a_password_that_nobody_can_be_asked_for(self) -> None:
        """Flags of D-Bus calls are not what a program's user can change; kind and details stay."""
        error = in_words(InteractiveAuthorizationRequired("call again with a flag", action="a.b", cause="not_asked"))
        assert type(error) is InteractiveAuthorizationRequired
        assert (error.details, "flag" in error.message) == ({"action": "a.b", "cause": "not_asked"}, False)

    @pytest.mark.parametrize("error", [AccessDenied("no", action="a.b"), BudgetExceeded("no")])
    def test_others(self, error: CortexError) -> None:
        """Are said as the service says them."""
        assert in_words(error) is error

"""What people read of a provider's failure."""

from __future__ import annotations

import pytest

from cortexd.errors import IN_WORDS, Failure, ProviderError
from cortexd.providers.failures import status_error


class TestInWords:
    def test_each_failure_has_words(self) -> None:
        """Each its own, so that two kinds can be told apart."""
        assert set(IN_WORDS) == set(Failure)
        assert len(set(IN_WORDS.values())) == len(Failure)

    @pytest.mark.parametrize("failure", list(Failure))
    def test_one_colon_at_most(self, failure: Failure) -> None:
        """Before what the provider itself said; and the key stays with logs and programs."""
        error = ProviderError(failure, "HTTP 500, out of order", may_have_billed=True)
        assert error.in_words == f"{IN_WORDS[failure]}: HTTP 500, out of order"
        assert error.in_words.count(":") == 1
        assert str(error).startswith(failure.value)

    def test_a_status(self) -> None:
        """A provider's own words follow the status."""
        error = status_error(500, {}, b'{"error": {"message": "out of order"}}')
        assert error.message == "HTTP 500, out of order"

    def test_never_reached(self) -> None:
        """A connection that never was broke off nowhere."""
        reached = ProviderError(Failure.CONNECTION, "", may_have_billed=True)
        assert ProviderError(Failure.CONNECTION, "").in_words != reached.in_words

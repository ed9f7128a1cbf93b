"""Errors carry their machine-readable values in the text, both ways."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cortexd import errors
from cortexd.connection.wire import error_from, error_name, error_text
from cortexd.errors import (
    AnswerExpired,
    CortexError,
    Denial,
    Failure,
    InteractiveAuthorizationRequired,
    NoProviderAvailable,
    RateLimited,
    tried_detail,
    tried_of,
)


class TestDetails:
    def test_details_end_the_text(self) -> None:
        """A shell user reads the sentence, a program the brackets."""
        assert str(RateLimited("slow down", retry_after_ms=3000)) == "slow down [retry_after_ms=3000]"

    def test_text_gives_the_error_back(self) -> None:
        """The client rebuilds what the daemon raised."""
        error = AnswerExpired.from_text(str(AnswerExpired("gone", cost_nano_usd=-5, why="old")))
        assert (error.message, error.details) == ("gone", {"cost_nano_usd": -5, "why": "old"})

    def test_brackets_that_are_no_details_stay_text(self) -> None:
        """`messages[2].role` is a path, not a detail."""
        text = "messages[2].role: expected one of user [and more]"
        assert CortexError.from_text(text).message == text

    def test_no_text_takes_long_to_read(self) -> None:
        """Text of a provider that nearly looks like details is read as any other."""
        text = f"it said [{'a=a' * 2000} "
        assert CortexError.from_text(text).message == text

    def test_who_was_tried(self) -> None:
        """Provider and failure of each attempt come back in their order; nobody was tried where nothing is said."""
        attempts = {"kimi_k2": Failure.TIMEOUT, "claude": Failure.SERVER, "7": Failure.REFUSED}
        error = NoProviderAvailable("none", tried=tried_detail(attempts.items()))
        assert list(tried_of(CortexError.from_text(str(error))).items()) == list(attempts.items())
        assert tried_of(NoProviderAvailable("none")) == {}

    @given(st.text(max_size=30), st.integers(0, 20_000))
    def test_details_survive_the_bus(self, words: str, length: int) -> None:
        """However long or odd the sentence, the client reads the details that the daemon gave."""
        error = InteractiveAuthorizationRequired(words + "x [a=b] " * length, action="org.x", cause=Denial.NOT_ASKED)
        text = error_text(error)
        assert len(text) <= 8192
        found = error_from(error_name(error), text)
        assert (type(found), found.details) == (type(error), {"action": "org.x", "cause": "not_asked"})

    def test_every_error_is_drawn_in_the_docstring(self) -> None:
        """The tree at the top of the module is complete."""
        names = [name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)]
        assert [name for name in names if name not in (errors.__doc__ or "")] == []

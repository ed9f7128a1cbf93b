"""Errors carry their machine-readable values in the text, both ways."""

from __future__ import annotations

from cortexd import errors
from cortexd.errors import AnswerExpired, CortexError, RateLimited


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

    def test_every_error_is_drawn_in_the_docstring(self) -> None:
        """The tree at the top of the module is complete."""
        names = [name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)]
        assert [name for name in names if name not in (errors.__doc__ or "")] == []

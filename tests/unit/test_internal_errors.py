"""What is logged of an error that nobody foresaw."""

from __future__ import annotations

import logging

import pytest

from cortexd.requests.internal_errors import internal_error


def test_where_and_of_what_kind_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    """An exception's text may quote a prompt: neither the log nor the caller gets it, both get the same reference."""
    with caplog.at_level(logging.ERROR, "cortexd.service"):
        try:
            raise ValueError("a canary prompt")
        except ValueError:
            told = internal_error("while answering request %s", "r-1")
    text = caplog.text
    assert "while answering request r-1: ValueError\nTraceback (most recent call last):\n" in text
    assert "test_internal_errors.py" in text
    assert str(told).rpartition(" ")[2] in text
    assert "canary prompt" not in text.replace('raise ValueError("a canary prompt")', "")

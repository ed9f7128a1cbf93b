"""What comes from outside is made safe once, without hurting ordinary text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.domain.safe_values import bounded_text, safe_text, token_count


class TestSafeText:
    @pytest.mark.parametrize("bad", ["\x00", "\ud800", "\ufffe", "\uffff", "\ufdd0", "\U0001fffe", "\U0010ffff"])
    def test_what_the_bus_refuses_is_replaced(self, bad: str) -> None:
        """NUL, surrogates and noncharacters become U+FFFD."""
        assert safe_text(f"a{bad}b") == "a\ufffdb"

    @pytest.mark.parametrize("good", ["", "plain", "Zürich 🎯 漢字", "tab\tnew\nline", "\x1b[31m"])
    def test_ordinary_text_stays(self, good: str) -> None:
        """Everything else passes unchanged, control characters included."""
        assert safe_text(good) == good

    @given(st.text(st.characters()))
    def test_result_always_encodes(self, text: str) -> None:
        """Whatever comes in, UTF-8 without NUL goes out."""
        assert b"\x00" not in safe_text(text).encode()

    @pytest.mark.parametrize("plane", range(17))
    def test_a_quick_look_overlooks_nothing(self, plane: int) -> None:
        """The last two of every plane, wherever they stand in a text of others."""
        for last in (0xFFFE, 0xFFFF):
            assert safe_text(f"größer{chr(plane << 16 | last)}漢") == "größer\ufffd漢"
        for other in range(0xFDD0, 0xFDF0):
            assert safe_text(f"﷽{chr(other)}") == "﷽\ufffd"

    def test_long_values_are_cut_visibly(self) -> None:
        """A bounded text shows that something is missing."""
        assert bounded_text("x" * 50, 10) == "x" * 9 + "…"


class TestTokenCount:
    @pytest.mark.parametrize(
        ("value", "count"),
        [
            *((7, 7), (-1, 0), (2**40, 2**40), (2**70, 2**40), (math.nan, 0), (math.inf, 0), (3.9, 3)),
            *(("12", 0), (None, 0), (True, 0)),
        ],
    )
    def test_counts_are_clamped(self, value: object, count: int) -> None:
        """A provider's claim becomes an integer that the ledger and the bus can hold."""
        assert token_count(value) == count

"""The map that keeps what was touched last."""

from __future__ import annotations

from cortexd.domain.newest import Newest


class TestNewest:
    def test_the_longest_untouched_goes_first(self) -> None:
        """By touching and by putting alike; looking at an entry does not keep it."""
        kept: Newest[str, list[int]] = Newest(3, list)
        for name in "abc":
            kept.touch(name).append(1)
        kept.touch("a").append(2)
        kept.put("b", [3])
        assert kept.get("c") == [1]
        kept.touch("d")
        assert dict(kept) == {"a": [1, 2], "b": [3], "d": []}

    def test_more_than_fits_is_cut_with_the_next(self) -> None:
        """However it came in."""
        kept: Newest[int, int] = Newest(2, int)
        kept.update({number: number for number in range(5)})
        kept.put(9, 9)
        assert dict(kept) == {4: 4, 9: 9}

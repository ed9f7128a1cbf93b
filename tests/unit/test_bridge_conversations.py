"""Conversations that a program goes on with by the name of an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.bridge.conversations import Conversations
from cortexd.errors import InvalidArgument


class TestConversations:
    @given(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=12))
    def test_an_answer_given_again_is_kept_once(self, names: list[str]) -> None:
        """However often: the last two that have room can be gone on with."""
        said = [{"role": "user", "content": "x" * 300}]
        known = Conversations(most_bytes=1000)
        for name in names:
            known.keep(name, said)
        for name in list(dict.fromkeys(reversed(names)))[:2]:
            whole = known.whole({"previous_response_id": name, "input": "go on"})
            assert whole == {"input": [*said, {"role": "user", "content": "go on"}]}

    def test_one_that_is_not_kept(self) -> None:
        """Is refused; a body that goes on from nothing stays as it is."""
        known = Conversations()
        assert known.whole({"input": "hello"}) == {"input": "hello"}
        for name in ("resp_of_nobody", ["x"]):
            with pytest.raises(InvalidArgument):
                known.whole({"previous_response_id": name, "input": "hello"})

"""Conversations that a program goes on with by the name of an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexd.bridge.conversations import Conversations
from cortexd.errors import InvalidArgument

SAID = b'[{"role": "user","content":"\\u0041", "n":1.0e2}]'


def response(name: str, output: bytes) -> bytes:
    return b'{"id": "%s", "more": 1, "output": %s}' % (name.encode(), output)


def read(body: bytes) -> Any:
    return json.loads(body)["input"]


class TestConversations:
    @given(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=12))
    def test_an_answer_given_again_is_kept_once(self, names: list[str]) -> None:
        """However often: the last two that have room can be gone on with."""
        said = json.dumps([{"role": "user", "content": "x" * 300}])
        known = Conversations(most_bytes=1000)
        for name in names:
            known.keep(b'{"input": %s}' % said.encode(), response(name, b"[]"))
        for name in list(dict.fromkeys(reversed(names)))[:2]:
            whole = known.whole(b'{"input": "go on"}', name)
            assert read(whole) == [*json.loads(said), {"role": "user", "content": "go on"}]

    def test_items_keep_their_bytes(self) -> None:
        """What was said and what was answered, text as one item; all else of the body stays as it is."""
        known = Conversations()
        known.keep(b'{"input": %s}' % SAID, response("a", b'[ {"type":"reasoning","encrypted_content":"\\/"} ]'))
        body = b'{"previous_response_id":"a", "input" : "who?", "n":1.0e2}'
        assert known.whole(body, "a") == (
            b'{"previous_response_id":null, "input" : ['
            + SAID[1:-1]
            + b',{"type":"reasoning","encrypted_content":"\\/"},{"role":"user","content":"who?"}], "n":1.0e2}'
        )

    @pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
    def test_of_a_stream(self, newline: bytes) -> None:
        """The event that ends it has the whole response."""
        known = Conversations()
        said = {"type": "message", "text": "an event has data: and an end"}
        data = b'{"type":"response.completed","response":%s}' % response("a", json.dumps([said]).encode())
        events = [b"event: x", b'data: {"type":"x"}', b"", b"event: response.completed", b"data: " + data, b"", b""]
        known.keep_streamed(b'{"input": "hello"}', newline.join(events))
        assert read(known.whole(b'{"input": []}', "a")) == [{"role": "user", "content": "hello"}, said]

    def test_one_that_is_not_kept(self) -> None:
        """Is refused; a body that goes on from nothing stays as it is; what is no response is not kept."""
        known = Conversations()
        known.keep(b'{"input": "hello"}', b'{"id": "a", "error": "none"}')
        known.keep_streamed(b'{"input": "hello"}', b'data: {"type": "response.completed"}\n\n')
        assert known.whole(b'{"input": "hello"}', None) == b'{"input": "hello"}'
        for name in ("a", ["x"], 7):
            with pytest.raises(InvalidArgument):
                known.whole(b'{"input": "hello"}', name)

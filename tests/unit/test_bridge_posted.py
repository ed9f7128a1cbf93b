"""What the bridge reads of a body; the rest goes on unread."""

from __future__ import annotations

import pytest

from cortexd.bridge.conversations import Conversations
from cortexd.bridge.posted import CHAT, MESSAGES, RESPONSES, Posted, read_posted
from cortexd.errors import InvalidArgument
from cortexd.formats import Format

BODIES = [
    b"",
    b"[]",
    b"\xff",
    b'{"model":1}',
    b'{"prompt_cache_key":[]}',
    b'{"a":NaN}',
    b'{"model": "auto"} {}',
    b'{"model": "auto", "user": "\xe6"}',
    b'{"model": "auto", "metadata": {"user_id": "\xed\xa0\x80"}}',
    b'{"model": "auto", "\xff": 1}',
]


def read(form: Format, body: bytes) -> Posted:
    return read_posted(form, body, Conversations())


class TestPosted:
    @pytest.mark.parametrize(
        ("form", "body", "session"),
        [
            (CHAT, b'{"model":"m","stream":true,"prompt_cache_key":"talk","metadata":[1.0e2]}', "talk"),
            (MESSAGES, b'{"model":"m","stream":true,"metadata":{"user_id":"talk","x":1}}', "talk"),
            (MESSAGES, b'{"model":"m","stream":true,"metadata":7}', ""),
            (RESPONSES, b'{"model":"m","stream":true,"prompt_cache_key":null,"store":false}', ""),
        ],
    )
    def test_what_the_bus_has_to_know(self, form: Format, body: bytes, session: str) -> None:
        """Model, stream and the conversation's name; the body stays as it is."""
        assert read(form, body) == Posted(form, body, "m", True, session, False)

    def test_answers_that_may_be_gone_on_from(self) -> None:
        """OpenAI's responses, unless the program wants nothing kept."""
        assert read(RESPONSES, b'{"input":"hello"}').keeps
        assert not read(RESPONSES, b'{"input":"hello","store":false}').keeps
        assert not read(CHAT, b'{"messages":[]}').keeps

    @pytest.mark.parametrize("body", BODIES)
    def test_what_is_no_body(self, body: bytes) -> None:
        """Is refused without asking the bus."""
        with pytest.raises(InvalidArgument):
            read(CHAT, body)

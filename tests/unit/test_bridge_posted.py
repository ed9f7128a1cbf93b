"""What the bridge reads of a body before it goes on as it is."""

import pytest

from cortexd.bridge.conversations import Conversations
from cortexd.bridge.posted import CHAT, MESSAGES, RESPONSES, read_posted
from cortexd.errors import InvalidArgument
from cortexd.formats import Format

_BODIES = [
    b"",
    b"[]",
    b'{"model": ["auto"]}',
    b'{"model": "auto"} {}',
    b'{"model": "auto", "user": "\xe6"}',
    b'{"model": "auto", "metadata": {"user_id": "\xed\xa0\x80"}}',
    b'{"model": "auto", "\xff": 1}',
]


class TestRefused:
    @pytest.mark.parametrize("form", [CHAT, MESSAGES, RESPONSES])
    @pytest.mark.parametrize("body", _BODIES)
    def test_what_is_no_json_object_in_utf8(self, form: Format, body: bytes) -> None:
        """Wherever in it the fault is: the bus takes text alone."""
        with pytest.raises(InvalidArgument):
            read_posted(form, body, Conversations())

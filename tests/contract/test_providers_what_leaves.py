"""What a request tells a provider beside its messages and options: nothing of the user, of the machine its kind."""

from __future__ import annotations

import json

import pytest

from cortexd.errors import ProviderError
from tests.contract.conftest import HostileServer, MakeProvider, call
from tests.contract.kinds import each

HEADERS = {"host", "connection", "accept", "accept-encoding", "content-type", "content-length"}
KEY_AND_VERSION = {"authorization", "x-api-key", "anthropic-version", "user-agent"}
# Versions of the SDK and of Python, operating system and processor.
OF_THE_SDK = {
    f"x-stainless-{name}"
    for name in (
        "async", "arch", "lang", "os", "package-version", "retry-count", "runtime", "runtime-version", "timeout",
    )
}  # fmt: skip
BODY = {"model", "messages", "max_tokens", "max_completion_tokens", "stream", "stream_options"} | {
    "input", "max_output_tokens", "store",
}  # fmt: skip


@each
class TestRequest:
    async def test_says_nothing_else(self, hostile: HostileServer, make: MakeProvider, name: str) -> None:
        """Headers: the key and what the SDK is and runs on. Body: model, messages, options."""
        hostile.json("{}", "500 Oops")
        with pytest.raises(ProviderError, match="HTTP 500"):
            await make(name, hostile.url(name)).complete(call(name, "good morning"))
        head, _, body = hostile.requests[0].partition(b"\r\n\r\n")
        headers = {line.partition(":")[0].lower() for line in head.decode().split("\r\n")[1:]}
        assert headers - HEADERS - KEY_AND_VERSION - OF_THE_SDK == set()
        assert json.loads(body).keys() <= BODY
        assert "good morning" in body.decode()

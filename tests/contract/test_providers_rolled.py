"""Rolled streams, right and wrong, through the real SDKs over real HTTP: the daemon's verdict is the plain reader's."""

from __future__ import annotations

import json
import random

import pytest

from cortexd.errors import ProviderError
from tests.contract.conftest import HostileServer, MakeProvider, call
from tests.contract.kinds import KINDS
from tests.contract.test_providers_streams import Ear
from tests.unit.plain_reader import Read, read
from tests.unit.rolled_streams import Rolled, pieces, rolled

NAMES = {kind.api: name for name, kind in KINDS.items()}
TYPES = (
    "text/event-stream",
    "text/event-stream; charset=utf-8",
    "text/plain",
    "application/json",
    "x/unheard-of",
    None,
)


def serve(hostile: HostileServer, stream: Rolled, content_type: str | None) -> None:
    named = f"content-type: {content_type}\r\n" if content_type else ""
    hostile.events(*(list(filter(None, pieces(stream.body, stream.rng))) or [b""]))
    hostile.reply = f"HTTP/1.1 200 OK\r\n{named}connection: close\r\n\r\n".encode()


class TestRolled:
    @pytest.mark.parametrize("api", list(NAMES))
    async def test_over_http(self, hostile: HostileServer, make: MakeProvider, api: str) -> None:
        """Whatever the server calls its stream, and whether it was asked for one."""
        provider = make(NAMES[api], hostile.url(NAMES[api]))
        wrong: list[tuple[list[str], object]] = []
        for stream in (item for number in range(250) if (item := rolled(f"http {number}")).api == api):
            rng, ear = random.Random(stream.body), Ear()
            serve(hostile, stream, rng.choice(TYPES))
            found: Read | None = None
            try:
                answer = await provider.complete(call(NAMES[api]), rng.choice((ear.listener, None)))
                found = Read(
                    answer.content,
                    tuple(
                        (wish.name, json.dumps(json.loads(wish.arguments), sort_keys=True, ensure_ascii=False))
                        for wish in answer.tool_calls
                    ),
                    answer.finish_reason,
                )
            except ProviderError as error:
                wrong += [] if error.may_have_billed else [(stream.defects, error)]
            wrong += [] if found == read(api, stream.body) else [(stream.defects, found)]
        assert wrong == []

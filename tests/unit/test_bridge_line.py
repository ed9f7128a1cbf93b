"""What a handler of the bridge raises, over a real socket."""

from __future__ import annotations

import asyncio
import os

import pytest
from aiohttp import web
from aiohttp.web_request import BaseRequest

from cortexd.bridge.lines import Lines
from cortexd.bridge.server import Line

HEAD = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def said(error: Exception) -> bytes:
    """All that comes back where the handler raises `error`."""

    async def fails(_request: BaseRequest) -> web.StreamResponse:
        raise error

    loop = asyncio.get_running_loop()
    serving = await loop.create_server(Lines(os.getuid()).factory(web.Server(fails), loop, Line), "127.0.0.1", 0)
    async with serving, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(*serving.sockets[0].getsockname())
        writer.write(HEAD)
        told = await reader.read()
        writer.close()
    return told


class TestRaised:
    async def test_a_fault(self, caplog: pytest.LogCaptureFixture) -> None:
        """Is told in the API's form, and stands in the log."""
        told = await said(ValueError("a fault of ours"))
        assert told.startswith(b"HTTP/1.1 500 ")
        assert b'"message":"The bridge failed."' in told
        assert "a fault of ours" in caplog.text

    async def test_a_program_that_has_left(self, caplog: pytest.LogCaptureFixture) -> None:
        """Is no fault: there is nobody to tell, and nothing to look into."""
        assert await said(ConnectionResetError("Cannot write to closing transport")) == b""
        assert not caplog.records

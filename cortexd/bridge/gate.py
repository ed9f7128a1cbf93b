"""What stands before every handler: who asks, and a body that comes in good time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_request import BaseRequest

from cortexd.bridge.guards import refuse_browsers, refuse_other_users, refuse_without
from cortexd.bridge.lines import line_of
from cortexd.errors import AccessDenied, CortexError, InvalidArgument, TooLarge

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_BODY_S = 60.0
_SAYS_NOTHING = ("/health", "/")  # but that there is a bridge


class Gate:
    """`own`: whose bridge it is; `key`: what programs give on its port, "" where it has none; `body_s`: how long a body
    may take."""

    def __init__(self, own: int, key: str, body_s: float = _BODY_S) -> None:
        self._own = own
        self._key = key
        self._body_s = body_s

    def before(self, failed: Callable[[BaseRequest, CortexError], web.StreamResponse]) -> Callable[..., Any]:
        """A middleware. `failed`: an error in the words of the API that is asked."""

        @web.middleware
        async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
            line_of(request).heard = True
            try:
                self._admit(request)
                await self._whole(request)
            except CortexError as error:
                told = failed(request, error)
                told.force_close()
                return told
            return await handler(request)

        return gate

    def _admit(self, request: web.Request) -> None:
        """Raises AccessDenied, or InvalidArgument for what is no request of a program."""
        tcp = _is_tcp(request)
        refuse_browsers(request.headers, request.method, request.raw_path, tcp=tcp)
        if request.path in _SAYS_NOTHING:
            return
        if tcp:
            refuse_without(self._key, request.headers)
        refuse_other_users(line_of(request).uid, self._own)

    async def _whole(self, request: web.Request) -> None:
        """Raises InvalidArgument for a body that does not come, and TooLarge; other flaws are its reader's to tell."""
        try:
            async with asyncio.timeout(None if request.content.is_eof() else self._body_s):
                await request.read()
        except TimeoutError:
            raise InvalidArgument(f"The body did not come within {self._body_s:g} s.") from None
        except web.HTTPRequestEntityTooLarge:
            raise TooLarge(f"The body may have {request.client_max_size} bytes at most.") from None
        except web.RequestPayloadError:
            return


def _is_tcp(request: web.Request) -> bool:
    peer = None if request.transport is None else request.transport.get_extra_info("socket")
    if peer is None:
        raise AccessDenied("The connection has closed already.")
    return bool(peer.family != socket.AF_UNIX)

"""Posting a body with the headers of an SDK's client, over its connections.

The SDK's own `post` puts each request together anew, which takes as much processor time as sending it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from cortexd.providers.request_body import LongBody
from cortexd.providers.transport import REQUEST_HEADERS


class Refused(Exception):
    """A `response` other than 2xx, read."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.response = response


class Unreached(Exception):
    """No response came; the cause says why."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A response whose body is unread."""

    response: httpx2.Response

    async def close(self) -> None:
        await self.response.aclose()


class Posting:
    """To `address`. `client`: the SDK's."""

    def __init__(self, client: Any, http: httpx2.AsyncClient, address: str, timeout: httpx2.Timeout) -> None:
        own = {**client.default_headers, **client.auth_headers, **REQUEST_HEADERS}
        self._headers = httpx2.Headers({name: value for name, value in own.items() if isinstance(value, str)})
        self._http, self._url = http, httpx2.URL(address)
        self._timeout = timeout.as_dict()

    async def post(self, content: bytes | LongBody, headers: Mapping[str, str]) -> Unread:
        """Raises Refused, Unreached, and httpx2's errors where a refusal breaks off."""
        given = self._headers.copy()
        given.update(headers)
        request = httpx2.Request(
            "POST", self._url, headers=given, content=content, extensions={"timeout": self._timeout}
        )
        try:
            response = await self._http.send(request, stream=True)
        except Exception as error:
            raise Unreached(str(error)) from error
        if not response.is_success:
            await response.aread()
            raise Refused(response)
        return Unread(response)

"""Where an endpoint that does not know the API's path answers instead, and what to set then."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import aiohttp
import httpx2

from cortexd.providers.kinds import ApiKind
from cortexd.providers.transport import REQUEST_HEADERS

_V1 = "/v1"
_LOOK_S = 5.0
_ABSENT = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


class Lookout:
    """Looks once at the paths of `kind.elsewhere`, by a body that costs nothing. `provider`: its name in settings."""

    def __init__(self, provider: str, client: Any, http: httpx2.AsyncClient, kind: ApiKind) -> None:
        self._provider = provider
        self._client = client
        self._http = http
        self._path = kind.path
        below = client.base_url.path.endswith(f"{_V1}/")
        self._elsewhere = {path: advice for path, advice in kind.elsewhere.items() if not (below and _of_v1(path))}
        self._advice: str | None = None

    async def advice(self) -> str:
        """What to add to the failure's message; empty where the path is right, or nothing else is."""
        if self._advice is None and self._elsewhere:
            with suppress(httpx2.HTTPError, aiohttp.ClientError, TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    self._advice = await self._look()
        return (self._advice or "").format(name=self._provider)

    async def _look(self) -> str:
        if await self._answers(self._path):
            return ""
        for path, advice in self._elsewhere.items():
            if await self._answers(path):
                return advice
        return ""

    async def _answers(self, path: str) -> bool:
        headers = {**REQUEST_HEADERS, **self._client.auth_headers}
        url = self._client.base_url.join(f".{path}")
        return (await self._http.post(url, content=b"{}", headers=headers)).status_code not in _ABSENT


def _of_v1(path: str) -> bool:
    return path.startswith(f"{_V1}/")

"""Where an endpoint that does not know the API's path answers instead, and what to set then."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus

import httpx2

from cortexd.providers.kinds import ApiKind
from cortexd.providers.posting import Posting, Unreached

_V1 = "/v1"
_LOOK_S = 5.0
_ABSENT = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


class Lookout:
    """Looks once at the paths of `kind.elsewhere` below `base`, by a body that costs nothing. `provider`: its name in
    settings."""

    def __init__(self, provider: str, base: httpx2.URL, posting: Posting, kind: ApiKind) -> None:
        self._provider = provider
        self._base = base
        self._posting = posting
        self._path = kind.path
        below = base.path.endswith(f"{_V1}/")
        self._elsewhere = {path: advice for path, advice in kind.elsewhere.items() if not (below and _of_v1(path))}
        self._advice: str | None = None

    async def advice(self) -> str:
        """What to add to the failure's message; empty where the path is right, or nothing else is."""
        if self._advice is None and self._elsewhere:
            with suppress(Unreached, TimeoutError):
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
        return await self._posting.status(str(self._base.join(f".{path}"))) not in _ABSENT


def _of_v1(path: str) -> bool:
    return path.startswith(f"{_V1}/")

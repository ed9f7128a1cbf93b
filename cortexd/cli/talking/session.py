"""One command's conversation with the service, from connecting to leaving."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from cortexd.cli.settings import Settings
from cortexd.errors import InteractiveAuthorizationRequired

if TYPE_CHECKING:  # the client brings dbus_next and asyncio's network half: only for a command that calls
    from cortexd.client import AsyncClient

T = TypeVar("T")


def run(settings: Settings, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
    """What `work` gives. Where the service wants a password and a person is there, `work` runs a second time.

    Ctrl-C ends it, and with the connection the request. Raises one of cortexd.errors.
    """
    return asyncio.run(_converse(settings, work))


async def _converse(settings: Settings, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
    async with client_of(settings) as client:
        return await with_password(client, work)


def client_of(settings: Settings, *, start: bool = True) -> AsyncClient:
    """A client of the bus and with the patience that the command line asks for; `start` as AsyncClient has it."""
    from cortexd.client import DEFAULT_TIMEOUT_S, AsyncClient

    timeout_s = DEFAULT_TIMEOUT_S if settings.timeout_s is None else settings.timeout_s
    return AsyncClient(settings.bus, timeout_s=timeout_s, start=start)


async def with_password(client: AsyncClient, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
    """What `work` gives, the second time where a person has to be asked for a password first."""
    from cortexd.cli.talking.agent import authentication_agent

    try:
        return await work(client)
    except InteractiveAuthorizationRequired as refusal:
        async with authentication_agent(refusal):
            client.interactive = True
            try:
                return await work(client)
            finally:
                client.interactive = False

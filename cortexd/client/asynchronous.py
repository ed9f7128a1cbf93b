"""AsyncClient: the service's methods for asyncio."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

from dbus_next import MessageFlag

from cortexd import wire
from cortexd.client.link import DEFAULT_TIMEOUT_S, Link
from cortexd.client.outgoing import Messages, messages_out, options_out
from cortexd.client.results import Completion, Decision, Properties, ProviderInfo, Stats, filled
from cortexd.client.subscription import Subscription

_LONGEST_DEADLINE_MS = 3_600_000
_SETTLING_S = 2.0  # what the service may take to answer Timeout after a request's deadline


class AsyncClient:
    """Any number of tasks of one event loop may call at once. Connects with the first call, and again after the
    bus connection was lost; a call that was under way then fails with ServiceUnavailable and is not repeated.

    `bus`: "system", "session" or a D-Bus address. `timeout_s` bounds each call; one of your own choosing is also
    the request's deadline, so that the service stops paying for an answer nobody waits for. `interactive` lets
    polkit ask a person, which needs an authentication agent. Options are those of the interface file as plain
    Python values, JSON Schemas as dictionaries or as text.
    """

    def __init__(self, bus: str = "system", *, timeout_s: float = DEFAULT_TIMEOUT_S, interactive: bool = False) -> None:
        self.interactive = interactive
        self.timeout_s = timeout_s
        self._bus = bus
        self._link = Link(bus)
        self._subscriptions: WeakSet[Subscription] = WeakSet()

    @property
    def unique_name(self) -> str:
        """Our name on the bus, by which polkit knows us; empty before connect() and after a loss."""
        return self._link.unique_name

    async def connect(self) -> Self:
        """Connect now and not with the first call. Raises ServiceUnavailable where the bus cannot be reached."""
        await self._link.connection()
        return self

    async def close(self) -> None:
        """Leave the bus and end the subscriptions. Requests under way end, but for those with a request_id."""
        for subscription in list(self._subscriptions):
            await subscription.close()
        await self._link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def ask(self, prompt: str, task_type: str = "user_chat", **options: Any) -> str:
        """The answer to one prompt. Raises one of cortexd.errors, as every method does."""
        return (await self.complete(task_type, prompt, **options)).content

    async def complete(self, task_type: str, messages: Messages, **options: Any) -> Completion:
        """The answer to a conversation: message dictionaries, or one text for a single user message."""
        body = [str(task_type), messages_out(messages), options_out(self._with_deadline(options))]
        timeout_s = self.timeout_s + _SETTLING_S
        content, metadata = await self._call("CompleteWithOptions", "saa{sv}a{sv}", body, timeout_s=timeout_s)
        return Completion.of(content, metadata)

    async def route(self, task_type: str, messages: Messages = "", **options: Any) -> Decision:
        """What complete() would do; spends nothing."""
        [decision] = await self._call(
            "Route", "saa{sv}a{sv}", [str(task_type), messages_out(messages), options_out(options)]
        )
        return Decision.of(decision)

    async def stats(self) -> Stats:
        """This user's counters since the last reset."""
        [stats] = await self._call("GetStats", interface=wire.USAGE_INTERFACE)
        return Stats.of(stats)

    async def reset_stats(self) -> None:
        """Start this user's counters again; the ledger keeps everything."""
        await self._call("ResetStats", interface=wire.USAGE_INTERFACE)

    async def providers(self) -> list[ProviderInfo]:
        """Every provider, configured or not."""
        [rows] = await self._call("ListProviders", interface=wire.MANAGER_INTERFACE)
        return [filled(ProviderInfo, {**row, "raw": row}) for row in rows]

    async def properties(self) -> Properties:
        """The service's version, features and totals."""
        [values] = await self._call("GetAll", "s", [wire.INTERFACE], interface="org.freedesktop.DBus.Properties")
        return Properties.of(values)

    def subscribe(self, filter: Mapping[str, str] | None = None) -> Subscription:
        """Costs of this user's requests as they arise. `filter`: task_type and provider, to see only such."""
        self._link.refuse_if_closed()
        subscription = Subscription(self._bus, filter or {})
        self._subscriptions.add(subscription)
        return subscription

    def _with_deadline(self, options: dict[str, Any]) -> dict[str, Any]:
        deadline_ms = max(1, round(self.timeout_s * 1000))
        if self.timeout_s == DEFAULT_TIMEOUT_S or deadline_ms > _LONGEST_DEADLINE_MS:
            return options
        return {"deadline_ms": deadline_ms, **options}

    async def _call(
        self,
        member: str,
        signature: str = "",
        body: list[Any] | None = None,
        *,
        interface: str = wire.INTERFACE,
        timeout_s: float | None = None,
    ) -> list[Any]:
        flags = MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION if self.interactive else MessageFlag.NONE
        return await self._link.call(
            interface, member, signature, body, timeout_s=timeout_s or self.timeout_s, flags=flags
        )

"""The exported methods and properties: each takes the caller and plain values, and gives the reply's body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dbus_next import Variant

from cortexd import __version__, wire
from cortexd.access import Caller
from cortexd.bus import replies
from cortexd.bus.dispatch import Handler
from cortexd.bus.watchers import Watchers
from cortexd.money import to_usd
from cortexd.service import Service, prompt_messages
from cortexd.tasks import TaskType

FEATURES = ("tools", "images", "response_schema", "idempotency")


class Objects:
    """What stands behind the interface file."""

    def __init__(self, service: Service, watchers: Watchers) -> None:
        self._service = service
        self._watchers = watchers

    async def ask(self, caller: Caller, task_type: str, prompt: str) -> list[Any]:
        completion = await self._service.complete(caller, task_type, prompt_messages(prompt), {})
        return [wire.string(completion.content)]

    async def complete(self, caller: Caller, task_type: str, messages: Any) -> list[Any]:
        return await self.complete_with_options(caller, task_type, messages, {})

    async def complete_with_options(self, caller: Caller, task_type: str, messages: Any, options: Any) -> list[Any]:
        completion = await self._service.complete(caller, task_type, messages, options)
        return [wire.string(completion.content), wire.dictionary(replies.metadata(completion))]

    async def route(self, caller: Caller, task_type: str, messages: Any, options: Any) -> list[Any]:
        return [wire.dictionary(replies.decision(self._service.route(caller, task_type, messages, options)))]

    async def subscribe(self, caller: Caller, wanted: Any) -> list[Any]:
        number = self._watchers.subscribe(caller, wanted)
        return [number, wire.dictionary(await self._snapshot(caller))]

    async def unsubscribe(self, caller: Caller, number: int) -> list[Any]:
        self._watchers.unsubscribe(caller, number)
        return []

    async def get_stats(self, caller: Caller) -> list[Any]:
        return [wire.dictionary(replies.stats(await self._service.stats(caller.uid)))]

    async def reset_stats(self, caller: Caller) -> list[Any]:
        await self._service.reset_stats(caller.uid)
        return []

    async def list_providers(self, _caller: Caller) -> list[Any]:
        service = self._service
        return [wire.dictionaries(list(replies.providers(service.config, service.catalog, service.health)))]

    async def _snapshot(self, caller: Caller) -> dict[str, Any]:
        spent = await self._service.spent(caller.uid)
        figures = await self._service.stats(caller.uid)
        return {
            "day_usd": to_usd(spent.day_nano),
            "month_usd": to_usd(spent.month_nano),
            "day_nano_usd": spent.day_nano,
            "month_nano_usd": spent.month_nano,
            "total_requests": figures.total_requests,
            "total_cost_usd": to_usd(figures.total_cost_nano),
        }

    def handlers(self) -> dict[tuple[str, str], Handler]:
        return {
            (wire.INTERFACE, "Ask"): self.ask,
            (wire.INTERFACE, "Complete"): self.complete,
            (wire.INTERFACE, "CompleteWithOptions"): self.complete_with_options,
            (wire.INTERFACE, "Route"): self.route,
            (wire.USAGE_INTERFACE, "Subscribe"): self.subscribe,
            (wire.USAGE_INTERFACE, "Unsubscribe"): self.unsubscribe,
            (wire.USAGE_INTERFACE, "GetStats"): self.get_stats,
            (wire.USAGE_INTERFACE, "ResetStats"): self.reset_stats,
            (wire.MANAGER_INTERFACE, "ListProviders"): self.list_providers,
        }

    def properties(self) -> dict[tuple[str, str], Callable[[], Variant]]:
        service, watchers = self._service, self._watchers
        return {
            (wire.INTERFACE, "Version"): lambda: Variant("s", __version__),
            (wire.INTERFACE, "Features"): lambda: Variant("as", list(FEATURES)),
            (wire.INTERFACE, "TaskTypes"): lambda: Variant("as", [task.value for task in TaskType]),
            (wire.INTERFACE, "Providers"): lambda: Variant("as", list(service.config.providers)),
            (wire.INTERFACE, "ActiveRequests"): lambda: Variant("u", service.active_requests),
            (wire.INTERFACE, "TotalRequests"): lambda: Variant(
                "t", wire.unsigned(watchers.visible_totals().total_requests)
            ),
            (wire.INTERFACE, "TotalCostUsd"): lambda: Variant("d", to_usd(watchers.visible_totals().total_cost_nano)),
        }

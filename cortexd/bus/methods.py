"""The exported methods and properties: each takes the caller and plain values, and gives the reply's body."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from cortexd import __version__
from cortexd.authority import Action, Caller
from cortexd.bus import replies
from cortexd.bus.dispatch import HandedOver, Handler
from cortexd.bus.learned import overview
from cortexd.bus.learning import report_shown
from cortexd.bus.pipe import PipeSink, make_pipe
from cortexd.bus.raw_pipe import RawPipeSink
from cortexd.bus.signals import Signals
from cortexd.connection import Variant, wire
from cortexd.domain.money import to_usd
from cortexd.domain.tasks import TaskType
from cortexd.errors import AccessDenied, CortexError, InvalidArgument, LedgerUnavailable, UnknownProvider
from cortexd.requests.batches import Batches
from cortexd.requests.intake import Request, prompt_messages
from cortexd.requests.learning_report import LearningReports
from cortexd.requests.raw import raw_of, told
from cortexd.requests.service import Service
from cortexd.validation import parse_hold_answer, parse_learning_query, parse_own_budget

FEATURES = (
    "tools",
    "images",
    "response_schema",
    "idempotency",
    "streams",
    "batch",
    "budgets",
    "own_budget",
    "cache",
    "outcomes",
    "preferences",
    "raw",
)


class Methods:
    """What stands behind the interface file. `reload` reads the configuration again; it raises InvalidArgument."""

    def __init__(self, service: Service, signals: Signals, reload: Callable[[], Awaitable[None]]) -> None:
        self._service = service
        self._batches = Batches(service)
        self._learned = service.learned
        self._learning = LearningReports(service.accounts, service.learner)
        self._signals = signals
        self._reload = reload

    async def ask(self, caller: Caller, task_type: str, prompt: str) -> list[Any]:
        completion = await self._service.complete(caller, task_type, prompt_messages(prompt), {})
        return [wire.string(completion.content)]

    async def complete(self, caller: Caller, task_type: str, messages: Any) -> list[Any]:
        return await self.complete_with_options(caller, task_type, messages, {})

    async def complete_with_options(self, caller: Caller, task_type: str, messages: Any, options: Any) -> list[Any]:
        completion = await self._service.complete(caller, task_type, messages, options)
        return [wire.string(completion.content), wire.dictionary(replies.metadata(completion))]

    async def complete_batch(self, caller: Caller, requests: Any, options: Any) -> list[Any]:
        answers = await self._batches.complete(caller, requests, options)
        return [[replies.item(answer) for answer in answers]]

    async def open_stream(self, caller: Caller, task_type: str, messages: Any, options: Any) -> list[Any]:
        request = self._service.decode(caller, task_type, messages, options)
        return await self._streamed(request, PipeSink)

    async def complete_raw(self, caller: Caller, form: str, task_type: str, body: str, options: Any) -> list[Any]:
        request = self._service.decode_raw(caller, form, task_type, body, options, stream=False)
        completion = await self._service.answer(request)
        answer = told(raw_of(request), completion)
        return [answer.body, wire.dictionary(replies.raw_metadata(completion, answer.lane, answer.lost))]

    async def open_raw_stream(self, caller: Caller, form: str, task_type: str, body: str, options: Any) -> list[Any]:
        request = self._service.decode_raw(caller, form, task_type, body, options, stream=True)
        return await self._streamed(request, partial(RawPipeSink, request.request_id, raw_of(request)))

    async def _streamed(self, request: Request, into: Callable[[int, float], PipeSink]) -> list[Any]:
        read_end, write_end = make_pipe()
        sink = into(write_end, self._service.config.limits.stream_stall_s)
        try:
            await self._service.stream(request, sink)
        except BaseException:
            sink.close()
            os.close(read_end)
            raise
        return [request.request_id, HandedOver(read_end)]

    async def cancel(self, caller: Caller, request_id: str) -> list[Any]:
        self._service.cancel(caller, request_id)
        return []

    async def list_requests(self, caller: Caller) -> list[Any]:
        return [wire.dictionaries([replies.request(ticket) for ticket in self._service.requests(caller)])]

    async def report_outcome(self, caller: Caller, request_id: str, score: float, details: Any) -> list[Any]:
        await self._service.outcomes.report(caller.uid, request_id, score, details)
        return []

    async def get_request(self, caller: Caller, request_id: str) -> list[Any]:
        return [wire.dictionary(replies.stored(*await self._service.outcomes.request(caller.uid, request_id)))]

    async def route(self, caller: Caller, task_type: str, messages: Any, options: Any) -> list[Any]:
        return [wire.dictionary(replies.decision(await self._service.route(caller, task_type, messages, options)))]

    async def subscribe(self, caller: Caller, wanted: Any) -> list[Any]:
        number = self._signals.subscribe(caller, wanted)
        try:
            return [number, wire.dictionary(await self._snapshot(caller))]
        except CortexError:
            self._signals.unsubscribe(caller, number)  # its number was never told
            raise

    async def unsubscribe(self, caller: Caller, number: int) -> list[Any]:
        self._signals.unsubscribe(caller, number)
        return []

    async def get_stats(self, caller: Caller) -> list[Any]:
        figures = await self._figures(caller.uid)
        return [wire.dictionary(figures | {"service": replies.condition(self._service.condition)})]

    async def _figures(self, uid: int) -> dict[str, Any]:
        """None while the ledger is away, which this reading may be the first to find."""
        accounts = self._service.accounts
        try:
            return {} if accounts.away else replies.stats(await accounts.stats(uid))
        except LedgerUnavailable:
            if accounts.away:
                return {}
            raise

    async def reset_stats(self, caller: Caller) -> list[Any]:
        await self._service.accounts.reset_stats(caller.uid)
        return []

    async def get_usage(self, caller: Caller, query: Any) -> list[Any]:
        rows = await self._service.accounts.usage(caller, query)
        return [wire.dictionaries([replies.usage(row) for row in rows])]

    async def get_learning_report(self, caller: Caller, query: Any) -> list[Any]:
        wish = parse_learning_query(query)
        report = await self._learning.of(caller, wish, self._service.config, self._service.catalog)
        return [wire.dictionary(report_shown(report, wish.days))]

    async def get_budget(self, caller: Caller) -> list[Any]:
        return [wire.dictionaries([replies.budget(view) for view in await self._service.accounts.budgets(caller)])]

    async def list_providers(self, caller: Caller) -> list[Any]:
        service = self._service
        endpoints = await service.accounts.may(caller, Action.MANAGE)
        await service.models_shown()
        rows = replies.providers(service.setup, service.health, endpoints=endpoints)
        return [wire.dictionaries(list(rows))]

    async def get_preferences(self, caller: Caller) -> list[Any]:
        return [wire.dictionary(replies.preferences(await self._service.accounts.preferences(caller.uid)))]

    async def set_preferences(self, caller: Caller, wishes: Any) -> list[Any]:
        allowed = await self._service.allowances.of(caller)
        await self._service.accounts.set_preferences(caller.uid, wishes, self._service.config.providers, allowed)
        return []

    async def set_budget(self, caller: Caller, budget: Any) -> list[Any]:
        await self._service.accounts.set_budget(caller, budget)
        return []

    async def set_own_budget(self, caller: Caller, budget: Any) -> list[Any]:
        await self._service.holds.set_cap(caller.uid, parse_own_budget(budget))
        return []

    async def list_holds(self, caller: Caller) -> list[Any]:
        return [wire.dictionaries([replies.hold(view) for view in self._service.holds.views(caller.uid)])]

    async def answer_hold(self, caller: Caller, hold_id: str, answer: str, options: Any) -> list[Any]:
        await self._service.holds.answer(caller.uid, hold_id, *parse_hold_answer(answer, options))
        return []

    async def get_learned(self, _caller: Caller) -> list[Any]:
        return [wire.dictionary(overview(self._learned.overview()))]

    async def export_learned(self, _caller: Caller) -> list[Any]:
        return [wire.string(self._learned.document())]

    async def import_learned(self, caller: Caller, document: str, options: Any) -> list[Any]:
        await self._learned.take_in(caller, document, options)
        return []

    async def reset_learned(self, caller: Caller, part: Any) -> list[Any]:
        await self._learned.forget(caller, part)
        return []

    async def reload(self, _caller: Caller) -> list[Any]:
        await self._reload()
        return []

    async def verify_provider(self, caller: Caller, name: str) -> list[Any]:
        try:
            outcome: Any = await self._service.verify_provider(caller, name)
        except (InvalidArgument, AccessDenied, UnknownProvider):
            raise
        except CortexError as error:
            outcome = error
        return [wire.dictionary(replies.verification(name, outcome))]

    async def _snapshot(self, caller: Caller) -> dict[str, Any]:
        spent = await self._service.accounts.spent(caller.uid)
        figures = await self._service.accounts.stats(caller.uid)
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
            (wire.INTERFACE, "CompleteBatch"): self.complete_batch,
            (wire.INTERFACE, "OpenStream"): self.open_stream,
            (wire.INTERFACE, "CompleteRaw"): self.complete_raw,
            (wire.INTERFACE, "OpenRawStream"): self.open_raw_stream,
            (wire.INTERFACE, "Cancel"): self.cancel,
            (wire.INTERFACE, "ListRequests"): self.list_requests,
            (wire.INTERFACE, "ReportOutcome"): self.report_outcome,
            (wire.INTERFACE, "GetRequest"): self.get_request,
            (wire.INTERFACE, "Route"): self.route,
            (wire.USAGE_INTERFACE, "SetOwnBudget"): self.set_own_budget,
            (wire.USAGE_INTERFACE, "ListHolds"): self.list_holds,
            (wire.USAGE_INTERFACE, "AnswerHold"): self.answer_hold,
            (wire.USAGE_INTERFACE, "Subscribe"): self.subscribe,
            (wire.USAGE_INTERFACE, "Unsubscribe"): self.unsubscribe,
            (wire.USAGE_INTERFACE, "GetStats"): self.get_stats,
            (wire.USAGE_INTERFACE, "ResetStats"): self.reset_stats,
            (wire.USAGE_INTERFACE, "GetUsage"): self.get_usage,
            (wire.USAGE_INTERFACE, "GetLearningReport"): self.get_learning_report,
            (wire.USAGE_INTERFACE, "GetBudget"): self.get_budget,
            (wire.MANAGER_INTERFACE, "ListProviders"): self.list_providers,
            (wire.MANAGER_INTERFACE, "GetPreferences"): self.get_preferences,
            (wire.MANAGER_INTERFACE, "SetPreferences"): self.set_preferences,
            (wire.MANAGER_INTERFACE, "SetBudget"): self.set_budget,
            (wire.MANAGER_INTERFACE, "GetLearned"): self.get_learned,
            (wire.MANAGER_INTERFACE, "ExportLearned"): self.export_learned,
            (wire.MANAGER_INTERFACE, "ImportLearned"): self.import_learned,
            (wire.MANAGER_INTERFACE, "ResetLearned"): self.reset_learned,
            (wire.MANAGER_INTERFACE, "Reload"): self.reload,
            (wire.MANAGER_INTERFACE, "VerifyProvider"): self.verify_provider,
        }

    def properties(self) -> dict[tuple[str, str], Callable[[], Variant]]:
        service, totals = self._service, self._signals.totals
        return {
            (wire.INTERFACE, "Version"): lambda: Variant("s", __version__),
            (wire.INTERFACE, "Features"): lambda: Variant("as", list(FEATURES)),
            (wire.INTERFACE, "TaskTypes"): lambda: Variant("as", [task.value for task in TaskType]),
            (wire.INTERFACE, "Providers"): lambda: Variant("as", list(service.config.providers)),
            (wire.INTERFACE, "ActiveRequests"): lambda: Variant("u", service.active_requests),
            (wire.INTERFACE, "TotalRequests"): lambda: Variant("t", wire.unsigned(totals.seen().total_requests)),
            (wire.INTERFACE, "TotalCostUsd"): lambda: Variant("d", to_usd(totals.seen().total_cost_nano)),
        }

"""AsyncClient: the service's methods for asyncio."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from cortexd.client.administration import Preferences, Verification
from cortexd.client.asking import Asking
from cortexd.client.figures import BudgetInfo, Stats, UsageRow
from cortexd.client.holds import Hold
from cortexd.client.learned import Learned
from cortexd.client.learning import LearningReport
from cortexd.client.outgoing import (
    Messages,
    Usd,
    budget_out,
    hold_answer_out,
    messages_out,
    options_out,
    outcome_out,
    own_budget_out,
    usage_query_out,
)
from cortexd.client.results import (
    Decision,
    Properties,
    ProviderInfo,
    RequestInfo,
    RequestRecord,
    rows_of,
)
from cortexd.client.subscription import Subscription
from cortexd.connection import wire


class AsyncClient(Asking):
    """Any number of tasks of one event loop may call at once. Connects with the first call, and again after the
    bus connection was lost; a call that was under way then fails with ServiceUnavailable and is not repeated.

    `bus`: "system", "session" or a D-Bus address. `timeout_s` bounds each call; one of your own choosing is also
    the request's deadline, so that the service stops paying for an answer nobody waits for. `interactive` lets
    polkit ask a person, which needs an authentication agent. Without `start` no call starts a service that is not
    running: it fails with ServiceUnavailable, and a subscription waits for the service. Options are those of the
    interface file as plain Python values, JSON Schemas as dictionaries or as text.

    A call whose task is cancelled ends its request, at the provider too. One with a request_id of your choosing
    goes on, so that repeating the call gets its answer; cancel() ends it.
    """

    async def cancel(self, request_id: str) -> None:
        """End one of this user's requests; whoever waits for it gets Cancelled. Raises RequestNotFound."""
        await self._call("Cancel", "s", [str(request_id)])

    async def requests(self) -> list[RequestInfo]:
        """This user's requests that wait or are under way, oldest first."""
        [rows] = await self._call("ListRequests")
        return rows_of(RequestInfo, rows)

    async def report_outcome(
        self,
        request_id: str,
        score: float,
        reason: str = "",
        labels: Mapping[str, str] | None = None,
        source: str | None = None,
        weight: float | None = None,
    ) -> None:
        """How well an answer served, from 0 to 1. A later report of the same source replaces an earlier one.

        `source`: user (where None), test, program or judge; `weight`: the part of its weight that this one has, 0 to
        1. Raises RequestNotFound, or RateLimited.
        """
        arguments = outcome_out(request_id, score, reason, labels, source, weight)
        await self._call("ReportOutcome", "sda{sv}", arguments)

    async def request(self, request_id: str = "") -> RequestRecord:
        """One of this user's requests as the ledger has it; without an id the last one that a model answered. Raises
        RequestNotFound."""
        [record] = await self._call("GetRequest", "s", [str(request_id)])
        return RequestRecord.of(record)

    async def route(self, task_type: str, messages: Messages = "", **options: Any) -> Decision:
        """What complete() would do; spends nothing."""
        [decision] = await self._call(
            "Route", "saa{sv}a{sv}", [str(task_type), messages_out(messages), options_out(options)]
        )
        return Decision.of(decision)

    async def usage(
        self,
        since: date | str | None = None,
        until: date | str | None = None,
        group_by: str | Iterable[str] = (),
        label: str = "",
        all_users: bool = False,
        app: str = "",
        days: int | None = None,
    ) -> list[UsageRow]:
        """What settled requests cost, the last 30 days where no days are given; both days are included.

        `days`: so many up to `until` or today, in place of `since`; today is the service's.

        `group_by`: day, hour, task_type, provider, model, label (`label` is its key), app, uid, host; without it
        one sum.
        `app`: only what that program asked.
        `all_users`, and grouping by uid, may ask polkit for a password.
        """
        query = usage_query_out(since, until, group_by, label, all_users, app, days)
        [rows] = await self._call("GetUsage", "a{sv}", [query], interface=wire.USAGE_INTERFACE)
        return rows_of(UsageRow, rows)

    async def learning_report(
        self, days: int | None = None, task_type: str = "", all_users: bool = False
    ) -> LearningReport:
        """What learning from outcomes would give, by this user's requests of the last 30 days or of `days`.

        `all_users` may ask polkit for a password.
        """
        query = options_out({"days": days, "task_type": task_type or None, "all_users": all_users or None})
        [report] = await self._call("GetLearningReport", "a{sv}", [query], interface=wire.USAGE_INTERFACE)
        return LearningReport.of(report)

    async def budgets(self) -> list[BudgetInfo]:
        """Every limit that binds this user."""
        [rows] = await self._call("GetBudget", interface=wire.USAGE_INTERFACE)
        return rows_of(BudgetInfo, rows)

    async def set_own_budget(
        self,
        day_usd: Usd | None = None,
        month_usd: Usd | None = None,
        at_limit: str | None = None,
        pause_s: int | None = None,
        more_usd: Usd | None = None,
        remove: bool = False,
    ) -> None:
        """Cap this user's own spending; needs nobody's leave, as the operator's limits stay. What is not given stays.

        `at_limit`: what becomes of a request without room: ask (at first; see holds()), downgrade or refuse. `pause_s`:
        so long nothing may cost anything, 0 ends that. `more_usd`: may be spent today from now on. `remove`: give up
        cap and pause.
        """
        budget = own_budget_out(day_usd, month_usd, at_limit, pause_s, more_usd, remove)
        await self._call("SetOwnBudget", "a{sv}", [budget], interface=wire.USAGE_INTERFACE)

    async def holds(self) -> list[Hold]:
        """What waits for this user's word: one question at most."""
        [rows] = await self._call("ListHolds", interface=wire.USAGE_INTERFACE)
        return rows_of(Hold, rows)

    async def answer_hold(self, hold_id: str, answer: str, more_usd: Usd | None = None) -> None:
        """Let what is held go on, or not. `answer`: today (`more_usd`, or the hold's own amount, may be spent on top),
        once (what was told of, and nothing else) or refuse. Raises RequestNotFound where nothing is held by that id."""
        arguments = hold_answer_out(hold_id, answer, more_usd)
        await self._call("AnswerHold", "ssa{sv}", arguments, interface=wire.USAGE_INTERFACE)

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
        return [ProviderInfo.of(row) for row in rows]

    async def verify_provider(self, name: str) -> Verification:
        """One real, smallest request to a provider, at this user's cost. Administrators only."""
        [row] = await self._manage("VerifyProvider", "s", [str(name)])
        return rows_of(Verification, [row])[0]

    async def preferences(self) -> Preferences:
        """This user's own wishes, which hold where a request has no options for them."""
        [row] = await self._manage("GetPreferences")
        return rows_of(Preferences, [row])[0]

    async def set_preferences(
        self,
        providers: Mapping[str, str] | None = None,
        strategy: str | None = None,
        local_only: bool | None = None,
        secrets: str | None = None,
        excluded: Iterable[str] | None = None,
        on_break: str | None = None,
        learned: str | None = None,
    ) -> None:
        """Replace all of this user's wishes; without arguments there are none. `providers`: task type to provider;
        `excluded`: "provider" or "provider/model" each."""
        wishes: dict[str, Any] = {"providers": providers, "strategy": strategy, "local_only": local_only}
        wishes |= {"secrets": secrets, "excluded": tuple(excluded or ()) or None}
        wishes |= {"on_break": on_break, "learned": learned}
        await self._manage("SetPreferences", "a{sv}", [options_out(wishes)])

    async def set_budget(
        self,
        scope: str,
        name: str = "",
        day_usd: Usd | None = None,
        month_usd: Usd | None = None,
        remove: bool = False,
    ) -> None:
        """Set limits for `scope`: machine, each_user, or the user, group or app `name`. Administrators only.

        A limit that is not given stays; `remove` gives up what was set, so that config.toml's hold again.
        """
        await self._manage("SetBudget", "a{sv}", [budget_out(scope, name, day_usd, month_usd, remove)])

    async def learned(self) -> Learned:
        """What outcomes have taught about the models, in figures that tell nobody's single report."""
        [row] = await self._manage("GetLearned")
        return Learned.of(row)

    async def export_learned(self) -> str:
        """All that was learned as a JSON document, for import_learned(). Administrators only."""
        [document] = await self._manage("ExportLearned")
        return str(document)

    async def import_learned(self, document: str, mode: str) -> None:
        """Know what a document says: `mode` is replace or merge. Administrators only. Raises InvalidArgument, and
        changes nothing, where it is wrong."""
        await self._manage("ImportLearned", "sa{sv}", [str(document), options_out({"mode": mode})])

    async def reset_learned(self, task_type: str = "", model: str = "") -> None:
        """Forget what outcomes have taught: all, or of a task type, a provider, or a PROVIDER/MODEL. Administrators
        only."""
        part = options_out({"task_type": task_type or None, "model": model or None})
        await self._manage("ResetLearned", "a{sv}", [part])

    async def reload(self) -> None:
        """Read the configuration and the keys again. Administrators only. Raises InvalidArgument for what is wrong."""
        await self._manage("Reload")

    async def properties(self) -> Properties:
        """The service's version, features and totals."""
        [values] = await self._call("GetAll", "s", [wire.INTERFACE], interface="org.freedesktop.DBus.Properties")
        return Properties.of(values)

    def subscribe(self, filter: Mapping[str, str] | None = None) -> Subscription:
        """Costs of this user's requests as they arise. `filter`: task_type and provider, to see only such."""
        self._link.refuse_if_closed()
        subscription = Subscription(self._bus, filter or {}, start=self._starts)
        self._open.add(subscription)
        return subscription

    async def _manage(self, member: str, signature: str = "", body: list[Any] | None = None) -> list[Any]:
        return await self._call(member, signature, body, interface=wire.MANAGER_INTERFACE)

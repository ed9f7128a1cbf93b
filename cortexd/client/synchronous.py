"""Client: the same methods for threads. An event loop in one background thread serves them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from types import TracebackType
from typing import Any, Self

from cortexd.client.administration import Preferences, Verification
from cortexd.client.asynchronous import AsyncClient
from cortexd.client.figures import BudgetInfo, Stats, UsageRow
from cortexd.client.holds import Hold
from cortexd.client.iterators import SyncRawStream, SyncStream, SyncSubscription
from cortexd.client.learned import Learned
from cortexd.client.learning import LearningReport
from cortexd.client.link import DEFAULT_TIMEOUT_S
from cortexd.client.outgoing import Messages, Usd
from cortexd.client.portal import Closed, Portal
from cortexd.client.raw import Body, RawAnswer
from cortexd.client.results import Completion, Decision, Properties, ProviderInfo, RequestInfo, RequestRecord
from cortexd.errors import CortexError


class Client:
    """AsyncClient without asyncio; see there. Any number of threads may call at once, also beside a running loop.

    Use it with `with`, or close() it. It does not survive a fork: make one per process.
    """

    def __init__(
        self,
        bus: str = "system",
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        interactive: bool = False,
        start: bool = True,
    ) -> None:
        self._client = AsyncClient(bus, timeout_s=timeout_s, interactive=interactive, start=start)
        self._portal = Portal()

    @property
    def unique_name(self) -> str:
        """Our name on the bus, by which polkit knows us; empty before connect() and after a loss."""
        return self._client.unique_name

    def connect(self) -> Self:
        """Connect now and not with the first call. Raises ServiceUnavailable where the bus cannot be reached."""
        self._portal.run(self._client.connect())
        return self

    def close(self) -> None:
        """Leave the bus, end subscriptions, streams and the thread. Does nothing the second time."""
        try:
            self._portal.run(self._client.close())
        except Closed:
            return
        self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, prompt: str, task_type: str = "user_chat", **options: Any) -> str:
        """The answer to one prompt. Raises one of cortexd.errors, as every method does."""
        return self._portal.run(self._client.ask(prompt, task_type, **options))

    def complete(self, task_type: str, messages: Messages, **options: Any) -> Completion:
        """The answer to a conversation: message dictionaries, or one text for a single user message."""
        return self._portal.run(self._client.complete(task_type, messages, **options))

    def stream(self, task_type: str, messages: Messages, **options: Any) -> SyncStream:
        """The answer as it arrives: `with client.stream(...) as stream`, then `for piece in stream`."""
        return self._portal.run(self._stream(task_type, messages, options))

    def complete_raw(
        self, format: str, task_type: str, body: Body, headers: Mapping[str, str] | None = None, **options: Any
    ) -> RawAnswer:
        """The answer to a body in a vendor's own words, in the same; see AsyncClient."""
        return self._portal.run(self._client.complete_raw(format, task_type, body, headers, **options))

    def raw_stream(
        self, format: str, task_type: str, body: Body, headers: Mapping[str, str] | None = None, **options: Any
    ) -> SyncRawStream:
        """The same as it arrives, where the body says `"stream": true`: pieces of the vendor's event stream."""
        return self._portal.run(self._raw_stream(format, task_type, body, headers, options))

    def batch(self, requests: Iterable[tuple[str, Messages]], **options: Any) -> list[Completion | CortexError]:
        """The answers to many requests, in their order; one that failed is its error, returned and not raised."""
        return self._portal.run(self._client.batch(requests, **options))

    def cancel(self, request_id: str) -> None:
        """End one of this user's requests; whoever waits for it gets Cancelled. Raises RequestNotFound."""
        self._portal.run(self._client.cancel(request_id))

    def requests(self) -> list[RequestInfo]:
        """This user's requests that wait or are under way, oldest first."""
        return self._portal.run(self._client.requests())

    def report_outcome(
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
        self._portal.run(self._client.report_outcome(request_id, score, reason, labels, source, weight))

    def request(self, request_id: str = "") -> RequestRecord:
        """One of this user's requests as the ledger has it; without an id the last one that a model answered. Raises
        RequestNotFound."""
        return self._portal.run(self._client.request(request_id))

    def route(self, task_type: str, messages: Messages = "", **options: Any) -> Decision:
        """What complete() would do; spends nothing."""
        return self._portal.run(self._client.route(task_type, messages, **options))

    def usage(
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
        """
        return self._portal.run(self._client.usage(since, until, group_by, label, all_users, app, days))

    def learning_report(self, days: int | None = None, task_type: str = "", all_users: bool = False) -> LearningReport:
        """What learning from outcomes would give; see AsyncClient."""
        return self._portal.run(self._client.learning_report(days, task_type, all_users))

    def budgets(self) -> list[BudgetInfo]:
        """Every limit that binds this user."""
        return self._portal.run(self._client.budgets())

    def set_own_budget(
        self,
        day_usd: Usd | None = None,
        month_usd: Usd | None = None,
        at_limit: str | None = None,
        pause_s: int | None = None,
        more_usd: Usd | None = None,
        remove: bool = False,
    ) -> None:
        """Cap or pause this user's own spending; see AsyncClient."""
        self._portal.run(self._client.set_own_budget(day_usd, month_usd, at_limit, pause_s, more_usd, remove))

    def holds(self) -> list[Hold]:
        """What waits for this user's word: one question at most."""
        return self._portal.run(self._client.holds())

    def answer_hold(self, hold_id: str, answer: str, more_usd: Usd | None = None) -> None:
        """Let what is held go on (today, once), or not (refuse); see AsyncClient."""
        self._portal.run(self._client.answer_hold(hold_id, answer, more_usd))

    def stats(self) -> Stats:
        """This user's counters since the last reset."""
        return self._portal.run(self._client.stats())

    def reset_stats(self) -> None:
        """Start this user's counters again; the ledger keeps everything."""
        self._portal.run(self._client.reset_stats())

    def providers(self) -> list[ProviderInfo]:
        """Every provider, configured or not."""
        return self._portal.run(self._client.providers())

    def verify_provider(self, name: str) -> Verification:
        """One real, smallest request to a provider, at this user's cost. Administrators only."""
        return self._portal.run(self._client.verify_provider(name))

    def preferences(self) -> Preferences:
        """This user's own wishes, which hold where a request has no options for them."""
        return self._portal.run(self._client.preferences())

    def set_preferences(
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
        wishes = (providers, strategy, local_only, secrets, excluded, on_break, learned)
        self._portal.run(self._client.set_preferences(*wishes))

    def set_budget(
        self,
        scope: str,
        name: str = "",
        day_usd: Usd | None = None,
        month_usd: Usd | None = None,
        remove: bool = False,
    ) -> None:
        """Set limits for `scope`: machine, each_user, or the user, group or app `name`. Administrators only."""
        self._portal.run(self._client.set_budget(scope, name, day_usd, month_usd, remove))

    def learned(self) -> Learned:
        """What outcomes have taught about the models, in figures that tell nobody's single report."""
        return self._portal.run(self._client.learned())

    def export_learned(self) -> str:
        """All that was learned as a JSON document, for import_learned(). Administrators only."""
        return self._portal.run(self._client.export_learned())

    def import_learned(self, document: str, mode: str) -> None:
        """Know what a document says: `mode` is replace or merge. Administrators only."""
        self._portal.run(self._client.import_learned(document, mode))

    def reset_learned(self, task_type: str = "", model: str = "") -> None:
        """Forget what outcomes have taught: all, or of a task type, a provider, or a PROVIDER/MODEL. Administrators
        only."""
        self._portal.run(self._client.reset_learned(task_type, model))

    def reload(self) -> None:
        """Read the configuration and the keys again. Administrators only. Raises InvalidArgument for what is wrong."""
        self._portal.run(self._client.reload())

    def properties(self) -> Properties:
        """The service's version, features and totals."""
        return self._portal.run(self._client.properties())

    def subscribe(self, filter: Mapping[str, str] | None = None) -> SyncSubscription:
        """Costs of this user's requests as they arise. `filter`: task_type and provider, to see only such."""
        return self._portal.run(self._subscribe(filter))

    async def _subscribe(self, filter: Mapping[str, str] | None) -> SyncSubscription:
        return SyncSubscription(self._client.subscribe(filter), self._portal)

    async def _stream(self, task_type: str, messages: Messages, options: dict[str, Any]) -> SyncStream:
        return SyncStream(self._client.stream(task_type, messages, **options), self._portal)

    async def _raw_stream(
        self, format: str, task_type: str, body: Body, headers: Mapping[str, str] | None, options: dict[str, Any]
    ) -> SyncRawStream:
        return SyncRawStream(self._client.raw_stream(format, task_type, body, headers, **options), self._portal)

"""From a question to its plan, by what is known at that moment of providers, users, conversations and budgets."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from cortexd.accounts.accounts import Accounts
from cortexd.accounts.allowances import Allowances
from cortexd.accounts.limits import near_end
from cortexd.accounts.own_caps import downgrades
from cortexd.authority import Caller
from cortexd.domain.newest import Latest
from cortexd.domain.targets import Target
from cortexd.errors import Failure, LedgerUnavailable
from cortexd.ledger import Limit, OverBudget
from cortexd.requests.asking import Asking
from cortexd.requests.intake import Request
from cortexd.requests.results import Completion
from cortexd.requests.setup import Setup
from cortexd.routing import (
    Conversations,
    Health,
    Learner,
    Observed,
    Outlines,
    Plan,
    Question,
    Sessions,
    Wishes,
    downgrade,
    plan_route,
)
from cortexd.routing.free_and_local import free_and_local

FLEET_SETTINGS = "fleet_settings"
_MOST_USERS = 4096  # whose wishes are at hand


@dataclass(slots=True)
class Planning:
    """Makes plans; remembers who has answered in which session and conversation."""

    setup: Callable[[], Setup]
    accounts: Accounts
    allowances: Allowances
    health: Health
    observed: Observed
    learner: Learner
    asking: Asking | None = None
    sessions: Sessions = field(default_factory=Sessions)
    conversations: Conversations = field(default_factory=Conversations)
    _outlines: Outlines = field(default_factory=Outlines)
    _own: Latest[int, tuple[Wishes, Wishes]] = field(  # as they were given, and with what is allowed
        default_factory=lambda: Latest(_MOST_USERS)
    )

    async def of(self, request: Request, limits: Sequence[Limit]) -> Plan:
        """A request's, after the servers that it needs have said which models they have. `limits` bind its caller.

        While a shared ledger is away, or the fleet's settings are missing, of models that cost nothing; raises
        LedgerUnavailable where there are none. Details, for the settings: `cause`, and `revision` where one cannot be
        taken."""
        made = await self._of(request, limits)
        if not (self.accounts.free_only or made.wishes.unknown):
            return made
        plan = free_and_local(made, self.setup().config)
        if plan is None:
            raise _only_free(self.accounts)
        return plan

    async def _of(self, request: Request, limits: Sequence[Limit]) -> Plan:
        seed = zlib.crc32(request.request_id.encode())
        plan = partial(self.route, request.caller, request.question, unrestricted=request.unrestricted, seed=seed)
        if self.asking is not None:
            await self.asking.for_plan(partial(plan, dry_run=True), request)
        setup, made = self.setup(), await plan()
        learning = made.learning
        if learning is None or learning.explores_nano is None or not limits:
            return made
        near = await self._near_end(request.caller, limits, learning.explores_nano)
        if self.setup() is not setup:  # a reload meanwhile
            return await plan(near_end=near)
        if near and learning.watching:  # planned again, the strategy might try another
            return replace(made, learning=learning.unexplored("budget"))
        return await plan(near_end=True) if near else made

    async def route(
        self,
        caller: Caller,
        question: Question,
        *,
        unrestricted: bool = False,
        seed: int = 0,
        dry_run: bool = False,
        near_end: bool = False,
    ) -> Plan:
        """As plan_route."""
        wishes = await self._wishes(caller, unrestricted=unrestricted)
        sticky = self.sessions.target(caller.uid, question.options.session)
        if sticky is not None:
            wishes = replace(wishes, sticky=sticky)
        setup = self.setup()
        return plan_route(
            question,
            setup.config,
            setup.catalog,
            self.health,
            wishes=wishes,
            observed=self.observed,
            room=setup,
            learner=self.learner,
            seed=seed,
            dry_run=dry_run,
            near_end=near_end,
            talked_with=partial(self.conversations.target, caller.uid, question.messages),
            outlines=self._outlines,
        )

    async def _wishes(self, caller: Caller, *, unrestricted: bool) -> Wishes:
        """What the user wishes and may have: the same object for as long as that is the same."""
        wishes = await self.accounts.wishes(caller.uid)
        if unrestricted:
            return wishes
        allowed, known = await self.allowances.of(caller), self._own.get(caller.uid)
        if known is None or known[0] is not wishes or known[1].allowed != allowed:
            known = self._own.put(caller.uid, (wishes, replace(wishes, allowed=allowed)))
        return known[1]

    async def models_shown(self) -> None:
        """Wait a moment for servers that have not said yet which models they have."""
        if self.asking is not None:
            await self.asking.shown()

    def cheaper(self, request: Request, plan: Plan) -> Callable[[OverBudget], Plan | None]:
        """What a budget's last money may still buy, where whoever has set it wants that."""
        setup, uid = self.setup(), request.caller.uid

        def cheaper(over: OverBudget) -> Plan | None:
            limit, cap = over.state.limit, self.accounts.own_caps.of(uid)
            wanted = downgrades(cap, limit) if limit.own else setup.config.budgets.at_limit == "downgrade"
            if not wanted:
                return None
            return downgrade(plan, request.question, setup.config, setup.catalog, self.health, over.room_nano)

        return cheaper

    def answered(self, request: Request, plan: Plan, completion: Completion) -> None:
        """Who goes on with this session, or conversation, has its cache."""
        uid, made = request.caller.uid, completion.attempts
        if plan.learning is not None and made:
            self.conversations.answered(uid, completion.answer, Target(completion.provider, made[-1].model))
        if not _overflowed(completion, plan):
            self.sessions.answered(uid, request.question.options.session, _target(completion, plan))

    def forget(self, uid: int) -> None:
        self.sessions.forget(uid)
        self.conversations.forget(uid)
        self._own.pop(uid, None)

    async def _near_end(self, caller: Caller, limits: Sequence[Limit], nano: int) -> bool:
        """Whether a request that may cost `nano` would be a gamble with the rest of a budget."""
        try:
            states = await self.accounts.standing_of(caller.uid, limits)
        except LedgerUnavailable:
            return True
        return any(near_end(state, nano) for state in states)


def _only_free(accounts: Accounts) -> LedgerUnavailable:
    """Why nothing is paid for."""
    missing = accounts.settings_missing
    if missing is None or (not missing and accounts.away):
        return LedgerUnavailable(
            "The ledger is away: only local models that cost nothing answer. Try again later, or name one."
        )
    if not missing:
        return LedgerUnavailable(
            "This machine does not know its fleet's settings yet, and so no budgets: only local models that cost "
            "nothing answer. Try again in a moment, or name one.",
            cause=FLEET_SETTINGS,
        )
    return LedgerUnavailable(
        f"This machine cannot take revision {missing} of its fleet's settings, has none from before, and so "
        "knows no budgets: only local models that cost nothing answer. Name one, or have an administrator see "
        "cortexctl fleet status, which says why.",
        cause=FLEET_SETTINGS,
        revision=missing,
    )


def _target(completion: Completion, plan: Plan) -> Target:
    """Whom the session stays with: with a model that somebody pinned, or that a budget forced on it, for once only."""
    once = plan.pinned or plan.downgraded or not completion.attempts
    return Target(completion.provider, None if once else completion.attempts[-1].model)


def _overflowed(completion: Completion, plan: Plan) -> bool:
    """Whether another answered for want of a place alone: the session goes back once there is one."""
    return plan.overflows or any(attempt.outcome == Failure.FULL for attempt in completion.attempts[:-1])

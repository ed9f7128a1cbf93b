"""Servers are asked which models they have: at the start, after a reload, when they are back, and by a request that
needs to know. Nobody is asked by the clock, and no request waits for what it does not need."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from functools import partial

from cortexd.catalog import Said
from cortexd.config import Config
from cortexd.config.settings import ANY_MODEL
from cortexd.domain.messages import Strategy
from cortexd.domain.served import ServedModel
from cortexd.errors import CortexError, Failure, ProviderError
from cortexd.pool import Pool
from cortexd.providers import Provider, Starting, is_loading, pauses
from cortexd.requests.intake import Request
from cortexd.requests.setup import Setup
from cortexd.routing import Health, Plan, Question

_APART_S = 2.0  # between two questions that nobody waits for
_SILENCE_S = 30.0  # so long a request does not wait for who was asked in vain
_SHOWN_S = 3.0

log = logging.getLogger("cortexd.asking")


def unsaid(config: Config) -> frozenset[str]:
    """The providers whose models are still to be said."""
    return frozenset(name for name, item in config.providers.items() if item.configured and item.model == ANY_MODEL)


class Asking:
    """Each server is asked once at a time, for all who wait. `setup` gives the one in force, `take` has the next one
    take its place."""

    def __init__(self, setup: Callable[[], Setup], take: Callable[[Setup], None], health: Health) -> None:
        self._setup = setup
        self._take = take
        self._health = health
        self._under_way: dict[str, asyncio.Task[ProviderError | None]] = {}
        self._later: dict[str, asyncio.Task[None]] = {}
        self._unwaited: set[asyncio.Task[None]] = set()
        self._asked_at: dict[str, float] = {}
        self._failed: dict[str, tuple[float, Failure]] = {}
        self._starting: dict[str, Starting] = {}
        self._unsaid: tuple[Config | None, frozenset[str]] = (None, frozenset())

    def begin(self, names: Iterable[str]) -> None:
        """Ask those of `names` whose models a server has to say."""
        for name in names:
            if self._provider(name) is not None:
                self._unwaited.add(task := asyncio.create_task(self._unwaited_for(name, self._ask(name))))
                task.add_done_callback(self._unwaited.discard)

    def begin_first(self) -> None:
        """Ask all who were not asked yet."""
        self.begin(name for name in self._setup().as_written.providers if name not in self._asked_at)

    def again(self, name: str) -> None:
        """Ask one that may have other models now; soon, where it was asked just now."""
        if self._provider(name) is None or name in self._later:
            return
        wait_s = self._asked_at.get(name, 0.0) + _APART_S - time.monotonic()
        if wait_s <= 0:
            self.begin([name])
            return
        self._later[name] = task = asyncio.create_task(self._ask_after(name, wait_s))
        task.add_done_callback(lambda _task: self._later.pop(name, None))

    async def _ask_after(self, name: str, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        self.begin([name])

    async def for_plan(self, plan: Callable[[], Awaitable[Plan]], request: Request) -> None:
        """Return once those that the request's plan needs have said their models, or failed to. Raises Timeout."""
        if not self._pending:
            return
        needed, patient = await self._needed(plan, request.question)
        if not needed:
            return
        try:
            async with asyncio.timeout(request.left_s):
                await asyncio.gather(*(self._known(name, patient=patient) for name in needed))
        except TimeoutError:
            raise request.timeout() from None

    @property
    def _pending(self) -> frozenset[str]:
        """Those of the configuration in force; most have none, and each request looks."""
        config = self._setup().config
        if self._unsaid[0] is not config:
            self._unsaid = config, unsaid(config)
        return self._unsaid[1]

    async def _needed(self, plan: Callable[[], Awaitable[Plan]], question: Question) -> tuple[frozenset[str], bool]:
        """Who would lead, or might by the strategy, but for what is not said; and whether one that starts is waited
        for: where it leads, or nobody else can answer."""
        pending, named = self._pending, question.options.provider
        pending = pending if named is None else pending & {named}
        if not pending:
            return pending, False
        try:
            made = await plan()
        except CortexError:
            return pending, True
        leader = (made.stands_in_for or "").partition("/")[0]
        if leader in pending:
            return frozenset({leader}), True
        chooses = made.strategy is not Strategy.TABLE and not made.pinned
        return pending & {item.provider for item in made.left_out} if chooses else frozenset(), False

    async def shown(self) -> None:
        """Return once everybody was asked once, has answered, and is known to have failed; soon at any rate."""
        self.begin_first()
        if waited := [*self._under_way.values(), *self._unwaited]:
            await asyncio.wait(waited, timeout=_SHOWN_S)

    def close(self) -> None:
        for task in (*self._under_way.values(), *self._later.values(), *self._unwaited):
            task.cancel()

    async def _unwaited_for(self, name: str, asked: asyncio.Task[ProviderError | None]) -> None:
        if (error := await asyncio.shield(asked)) is not None:
            self._tell_of(name, error, starts=False)

    async def _known(self, name: str, *, patient: bool) -> None:
        if self._asked_in_vain(name, patient=patient):
            return
        settings = self._setup().config.providers.get(name)
        starting = self._starting.setdefault(name, Starting(local=settings is not None and settings.local))
        began, pause = time.monotonic(), pauses()
        while (error := await asyncio.shield(self._ask(name))) is not None:
            waits = patient and starting.waits(error, time.monotonic() - began)
            self._tell_of(name, error, starts=waits)
            if not waits:
                return
            await asyncio.sleep(next(pause))
        starting.answered()

    def _asked_in_vain(self, name: str, *, patient: bool) -> bool:
        """Whether it was of late, so that a request had better not wait again."""
        at, failure = self._failed.get(name, (float("-inf"), None))
        lately = time.monotonic() - at < _SILENCE_S
        return lately and (not patient or failure is Failure.TIMEOUT)

    def _ask(self, name: str) -> asyncio.Task[ProviderError | None]:
        """The question under way, or a new one."""
        if name not in self._under_way:
            self._asked_at[name] = time.monotonic()
            self._under_way[name] = task = asyncio.create_task(self._asked(name))
            task.add_done_callback(lambda _task: self._under_way.pop(name, None))
        return self._under_way[name]

    async def _asked(self, name: str) -> ProviderError | None:
        while (provider := self._provider(name)) is not None:
            try:
                answer: tuple[ServedModel, ...] | ProviderError = await provider.models()
            except ProviderError as error:
                answer = error
            if self._provider(name) is not provider:
                continue  # a reload has put another in its place
            if isinstance(answer, ProviderError):
                self._has_failed(name, answer)
                return answer
            self._failed.pop(name, None)
            if isinstance(provider, Pool):
                provider.on_models = partial(self.again, name)
            log.info("%s says which models it has: %d", name, len(answer))
            self._take(self._setup().hearing(name, Said(answer, datetime.now(UTC))))
            return None
        return None

    def _provider(self, name: str) -> Provider | None:
        """Who is to be asked; None where nobody is, any more."""
        setup = self._setup()
        settings = setup.as_written.providers.get(name)
        return setup.providers[name] if settings and settings.says_models else None

    def _has_failed(self, name: str, error: ProviderError) -> None:
        _, before = self._failed.get(name, (0.0, None))
        self._failed[name] = time.monotonic(), error.failure
        level = logging.DEBUG if error.failure is before else logging.WARNING
        log.log(level, "%s does not say which models it has: %s", name, error)
        if is_loading(error):
            self._health.loading(name)

    def _tell_of(self, name: str, error: ProviderError, *, starts: bool) -> None:
        """What it says of the provider. One that has no such list may answer all the same."""
        if starts:
            self._health.loading(name)
        elif error.never_sent:
            self._health.failed(name, error)

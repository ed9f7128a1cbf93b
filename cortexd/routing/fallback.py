"""A plan's candidates in turn, each at most once, until one answers: the daemon and llm_router, awaited or not,
streamed or not, all go by this. Where nobody answers, what was never sent to one of them may go there once more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from cortexd.errors import Failure, ProviderError
from cortexd.routing.breaker import Asker
from cortexd.routing.candidates import Candidate, LeftOut, Plan
from cortexd.routing.retries import Retries


class Observer(Protocol):
    """Who keeps count of how providers do: Health, or what guards one."""

    def admits(self, provider: str, model: str, tester: object = None) -> bool: ...

    def succeeded(self, provider: str, model: str = "", *, uid: int = ..., began: float | None = None) -> None: ...

    def failed(
        self,
        provider: str,
        error: ProviderError,
        model: str = "",
        asker: Asker | None = None,
        *,
        chosen: bool = False,
        tester: object = None,
    ) -> None: ...


@dataclass(slots=True)
class Fallback:
    """Whose turn it is. Whoever drives it reports each candidate of `turns` as answered, failed or skipped.

    `failures` and `skipped` are in the order of the turns. `retries`: None where nothing is sent twice. `again`: the
    turn is such a second one, before which `retries.pause_s` is to be waited. `tester`: stands for the request where it
    tests a provider.
    """

    plan: Plan
    health: Observer
    retries: Retries | None = None
    failures: list[tuple[Candidate, ProviderError]] = field(default_factory=list)
    skipped: list[LeftOut] = field(default_factory=list)
    answered_by: Candidate | None = None
    again: bool = False
    tester: object = field(default_factory=object)
    _waiting: list[Candidate] = field(init=False)
    _put_off: list[Candidate] = field(default_factory=list)
    _waited: bool = False

    def __post_init__(self) -> None:
        self._waiting = list(self.plan.candidates)

    def turns(self) -> Iterator[Candidate]:
        """The candidates, until one has answered, without those of whom a failure before says that they cannot. Whose
        breaker does not admit this request comes last; after all, whoever had no place left comes once more, to be
        waited for."""
        while (candidate := self._next()) is not None:
            if self.retries is not None:
                self.retries.asked(candidate.provider)
            yield candidate
            if self.answered_by is not None:
                return
        if (candidate := self._never_sent()) is not None:
            self.again = True
            yield candidate

    def _next(self) -> Candidate | None:
        while self._waiting:
            candidate = self._waiting.pop(0)
            if hopeless := self._hopeless(candidate):
                self.skip(candidate, hopeless)
            elif self.health.admits(candidate.provider, candidate.model, self.tester):
                return candidate
            else:
                self._put_off.append(candidate)
        while self._put_off or self._full_again():
            candidate = self._put_off.pop(0)
            if not (hopeless := self._hopeless(candidate)):
                return candidate
            self.skip(candidate, hopeless)
        return None

    def ahead(self) -> Candidate | None:
        """Whose turn is next."""
        candidate = next(iter(self._waiting), None)
        return None if candidate is None or self._hopeless(candidate) else candidate

    def take_ahead(self) -> None:
        """That one is asked beside the one whose turn it is."""
        self._waiting.pop(0)

    def _never_sent(self) -> Candidate | None:
        """Whom the request may be sent to once more, since it never arrived there."""
        if self.retries is None:
            return None
        lost = [item for item, error in self.failures if error.never_sent and not self._hopeless(item)]
        return next((item for item in lost if self.retries.allows(item.provider)), None)

    def _full_again(self) -> bool:
        """Once, where there are others to ask: whether somebody is to be waited for, who is put off then."""
        if self._waited or len(self.plan.candidates) == 1:
            return False
        self._waited = True
        self._put_off = [candidate for candidate, error in self.failures if error.failure is Failure.FULL]
        return bool(self._put_off)

    def waits(self, candidate: Candidate) -> bool:
        """Whether its turn is one to wait for a place in: there is nobody else, or all others were tried."""
        full = (failed.target for failed, error in self.failures if error.failure is Failure.FULL)
        return len(self.plan.candidates) == 1 or candidate.target in full

    def _hopeless(self, candidate: Candidate) -> str:
        """Why this one need not be asked; empty where nothing speaks against it."""
        for failed, error in self.failures:
            if error.failure is Failure.CONTENT and not self.plan.insists:
                return f"{failed.provider} refused the content; fallback = true asks others all the same"
            mine, theirs = candidate.context_tokens, failed.context_tokens
            if error.failure is Failure.CONTEXT and mine and theirs and mine <= theirs:
                return f"its context of {mine} tokens is no larger than that of {failed.model}"
        return ""

    def answered(self, candidate: Candidate, *, uid: int = -1, began: float | None = None) -> None:
        """`uid` and `began` as Health.succeeded has them."""
        self.answered_by = candidate
        self.health.succeeded(candidate.provider, candidate.model, uid=uid, began=began)

    def failed(
        self, candidate: Candidate, error: ProviderError, asker: Asker | None = None, *, chosen: bool = False
    ) -> None:
        """`asker` and `chosen` as Health.failed has them."""
        self.failures.append((candidate, error))
        self.health.failed(candidate.provider, error, candidate.model, asker, chosen=chosen, tester=self.tester)

    def skip(self, candidate: Candidate, reason: str) -> None:
        self.skipped.append(LeftOut(candidate.provider, candidate.model, reason))

    def said(self) -> list[str]:
        """What each that failed said, for people."""
        return [f"{candidate.provider} ({candidate.model}) {error.in_words}" for candidate, error in self.failures]

    @property
    def retry_after_ms(self) -> int | None:
        """When the first of them may answer again, as far as they said so."""
        waits = (error.retry_after_ms for _, error in self.failures)
        return min((wait for wait in waits if wait is not None), default=None)

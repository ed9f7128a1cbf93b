"""A plan's candidates in turn, each at most once, until one answers: the daemon and llm_router, awaited or not,
streamed or not, all go by this."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from cortexd.errors import Failure, ProviderError
from cortexd.routing.breaker import Asker
from cortexd.routing.candidates import Candidate, LeftOut, Plan


class Observer(Protocol):
    """Who keeps count of how providers do: Health, or what guards one."""

    def succeeded(self, provider: str, model: str = "") -> None: ...

    def failed(
        self, provider: str, error: ProviderError, model: str = "", asker: Asker | None = None, *, chosen: bool = False
    ) -> None: ...


@dataclass(slots=True)
class Fallback:
    """Whose turn it is. Whoever drives it reports each candidate of `turns` as answered, failed or skipped.

    `failures` and `skipped` are in the order of the turns.
    """

    plan: Plan
    health: Observer
    failures: list[tuple[Candidate, ProviderError]] = field(default_factory=list)
    skipped: list[LeftOut] = field(default_factory=list)
    answered_by: Candidate | None = None

    def turns(self) -> Iterator[Candidate]:
        """The candidates, until one has answered, without those of whom a failure before says that they cannot."""
        for candidate in self.plan.candidates:
            if hopeless := self._hopeless(candidate):
                self.skip(candidate, hopeless)
                continue
            yield candidate
            if self.answered_by is not None:
                return

    def _hopeless(self, candidate: Candidate) -> str:
        """Why this one need not be asked; empty where nothing speaks against it."""
        for failed, error in self.failures:
            if error.failure is Failure.CONTENT and not self.plan.insists:
                return f"{failed.provider} refused the content; fallback = true asks others all the same"
            mine, theirs = candidate.context_tokens, failed.context_tokens
            if error.failure is Failure.CONTEXT and mine and theirs and mine <= theirs:
                return f"its context of {mine} tokens is no larger than that of {failed.model}"
        return ""

    def answered(self, candidate: Candidate) -> None:
        self.answered_by = candidate
        self.health.succeeded(candidate.provider, candidate.model)

    def failed(
        self, candidate: Candidate, error: ProviderError, asker: Asker | None = None, *, chosen: bool = False
    ) -> None:
        """`asker` and `chosen` as Health.failed has them."""
        self.failures.append((candidate, error))
        self.health.failed(candidate.provider, error, candidate.model, asker, chosen=chosen)

    def skip(self, candidate: Candidate, reason: str) -> None:
        self.skipped.append(LeftOut(candidate.provider, candidate.model, reason))

    def said(self) -> list[str]:
        """What each that failed said, for people."""
        return [f"{candidate.provider} ({candidate.model}): {error}" for candidate, error in self.failures]

    @property
    def retry_after_ms(self) -> int | None:
        """When the first of them may answer again, as far as they said so."""
        waits = (error.retry_after_ms for _, error in self.failures)
        return min((wait for wait in waits if wait is not None), default=None)

"""Looking for secrets in a request, before it is decided who may have it. Long texts are looked through a window at a
time, and others have their turn between two of them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import TypeVar

from cortexd.domain.messages import Secrets
from cortexd.privacy import Disguise, Findings, Guard, TooManySecrets, look_through, put_on
from cortexd.privacy.texts import Content, texts_of
from cortexd.routing import Question, Sessions

T = TypeVar("T")


class Inspection:
    """`key`: this process's own, from which placeholders are made: they say nothing after it has ended."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._key = secrets.token_bytes(32)

    async def guarded(self, uid: int, question: Question, of_operator: Secrets, *, dry_run: bool = False) -> Question:
        """The question with what its text asks for. `dry_run`: its session stays what it is."""
        policy = max(of_operator, question.options.secrets, key=lambda item: item.strictness)
        session = question.options.session
        pinned = self._sessions.pinned(uid, session)
        if policy is Secrets.OFF and not pinned:
            return question
        content = Content(question.messages, question.options.tools, question.options.response_schema)
        found = None if policy is Secrets.OFF else await self._found(content)
        guard = await self._guard(uid, session, policy, content, found)
        if pinned:
            guard = replace(guard, pinned=guard.pinned or "an earlier request of this session held secrets")
        if guard.pinned and not dry_run:
            self._sessions.pin(uid, session)
        return replace(question, guard=guard)

    async def _found(self, content: Content) -> Findings:
        findings = Findings()
        await _in_turns(look_through(texts_of(content), findings))
        return findings

    async def _guard(
        self, uid: int, session: str | None, policy: Secrets, content: Content, findings: Findings | None
    ) -> Guard:
        if findings is None or not findings.kinds:
            return Guard(None if findings is None else {})
        counts = findings.counts
        if policy is Secrets.LOCAL:
            return Guard(counts, f"the request holds secrets: {_named(counts)}")
        if policy is not Secrets.REDACT:
            return Guard(counts)
        try:
            disguise: Disguise = await _in_turns(put_on(content, findings, self._placeholders(uid, session)))
        except TooManySecrets:
            return Guard(counts, f"the request holds more secrets than can be replaced: {_named(counts)}")
        return Guard(counts, disguise=disguise)

    def _placeholders(self, uid: int, session: str | None) -> bytes:
        """One look for a session, which a provider's cache of prompts wants; else another for each request."""
        if session is None:
            return secrets.token_bytes(32)
        return hmac.new(self._key, f"{uid}:{session}".encode(), hashlib.sha256).digest()


def _named(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} ({number})" if number > 1 else kind for kind, number in counts.items())


async def _in_turns(work: Generator[None, None, T]) -> T:
    """What `work` comes to; everybody else has a turn after each of its steps."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)

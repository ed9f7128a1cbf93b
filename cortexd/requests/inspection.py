"""Looking for secrets in a request, before it is decided who may have it. Long texts are looked through a window at a
time, and others have their turn between two of them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

from cortexd.access import Turns
from cortexd.domain.messages import Secrets, stricter
from cortexd.privacy import Disguise, Findings, Guard, TooManySecrets, look_through, put_on
from cortexd.privacy.findings import WINDOW
from cortexd.privacy.texts import Content, Texts, texts_of
from cortexd.routing import Question, Sessions
from cortexd.routing.raw import RawBody
from cortexd.validation import images_of

T = TypeVar("T")


class Inspection:
    """One long text at a time is looked through, and users take turns. The key of which a session's placeholders are
    made is this process's own: they say nothing after it has ended."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._key = secrets.token_bytes(32)
        self._turns = Turns(1)
        self._long = asyncio.Lock()

    def adopt(self, waiting: int) -> None:
        """So many of one user's long texts may wait."""
        self._turns.waiting = waiting

    def looks(self, uid: int, question: Question, least: Secrets) -> bool:
        """Whether `guarded` has anything to do."""
        policy = stricter(least, question.options.secrets)
        return policy is not Secrets.OFF or self._sessions.pinned(uid, question.options.session)

    async def guarded(self, uid: int, question: Question, least: Secrets, *, dry_run: bool = False) -> Question:
        """The question with what its text asks for, by `least` or by its own stricter wish. `dry_run`: its session
        stays what it is. Raises RateLimited."""
        policy = stricter(least, question.options.secrets)
        session = question.options.session
        pinned = self._sessions.pinned(uid, session)
        if policy is Secrets.OFF and not pinned:
            return question
        content = Content(question.messages, question.options.tools, question.options.response_schema)
        guard = Guard()
        if policy is not Secrets.OFF:
            texts = texts_of(content) if question.raw is None else Texts((), (_text_of(question, question.raw),))
            async with self._turn(uid, texts):
                guard = await self._guard(uid, session, policy, content, await _found(texts))
        if pinned:
            guard = replace(guard, pinned=guard.pinned or "an earlier request of this session held secrets")
        if guard.pinned and not dry_run:
            self._sessions.pin(uid, session)
        return replace(question, guard=guard)

    @asynccontextmanager
    async def _turn(self, uid: int, texts: Texts) -> AsyncIterator[None]:
        if texts.size <= WINDOW:
            yield
            return
        async with self._turns.turn(uid), self._long:
            yield

    async def _guard(
        self, uid: int, session: str | None, policy: Secrets, content: Content, findings: Findings
    ) -> Guard:
        if not findings.kinds:
            return Guard({})
        counts = findings.counts
        if policy is Secrets.LOCAL:
            return Guard(counts, f"the request holds secrets of the kind {_named(counts)}")
        if policy is not Secrets.REDACT:
            return Guard(counts)
        try:
            disguise: Disguise = await _in_turns(put_on(content, findings, self._placeholders(uid, session)))
        except TooManySecrets:
            return Guard(counts, f"the request holds more secrets than can be replaced, of the kind {_named(counts)}")
        return Guard(counts, disguise=disguise)

    def _placeholders(self, uid: int, session: str | None) -> bytes:
        """One look for a session, which a provider's cache of prompts wants; else another for each request."""
        if session is None:
            return secrets.token_bytes(32)
        return hmac.new(self._key, f"{uid}:{session}".encode(), hashlib.sha256).digest()


def _text_of(question: Question, raw: RawBody) -> str:
    """All of a vendor's own body, what has no words here too, but for its images."""
    text = raw.body.decode("utf-8", "replace")
    for image in images_of(question.messages):
        text = text.replace(b64encode(image.data).decode(), "")
    return text


async def _found(texts: Texts) -> Findings:
    findings = Findings()
    await _in_turns(look_through(texts, findings))
    return findings


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

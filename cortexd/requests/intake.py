"""What a caller hands in, checked and bounded: from here on a request is well formed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import field
from datetime import UTC, datetime

from cortexd.authority import Caller
from cortexd.config.settings import LimitSettings
from cortexd.domain.apps import APP
from cortexd.domain.messages import Role
from cortexd.domain.tasks import parse_task_type
from cortexd.domain.value import value
from cortexd.errors import InvalidArgument, Timeout
from cortexd.requests.answers.repeats import Key
from cortexd.routing import Question
from cortexd.validation import Bounds, check_asked, content_hash, parse_messages, parse_options


@value
class Request:
    """One decoded request on its way. `chosen`: its id is the caller's own. `unrestricted`: what the operator
    allows its caller does not bind it."""

    caller: Caller
    request_id: str
    chosen: bool
    question: Question
    content_hash: bytes
    deadline_s: float
    began: float = field(default_factory=time.monotonic)
    unrestricted: bool = False

    @property
    def key(self) -> Key:
        return self.caller.uid, self.request_id

    @property
    def app(self) -> str:
        """The program that asks, by its label; "" where there is none."""
        return self.question.options.labels.get(APP, "")

    @property
    def left_s(self) -> float:
        """What is left of the time that the request may take."""
        return self.deadline_s - (time.monotonic() - self.began)

    def timeout(self) -> Timeout:
        return Timeout(f"No answer came within the deadline of {self.deadline_s:g} s. Raise options.deadline_ms.")


def take_in(
    caller: Caller, task_type: str, messages: object, options: object, limits: LimitSettings, *, dry_run: bool = False
) -> Request:
    """A checked request. Raises InvalidArgument and its kin, or TooLarge. `dry_run`: a blank prompt will do."""
    bounds = bounds_of(limits)
    kind = parse_task_type(task_type)
    wanted = parse_options(options, bounds)
    conversation = parse_messages(messages, bounds)
    if not dry_run:
        check_asked(conversation)
    question = Question(kind, conversation, wanted, datetime.now(UTC))
    return request_of(caller, question, limits, lambda: content_hash(kind, conversation, wanted))


def bounds_of(limits: LimitSettings) -> Bounds:
    return Bounds(limits.max_prompt_bytes, limits.max_messages, limits.max_tools, limits.max_deadline_ms)


def request_of(caller: Caller, question: Question, limits: LimitSettings, hashed: Callable[[], bytes]) -> Request:
    """`hashed`: what tells a repeated request from another, where the caller may come again."""
    wanted = question.options
    deadline_ms = wanted.deadline_ms or min(limits.default_deadline_ms, limits.max_deadline_ms)
    may_repeat = wanted.request_id is not None or wanted.cache
    return Request(
        caller,
        wanted.request_id or _new_id(),
        wanted.request_id is not None,
        question,
        hashed() if may_repeat else b"",
        deadline_ms / 1000,
    )


def _new_id() -> str:
    """Nobody's yet. Later ones sort after earlier ones: an index of the ledger grows at its end then, not all over."""
    return f"{time.time_ns() // 1_000_000:011x}{os.urandom(5).hex()[1:]}"


def prompt_messages(prompt: str) -> list[dict[str, str]]:
    """The messages of Ask: one user turn."""
    if not prompt.strip():
        raise InvalidArgument("prompt: expected some text, got none")
    return [{"role": Role.USER.value, "content": prompt}]

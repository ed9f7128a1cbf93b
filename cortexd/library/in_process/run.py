"""One request's attempts: each provider of the plan once, what it answered, and what all of them said when none did."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cortexd.catalog import Catalog
from cortexd.config import ProviderSettings
from cortexd.domain.messages import Answer, Call, Usage
from cortexd.domain.money import to_usd
from cortexd.errors import ProviderError
from cortexd.library.errors import NOBODY, ProviderFailedError, ProvidersFailedError
from cortexd.library.in_process.failures import failure_of
from cortexd.library.in_process.stream_readers import StreamReader
from cortexd.library.in_process.vendors import VENDORS, Request, Vendor, request_of
from cortexd.library.types import LLMProvider, LLMResponse
from cortexd.routing import Candidate, Health, Plan, Question

_UNKNOWN = float("nan")
Book = Callable[[LLMProvider, int, int | None], None]


class SharedHealth:
    """The breakers of one router, for any number of threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.health = Health()

    def note(self, provider: str, failure: ProviderError | None) -> None:
        with self.lock:
            if failure is None:
                self.health.succeeded(provider)
            else:
                self.health.failed(provider, failure.failure, failure.retry_after_ms)


@dataclass(slots=True)
class Attempt:
    """One call to one provider. `given` says that the consumer of a stream has had a piece of it."""

    candidate: Candidate
    settings: ProviderSettings
    vendor: Vendor
    request: Request
    began: float = 0.0
    given: bool = False

    def create(self, client: Any) -> Any:
        """What the SDK's method returns, or an awaitable of it."""
        self.began = time.monotonic()
        return self.vendor.create(client)(**self.request.arguments)

    def is_whole(self, response: Any) -> bool:
        """Whether `response` is the answer itself and no stream of events."""
        return not self.request.streamed or self.vendor.is_whole(response)

    def read(self, response: Any) -> Answer:
        """The Answer in a whole response. Raises ProviderError."""
        return self.vendor.read(response, self.candidate.model)

    def reader(self, max_bytes: int) -> StreamReader:
        return self.vendor.stream_reader(self.candidate.model, max_bytes)


@dataclass(slots=True)
class Run:
    """`fallback`: whether a failure leads on to the next provider, and to an error of ours when there is none."""

    question: Question
    plan: Plan
    fallback: bool
    providers: dict[str, ProviderSettings]
    catalog: Catalog
    health: SharedHealth
    book: Book
    max_answer_bytes: int
    stream: bool = False
    errors: dict[LLMProvider, Exception] = field(default_factory=dict)
    _said: list[str] = field(default_factory=list)

    def attempt(self, candidate: Candidate) -> Attempt:
        """Raises ProviderError where the request cannot be written in the vendor's words."""
        settings = self.providers[candidate.provider]
        vendor = VENDORS[settings.api]
        options = self.question.options
        call = Call(
            model=candidate.model,
            messages=self.question.messages,
            timeout_s=settings.timeout_s,
            max_tokens=self.question.max_tokens,
            temperature=options.temperature,
            tools=options.tools,
        )
        return Attempt(candidate, settings, vendor, request_of(vendor, call, stream=self.stream))

    def answered(self, attempt: Attempt, answer: Answer, raw: Any = None) -> LLMResponse:
        """Book the answer."""
        self.health.note(attempt.candidate.provider, None)
        provider, tokens, nano = self._booked(attempt, answer.usage)
        return LLMResponse(
            content=answer.content,
            provider=provider,
            model=answer.model,
            tokens_used=tokens,
            cost_usd=_UNKNOWN if nano is None else to_usd(nano),
            latency_seconds=time.monotonic() - attempt.began,
            raw_response=raw,
            tool_calls=[
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in answer.tool_calls
            ],
            finish_reason=answer.finish_reason,
            dropped_options=attempt.request.dropped_options,
        )

    def failed(self, attempt: Attempt, error: Exception) -> bool:
        """Note the failure. True to go on; False where `error` is for the caller to see as it is."""
        secret = attempt.settings.key.reveal() if attempt.settings.key else ""
        failure = failure_of(error, [secret] if secret else [])
        self.health.note(attempt.candidate.provider, failure)
        if not self.fallback or attempt.given:
            if isinstance(error, ProviderError):
                raise ProviderFailedError(f"{attempt.candidate.provider} ({attempt.candidate.model}): {failure}")
            return False
        self.errors[LLMProvider(attempt.candidate.provider)] = error
        self._said.append(f"{attempt.candidate.provider} ({attempt.candidate.model}): {failure}")
        return True

    def all_failed(self) -> ProvidersFailedError:
        error = ProvidersFailedError(f"{NOBODY} {'; '.join(self._said)}", self.errors)
        error.__cause__ = next(reversed(self.errors.values()), None)
        return error

    def cut(self, attempt: Attempt, usage: Usage | None) -> None:
        """Book what the provider had reported when a stream ended early; nothing where it had not yet."""
        if usage is not None:
            self._booked(attempt, usage)

    def _booked(self, attempt: Attempt, usage: Usage | None) -> tuple[LLMProvider, int, int | None]:
        name, model = attempt.candidate.provider, attempt.candidate.model
        nano = None if usage is None else self.catalog.cost(name, model, usage, self.question.moment)
        tokens = 0 if usage is None else usage.input_tokens + usage.output_tokens
        self.book(LLMProvider(name), tokens, nano)
        return LLMProvider(name), tokens, nano

"""One request: each provider of the plan asked once, what it answered, and what all of them said when none did."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from cortexd.catalog import Catalog
from cortexd.config import ProviderSettings
from cortexd.domain.messages import Answer, Call, Usage
from cortexd.domain.money import to_usd
from cortexd.errors import ProviderError
from cortexd.library.errors import NOBODY, ProviderFailedError, ProvidersFailedError
from cortexd.library.in_process.calling import Request, answer_in, as_dictionary, is_answer, request_of
from cortexd.library.in_process.failures import failure_of
from cortexd.library.in_process.reader import StreamReader
from cortexd.library.keys import OF_THE_KEY, Keys
from cortexd.library.types import LLMProvider, LLMResponse
from cortexd.providers.framing import read_body
from cortexd.providers.kinds import ApiKind, api_kind
from cortexd.providers.refusals import Refusals
from cortexd.routing import Asker, Candidate, Fallback, Health, Question

_UNKNOWN = float("nan")
Book = Callable[[LLMProvider, int, int | None], None]


class SharedHealth:
    """The breakers of one router, for any number of threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.health = Health()

    def admits(self, provider: str, model: str, tester: object = None) -> bool:
        with self.lock:
            return self.health.admits(provider, model, tester)

    def succeeded(self, provider: str, model: str = "", *, uid: int = -1, began: float | None = None) -> None:
        with self.lock:
            self.health.succeeded(provider, model, uid=uid, began=began)

    def failed(
        self,
        provider: str,
        error: ProviderError,
        model: str = "",
        asker: Asker | None = None,
        *,
        chosen: bool = False,
        tester: object = None,
    ) -> None:
        with self.lock:
            self.health.failed(provider, error, model, asker, chosen=chosen, tester=tester)


@dataclass(slots=True)
class Run:
    """`falls_back`: whether a failure leads on to the next provider, and to an error of ours when there is none.
    `response`: the answer, once there is one."""

    question: Question
    fallback: Fallback
    falls_back: bool
    providers: dict[str, ProviderSettings]
    catalog: Catalog
    book: Book
    max_answer_bytes: int
    refusals: Mapping[str, Refusals]
    keys: Keys
    stream: bool = False
    errors: dict[LLMProvider, Exception] = field(default_factory=dict)
    response: LLMResponse | None = None

    def exchanges(self) -> Iterator[Exchange]:
        """An exchange with each provider whose turn it is. Raises ProvidersFailedError after the last one in vain."""
        for candidate in self.fallback.turns():
            turns = self.keys.turns(candidate.provider)
            for position, key in enumerate(turns, 1):
                exchange = self._exchange(candidate, key, last=position == len(turns))
                yield exchange
                if not exchange.wants_another_key:
                    break
        if self.response is None:
            raise self._all_failed()

    def _exchange(self, candidate: Candidate, key: int, *, last: bool) -> Exchange:
        """Raises ProviderError where the request cannot be written in the vendor's words."""
        settings = self.providers[candidate.provider]
        kind, options = api_kind(settings.api), self.question.options
        call = Call(
            model=candidate.model,
            messages=self.question.messages,
            timeout_s=settings.timeout_s,
            max_tokens=candidate.max_tokens,
            temperature=options.temperature,
            tools=options.tools,
        )
        quirks = self.refusals[candidate.provider].quirks(candidate.model)
        request = request_of(kind, call, quirks, stream=self.stream)
        return Exchange(self, candidate, key, last, settings, kind, call, request)

    def _all_failed(self) -> ProvidersFailedError:
        error = ProvidersFailedError(f"{NOBODY} {'; '.join(self.fallback.said())}", self.errors)
        error.__cause__ = next(reversed(self.errors.values()), None)
        return error


@dataclass(slots=True)
class Exchange:
    """One call to one provider. What goes wrong in its `with` block leads on to the next one, or comes out of it.

    `key`: which of the provider's keys. `given`: the consumer of a stream has had a piece.
    """

    run: Run
    candidate: Candidate
    key: int
    last_key: bool
    settings: ProviderSettings
    kind: ApiKind
    call: Call
    request: Request
    began: float = 0.0
    given: bool = False
    wants_another_key: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        return isinstance(error, Exception) and self._failed(error)

    def create(self, client: Any) -> Any:
        """What the SDK's method returns, or an awaitable of it."""
        self.began = time.monotonic()
        return self.kind.sdk_call.method(client)(**self.request.arguments)

    def adapts(self, error: Exception) -> bool:
        """Whether the call goes again, since a refusal has told what this model does not take."""
        refusals, model = self.run.refusals[self.candidate.provider], self.candidate.model
        status, response = getattr(error, "status_code", None), getattr(error, "response", None)
        body = getattr(response, "content", None)
        if not isinstance(status, int) or not isinstance(body, bytes):
            return False
        refused = self.request.arguments
        while self.request.arguments == refused:
            if not refusals.learn(model, self.request.quirks, status, body):
                return False
            self.request = request_of(self.kind, self.call, refusals.quirks(model), stream=self.run.stream)
        return True

    def is_whole(self, given: Any) -> bool:
        """Whether the method gave the answer itself and no stream of events."""
        return not self.request.streamed or is_answer(self.kind, given)

    def reader(self) -> StreamReader:
        return StreamReader(self.kind, self.candidate.model, self.run.max_answer_bytes)

    def took_whole(self, given: Any) -> list[str]:
        """Book the answer in the SDK's object. Returns its text, if any. Raises ProviderError."""
        return self._took(answer_in(self.kind, given, self.candidate.model), given)

    def took_body(self, body: bytes) -> list[str]:
        """The same of a response's body, which may be a stream that was not called one."""
        model, max_bytes = self.candidate.model, self.run.max_answer_bytes
        answer = read_body(
            body, "", lambda whole: self.kind.read(whole, model), lambda: self.kind.collector(model, max_bytes)
        )
        return self._took(answer)

    def _took(self, answer: Answer, raw: Any = None) -> list[str]:
        self.answered(answer, raw)
        return [answer.content] if answer.content else []

    def give(self) -> None:
        """A piece goes out to whoever asked for a stream."""
        self.given = self.run.stream

    def answered(self, answer: Answer, raw: Any = None) -> None:
        """Book the answer and make it the run's response."""
        answer = self.request.body.own_answer(answer)
        self.run.fallback.answered(self.candidate)
        self.run.keys.answered(self.candidate.provider, self.key)
        provider, tokens, nano = self._booked(answer.usage)
        self.run.response = LLMResponse(
            content=answer.content,
            provider=provider,
            model=answer.model,
            tokens_used=tokens,
            cost_usd=_UNKNOWN if nano is None else to_usd(nano),
            latency_seconds=time.monotonic() - self.began,
            raw_response=as_dictionary(self.kind, raw),
            tool_calls=[
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in answer.tool_calls
            ],
            finish_reason=answer.finish_reason,
            dropped_options=answer.dropped_options,
            reasoning_content=answer.reasoning,
        )

    def cut(self, usage: Usage | None) -> None:
        """Book what the provider had reported of what was given out; nothing where it had reported nothing."""
        if self.given and usage is not None:
            self._booked(usage)

    def _failed(self, error: Exception) -> bool:
        """Note the failure. True to go on; False where `error` is for the caller to see as it is."""
        run = self.run
        failure = failure_of(error, [key.reveal() for key in run.keys.of(self.candidate.provider)])
        self.wants_another_key = failure.failure in OF_THE_KEY and not self.last_key and not self.given
        if self.wants_another_key:
            return True
        run.fallback.failed(self.candidate, failure)
        if run.falls_back and not self.given:
            run.errors[LLMProvider(self.candidate.provider)] = error
            return True
        if isinstance(error, ProviderError):
            raise ProviderFailedError(run.fallback.said()[-1])
        return False

    def _booked(self, usage: Usage | None) -> tuple[LLMProvider, int, int | None]:
        name, model, run = self.candidate.provider, self.candidate.model, self.run
        nano = None if usage is None else run.catalog.cost(name, model, usage, run.question.moment)
        tokens = 0 if usage is None else usage.input_tokens + usage.output_tokens
        run.book(LLMProvider(name), tokens, nano)
        return LLMProvider(name), tokens, nano
